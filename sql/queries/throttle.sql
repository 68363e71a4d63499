-- name: read_load
-- What the database suffers from now; each figure is null where this role may not see it.
SELECT
    (SELECT extract(epoch FROM max(replay_lag)) FROM pg_stat_replication)::float8 AS lag,
    (
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name <> 'segue'
    )::float8 AS waiters,
    (
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'active' AND application_name <> 'segue'
    )::float8 AS sessions,
    (
        SELECT count(*) FROM pg_stat_progress_vacuum
        WHERE datname = current_database() AND relid IN (SELECT to_regclass(name)::oid FROM unnest(%(tables)s::text[]) AS name)
    )::float8 AS vacuum,
    (
        SELECT CASE WHEN has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE') AND current_setting('archive_mode') <> 'off'
            THEN (SELECT count(*) FROM pg_ls_archive_statusdir() AS file WHERE file.name LIKE '%%.ready') END
    )::float8 AS archive

-- name: forbid_writes
-- Of the transaction at hand, before an admin's own statement.
SET TRANSACTION READ ONLY

-- name: read_custom
-- The admin's own: one row, one number; null and 0 are no reason to wait.
SELECT coalesce(({statement})::float8, 0) AS value

-- name: save_reason
UPDATE segue.runs SET throttled = %(reason)s WHERE id = %(run_id)s AND lease_token = %(token)s

-- name: read_controls
-- With what all workers of the run have done, wherever they are.
SELECT
    run.controls,
    run.request,
    coalesce(sum(part.row_count), 0)::bigint AS row_count,
    coalesce(sum(part.quarantined_rows), 0)::bigint AS quarantined_rows,
    EXISTS (SELECT FROM segue.workers AS worker WHERE worker.run_id = run.id) AS is_shared
FROM segue.runs AS run
LEFT JOIN segue.partitions AS part ON part.run_id = run.id
WHERE run.id = %(run_id)s
GROUP BY run.id

-- name: lock_controls
SELECT controls, status FROM segue.runs WHERE id = %(run_id)s FOR UPDATE

-- name: save_controls
UPDATE segue.runs SET controls = %(controls)s WHERE id = %(run_id)s
