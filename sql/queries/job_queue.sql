-- name: list_unfinished
-- Jobs that wait or are at work, the oldest first, with how many live workers have their migration.
WITH worker AS (
    SELECT one.holder, one.migrations
    FROM segue.job_workers AS one
    WHERE
        segue.is_alive(one.lease_until, NULL, NULL)
        OR EXISTS (
            SELECT FROM segue.jobs AS mine
            WHERE
                mine.state = 'working' AND mine.holder = one.holder
                AND segue.is_alive(mine.lease_until, mine.backend_pid, mine.backend_start)
        )
)

SELECT
    job.id,
    job.kind,
    job.migration,
    job.run_id,
    job.settings,
    job.options,
    job.asked_by,
    job.asked_at,
    job.state,
    job.holder,
    job.failures,
    job.error,
    CASE WHEN job.state = 'working' THEN coalesce(job.started_at, job.asked_at) ELSE job.waiting_since END AS since,
    extract(epoch FROM clock_timestamp() - job.waiting_since)::float8 AS waiting_seconds,
    extract(epoch FROM clock_timestamp() - job.lease_until)::float8 + %(lease_seconds)s AS silent_seconds,
    job.state = 'working' AND segue.is_alive(job.lease_until, job.backend_pid, job.backend_start) AS is_at_work,
    (SELECT count(*) FROM worker WHERE job.migration = ANY(worker.migrations)) AS live_workers
FROM segue.jobs AS job
WHERE job.state <> 'ended' AND (%(run_id)s::bigint IS NULL OR job.run_id = %(run_id)s)
ORDER BY job.id

-- name: list_workers
-- Processes of `segue worker` that were heard of lately, the last one first.
SELECT holder, extract(epoch FROM clock_timestamp() - heard_at)::float8 AS silent_seconds
FROM segue.job_workers
ORDER BY heard_at DESC

-- name: list_holders
-- Processes of runs that are converted, and for how long they have not been heard of; a lease is as long as it is given.
SELECT
    run.migration,
    held.run_id,
    held.holder,
    held.is_leader,
    held.is_live,
    extract(epoch FROM clock_timestamp() - held.lease_until)::float8 + %(lease_seconds)s AS silent_seconds,
    (
        SELECT coalesce(array_agg(part.ordinal ORDER BY part.ordinal), ARRAY[]::int[])
        FROM segue.partitions AS part
        WHERE part.run_id = held.run_id AND part.lease_token = held.token AND NOT part.is_done
    ) AS partitions
FROM segue.holders AS held
JOIN segue.runs AS run ON run.id = held.run_id
WHERE run.status IN ('preparing', 'migrating', 'validating', 'rolling_back')
ORDER BY held.run_id, held.is_leader DESC, held.held_since, held.holder

-- name: show_worker
INSERT INTO segue.job_workers (token, holder, migrations, lease_until)
VALUES (%(token)s, %(holder)s, %(migrations)s, clock_timestamp() + %(lease)s::interval)
ON CONFLICT (token) DO UPDATE
SET holder = excluded.holder, migrations = excluded.migrations, heard_at = clock_timestamp(), lease_until = excluded.lease_until

-- name: forget_worker
DELETE FROM segue.job_workers WHERE token = %(token)s

-- name: expire_jobs
-- Closes what has waited too long, or was left by a worker that died, and nobody went on with it for as long.
UPDATE segue.jobs
SET
    state = 'ended', lease_token = NULL, lease_until = NULL, backend_pid = NULL, backend_start = NULL,
    outcome = 'expired',
    error = %(error)s,
    ended_at = clock_timestamp()
WHERE
    (state = 'queued' AND waiting_since < clock_timestamp() - %(limit)s::interval)
    OR (state = 'working' AND NOT segue.is_alive(lease_until + %(limit)s::interval, NULL, NULL))
RETURNING id, run_id

-- name: remove_old_jobs
-- What an unfinished run was asked for stays: its resumption takes its options from there.
DELETE FROM segue.jobs
WHERE
    state = 'ended' AND ended_at < clock_timestamp() - %(limit)s::interval
    AND NOT EXISTS (
        SELECT FROM segue.runs AS run
        WHERE run.id = jobs.run_id AND run.status NOT IN ('complete', 'cancelled', 'rolled_back')
    )

-- name: remove_old_workers
-- Killed ones; the others go by themselves.
DELETE FROM segue.job_workers WHERE heard_at < clock_timestamp() - interval '1 day'
