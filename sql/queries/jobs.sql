-- name: announce_migration
INSERT INTO segue.migrations (name, options) VALUES (%(migration)s, %(options)s)
ON CONFLICT (name) DO UPDATE SET options = excluded.options WHERE migrations.options IS DISTINCT FROM excluded.options

-- name: lock_migration
-- Who asks for a run of it decides alone until the end of the transaction.
SELECT name, options FROM segue.migrations WHERE name = %(migration)s FOR UPDATE

-- name: list_migrations
SELECT name FROM segue.migrations ORDER BY name

-- name: find_answer
SELECT asked_digest, answer FROM segue.jobs WHERE asked_by = %(asked_by)s AND idempotency_key = %(idempotency_key)s

-- name: find_active
SELECT * FROM segue.jobs WHERE migration = %(migration)s AND state <> 'ended'

-- name: find_latest_of_run
SELECT * FROM segue.jobs WHERE run_id = %(run_id)s ORDER BY id DESC LIMIT 1

-- name: reserve_run
SELECT nextval(pg_get_serial_sequence('segue.runs', 'id')) AS run_id

-- name: add_job
INSERT INTO segue.jobs (
    kind, migration, run_id, settings, options, asked_by, idempotency_key, asked_digest
)
VALUES (
    %(kind)s, %(migration)s, %(run_id)s, %(settings)s, %(options)s, %(asked_by)s, %(idempotency_key)s, %(asked_digest)s
)
RETURNING id

-- name: save_answer
UPDATE segue.jobs SET answer = %(answer)s WHERE id = %(job_id)s

-- name: claim_job
-- Of the migrations that the worker has: the oldest that is due, or one whose worker is gone.
WITH candidate AS (
    SELECT job.id, job.state
    FROM segue.jobs AS job
    WHERE
        job.migration = ANY(%(migrations)s::text[])
        AND (
            (job.state = 'queued' AND job.due_at <= clock_timestamp())
            OR (job.state = 'working' AND NOT segue.is_alive(job.lease_until, job.backend_pid, job.backend_start))
        )
    ORDER BY job.due_at, job.id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)

UPDATE segue.jobs
SET
    state = 'working',
    holder = %(holder)s,
    lease_token = %(token)s,
    lease_until = clock_timestamp() + %(lease)s::interval,
    backend_pid = NULL,
    backend_start = NULL,
    failures = failures + (candidate.state = 'working')::int,
    started_at = coalesce(started_at, clock_timestamp())
FROM candidate
WHERE jobs.id = candidate.id
RETURNING jobs.*, candidate.state = 'working' AS was_taken_over

-- name: renew_job
UPDATE segue.jobs
SET
    lease_until = clock_timestamp() + %(lease)s::interval,
    backend_pid = %(backend_pid)s,
    backend_start = (SELECT own.backend_start FROM pg_stat_activity AS own WHERE own.pid = %(backend_pid)s)
WHERE id = %(job_id)s AND lease_token = %(token)s
RETURNING request

-- name: requeue_job
UPDATE segue.jobs
SET
    state = 'queued', holder = NULL, lease_token = NULL, lease_until = NULL, backend_pid = NULL, backend_start = NULL,
    failures = %(failures)s,
    error = %(error)s,
    due_at = clock_timestamp() + %(delay)s::interval,
    waiting_since = CASE WHEN %(waits_on)s THEN waiting_since ELSE clock_timestamp() END
WHERE id = %(job_id)s AND lease_token = %(token)s

-- name: end_job
UPDATE segue.jobs
SET
    state = 'ended', lease_token = NULL, lease_until = NULL, backend_pid = NULL, backend_start = NULL,
    outcome = %(outcome)s,
    exit_code = %(exit_code)s,
    error = %(error)s,
    report = %(report)s,
    ended_at = clock_timestamp()
WHERE id = %(job_id)s AND lease_token = %(token)s

-- name: lock_active_of_run
-- With whether a live worker has it.
SELECT
    *,
    state = 'working' AND segue.is_alive(lease_until, backend_pid, backend_start) AS is_at_work
FROM segue.jobs
WHERE run_id = %(run_id)s AND state <> 'ended'
FOR UPDATE

-- name: ask_of_job
UPDATE segue.jobs SET request = %(request)s WHERE id = %(job_id)s

-- name: withdraw_job
-- Takes it out of the queue; a worker that was thought dead finds that it has lost it.
UPDATE segue.jobs
SET
    state = 'ended', lease_token = NULL, lease_until = NULL, backend_pid = NULL, backend_start = NULL,
    outcome = %(outcome)s,
    ended_at = clock_timestamp()
WHERE id = %(job_id)s
