-- Who is alive, and how long a job may wait.

-- name: segue
-- Whether the holder of a lease is alive: the lease goes on, and the server session that it shows is there; a pooler's
-- clients show none, so theirs has to run out. Another role's session shows no start time; then its process id has to
-- do, on the side of caution.
-- With patience, for who would take work away from a process that has only lost its connection: a session that is gone
-- may come back, after a lost connection or when the server itself was restarted; a heartbeat needs some seconds to
-- show its new one. So a lease of 30 s that was renewed in the last 10 counts without a session.
CREATE FUNCTION segue.is_alive(
    lease_until timestamptz, backend_pid int, backend_start timestamptz, is_patient boolean DEFAULT false
) RETURNS boolean LANGUAGE sql VOLATILE AS $$
SELECT
    is_patient AND pg_postmaster_start_time() > clock_timestamp() - interval '10 seconds'
    OR coalesce(lease_until > clock_timestamp(), false) AND (
        backend_pid IS NULL
        OR is_patient AND lease_until > clock_timestamp() + interval '20 seconds'
        OR EXISTS (
            SELECT FROM pg_stat_activity AS other
            WHERE
                other.pid = is_alive.backend_pid
                AND (other.backend_start IS NULL OR other.backend_start = is_alive.backend_start)
        )
    )
$$;

-- Who holds what, and whether it is alive.
CREATE OR REPLACE VIEW segue.holders AS
SELECT
    held.run_id,
    held.token,
    held.holder,
    held.held_since,
    held.is_leader,
    segue.is_alive(held.lease_until, held.backend_pid, held.backend_start, is_patient => true) AS is_live,
    held.lease_until
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

-- Processes of `segue worker`. One that is at a job shows in segue.jobs that it is alive.
CREATE TABLE segue.job_workers (
    token uuid PRIMARY KEY,
    holder text NOT NULL,
    -- The migrations that it has.
    migrations text[] NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    heard_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz NOT NULL
);

-- A job that was put back after some work waits anew; one that found its run held, or no database, goes on waiting.
-- The queue is short.
-- squawk-ignore adding-field-with-default
ALTER TABLE segue.jobs ADD COLUMN waiting_since timestamptz NOT NULL DEFAULT clock_timestamp();
UPDATE segue.jobs SET waiting_since = due_at;
-- squawk-ignore ban-drop-constraint
ALTER TABLE segue.jobs DROP CONSTRAINT jobs_outcome_check;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE segue.jobs ADD CONSTRAINT jobs_outcome_check
CHECK (outcome IN ('done', 'stopped', 'cancelled', 'refused', 'failed', 'expired'));

-- name: segue_down
UPDATE segue.jobs SET outcome = 'cancelled' WHERE outcome = 'expired';
-- squawk-ignore ban-drop-constraint
ALTER TABLE segue.jobs DROP CONSTRAINT jobs_outcome_check;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE segue.jobs ADD CONSTRAINT jobs_outcome_check
CHECK (outcome IN ('done', 'stopped', 'cancelled', 'refused', 'failed'));
ALTER TABLE segue.jobs DROP COLUMN waiting_since;
DROP TABLE segue.job_workers;
DROP VIEW segue.holders;
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
DROP FUNCTION segue.is_alive(timestamptz, int, timestamptz, boolean);
