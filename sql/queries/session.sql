-- name: begin_repeatable_read
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ

-- name: begin_read_committed
SET TRANSACTION ISOLATION LEVEL READ COMMITTED

-- name: bound_waits
-- One statement, so one round trip; all LOCAL, so a pooler never leaks them into another client's session. What a
-- mirror reads of the last one: these writes are Segue's own and no edit of a person's.
SELECT
    set_config('lock_timeout', %(lock_timeout)s, true),
    set_config('idle_in_transaction_session_timeout', %(idle_timeout)s, true),
    set_config('jit', 'off', true),
    set_config('work_mem', '64MB', true),
    set_config('maintenance_work_mem', '256MB', true),
    set_config(
        'max_parallel_workers_per_gather', coalesce(%(parallel)s, current_setting('max_parallel_workers_per_gather')), true
    ),
    set_config(
        'max_parallel_maintenance_workers', coalesce(%(parallel)s, current_setting('max_parallel_maintenance_workers')), true
    ),
    set_config('timezone', 'UTC', true),
    set_config('segue.writes', 'own', true)

-- name: describe_server
SELECT
    current_setting('server_version_num')::int / 10000 AS major,
    current_setting('server_version') AS version,
    pg_backend_pid() AS backend_pid,
    to_regclass('segue.alembic_version') IS NOT NULL AS has_schema,
    pg_is_in_recovery() AS in_recovery

-- name: read_revision
SELECT version_num, (SELECT min(schema_name) FROM segue.tables) AS schema_name FROM segue.alembic_version

-- name: list_states
-- What the server does for each session, and since when; the state of another role's session is not to be seen, and
-- counts as being at work.
SELECT
    pid,
    pid = pg_backend_pid() AS is_own,
    CASE WHEN state IS NULL OR state IN ('active', 'fastpath function call') THEN 'active' ELSE state || ' ' || state_change::text END AS state
FROM pg_stat_activity
WHERE datname = current_database()

-- name: end_session
-- Only while it does what it did: process numbers are used again.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE pid = %(pid)s AND state || ' ' || state_change::text = %(state)s
