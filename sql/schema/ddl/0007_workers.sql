-- Processes that work on a run beside the one that leads it.

-- name: segue
-- One that is missing, or whose lease is over, holds nothing: its partitions are anybody's.
CREATE TABLE segue.workers (
    token uuid PRIMARY KEY,
    run_id bigint NOT NULL REFERENCES segue.runs (id),
    holder text NOT NULL,
    held_since timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL,
    backend_pid int,
    backend_start timestamptz
);

CREATE INDEX workers_run_id ON segue.workers (run_id);

-- Who holds what, and whether it is alive: its lease goes on and its session is on the server (or behind a pooler).
-- (Another role's session shows no start time; then its process id has to do, on the side of caution.)
-- A session that is gone may come back: after a lost connection, or when the server itself was restarted, a heartbeat
-- needs some seconds to show its new one. So a lease of 30 s that was renewed in the last 10 counts without a session.
CREATE VIEW segue.holders AS
SELECT
    held.run_id,
    held.token,
    held.holder,
    held.held_since,
    held.is_leader,
    pg_postmaster_start_time() > clock_timestamp() - interval '10 seconds'
    OR held.lease_until > clock_timestamp() AND (
        held.backend_pid IS NULL
        OR held.lease_until > clock_timestamp() + interval '20 seconds'
        OR EXISTS (
            SELECT FROM pg_stat_activity AS other
            WHERE
                other.pid = held.backend_pid
                AND (other.backend_start IS NULL OR other.backend_start = held.backend_start)
        )
    ) AS is_live
FROM (
    SELECT
        run.id AS run_id, run.lease_token AS token, run.holder, run.held_since, true AS is_leader,
        run.lease_until, run.backend_pid, run.backend_start
    FROM segue.runs AS run
    WHERE run.lease_token IS NOT NULL
    UNION ALL
    SELECT
        worker.run_id, worker.token, worker.holder, worker.held_since, false,
        worker.lease_until, worker.backend_pid, worker.backend_start
    FROM segue.workers AS worker
) AS held;

-- name: segue_down
DROP VIEW segue.holders;
DROP TABLE segue.workers;
