-- name: find_record
SELECT * FROM segue.cleanups WHERE run_id = %(run_id)s

-- name: find_record_of_column
-- The cleanup that took this column away.
SELECT * FROM segue.cleanups
WHERE
    schema_name = %(schema)s AND table_name = %(table)s AND column_name = %(column)s AND key_name = %(key)s
    AND state IN ('dropped', 'restoring')
ORDER BY run_id DESC
LIMIT 1

-- name: list_open
SELECT
    cleanup.*,
    run.lease_token IS NOT NULL AND segue.is_alive(run.lease_until, run.backend_pid, run.backend_start) AS has_lease,
    pg_total_relation_size(to_regclass(format('segue.%%I', cleanup.archive))) AS archive_bytes
FROM segue.cleanups AS cleanup
JOIN segue.runs AS run ON run.id = cleanup.run_id
WHERE cleanup.state <> 'undone'
ORDER BY cleanup.run_id

-- name: see_all_rows
-- A policy that hid rows from the archive must be an error.
SELECT set_config('row_security', 'off', true)

-- name: begin_record
-- A cleanup that was undone may be done again.
INSERT INTO segue.cleanups
(run_id, schema_name, table_name, column_name, key_name, key_type, key_collation, archive, description)
VALUES (
    %(run_id)s, %(schema)s, %(table)s, %(column)s, %(key)s, %(key_type)s, %(key_collation)s, %(archive)s, %(description)s
)
ON CONFLICT (run_id) DO UPDATE SET
state = 'archiving', archive = excluded.archive, description = excluded.description, cursor = NULL, is_copied = false,
caught_up = 0, is_settled = true, restore_point = NULL, restore_lsn = NULL, started_at = clock_timestamp(),
dropped_at = NULL, undone_at = NULL
WHERE cleanups.state = 'undone'

-- name: create_archive
CREATE TABLE {archive} AS SELECT {key} AS key, {column} AS value FROM {table} WITH NO DATA

-- name: alter_archive
ALTER TABLE {archive} ADD PRIMARY KEY (key)

-- name: create_row_trigger
-- ALWAYS, so that rows of a replication are noted, too. Values are compared byte by byte: 1.0 is not 1.00.
CREATE TRIGGER {update_trigger} AFTER UPDATE ON {table} FOR EACH ROW
WHEN (ROW(old.{column}, old.{key})::record OPERATOR(pg_catalog.*<>) ROW(new.{column}, new.{key})::record)
EXECUTE FUNCTION segue.note_archive_change({arguments})

-- name: create_edge_trigger
CREATE TRIGGER {edge_trigger} AFTER INSERT OR DELETE ON {table} FOR EACH ROW
EXECUTE FUNCTION segue.note_archive_change({arguments})

-- name: create_truncate_trigger
CREATE TRIGGER {truncate_trigger} AFTER TRUNCATE ON {table} FOR EACH STATEMENT
EXECUTE FUNCTION segue.note_archive_change({arguments})

-- name: alter_triggers
ALTER TABLE {table}
ENABLE ALWAYS TRIGGER {update_trigger}, ENABLE ALWAYS TRIGGER {edge_trigger}, ENABLE ALWAYS TRIGGER {truncate_trigger}

-- name: drop_trigger
DROP TRIGGER IF EXISTS {trigger} ON {table}

-- name: copy_chunk
-- {conditions} bound the keys.
WITH page AS (
    SELECT {key} AS key, {column} AS value FROM {table} WHERE {conditions} ORDER BY {key} LIMIT %(limit)s
),

copied AS (
    INSERT INTO {archive} AS kept (key, value) SELECT page.key, page.value FROM page
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
    RETURNING 1
)

SELECT
    (SELECT count(*) FROM copied) AS copied,
    (SELECT page.key::text FROM page ORDER BY page.key DESC LIMIT 1) AS last_key

-- name: save_progress
UPDATE segue.cleanups SET cursor = coalesce(%(cursor)s, cursor), is_copied = %(is_copied)s WHERE run_id = %(run_id)s

-- name: start_copy_again
UPDATE segue.cleanups SET cursor = NULL, is_copied = false WHERE run_id = %(run_id)s

-- name: truncate_archive
TRUNCATE {archive}

-- name: take_changes
DELETE FROM segue.cleanup_changes AS change
WHERE
    change.ctid = ANY(
        ARRAY(SELECT next.ctid FROM segue.cleanup_changes AS next WHERE next.run_id = %(run_id)s LIMIT %(most)s)
    )
    AND change.run_id = %(run_id)s
RETURNING change.key

-- name: list_noted
SELECT DISTINCT change.key FROM segue.cleanup_changes AS change
WHERE change.run_id = %(run_id)s AND change.key = ANY(%(keys)s::text[])

-- name: archive_again
INSERT INTO {archive} AS kept (key, value)
SELECT {key}, {column} FROM {table} WHERE {key} = ANY(%(keys)s::{key_type} [])
ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: forget_gone
DELETE FROM {archive} AS kept
WHERE
    kept.key = ANY(%(keys)s::{key_type} [])
    AND NOT EXISTS (SELECT FROM {table} AS legacy WHERE legacy.{key} = kept.key)

-- name: note_caught_up
UPDATE segue.cleanups SET caught_up = caught_up + %(rows)s, is_settled = is_settled AND %(rows)s = 0 WHERE run_id = %(run_id)s

-- name: note_settled
UPDATE segue.cleanups SET is_settled = true WHERE run_id = %(run_id)s

-- name: mark_restore_point
SELECT pg_create_restore_point(%(restore_point)s)::text AS lsn

-- name: save_restore_point
UPDATE segue.cleanups SET restore_point = %(restore_point)s, restore_lsn = %(lsn)s WHERE run_id = %(run_id)s

-- name: lock_table
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE

-- name: list_lock_holders
-- Who has the table now, the longest first.
SELECT
    held.pid,
    coalesce(nullif(session.application_name, ''), 'unnamed') AS application,
    coalesce(session.usename, '?') AS role,
    coalesce(extract(epoch FROM clock_timestamp() - session.xact_start), 0)::bigint AS seconds
FROM pg_locks AS held
LEFT JOIN pg_stat_activity AS session ON session.pid = held.pid
WHERE held.locktype = 'relation' AND held.relation = to_regclass(%(table_name)s)::oid AND held.granted AND held.pid <> pg_backend_pid()
GROUP BY held.pid, session.application_name, session.usename, session.xact_start
ORDER BY seconds DESC
LIMIT 5

-- name: drop_column
ALTER TABLE {table} DROP COLUMN {column}

-- name: note_dropped
UPDATE segue.cleanups
SET state = 'dropped', description = %(description)s, dropped_at = clock_timestamp(), is_settled = false
WHERE run_id = %(run_id)s

-- name: drop_archive
DROP TABLE IF EXISTS {archive}

-- name: forget_record
DELETE FROM segue.cleanups WHERE run_id = %(run_id)s

-- name: forget_changes
DELETE FROM segue.cleanup_changes WHERE run_id = %(run_id)s

-- name: list_mirrors
-- Triggers of Segue on the table that keep tags and legacy column alike: their functions are Segue's, and named so.
SELECT trigger.tgname::text AS name, trigger.tgrelid::regclass::text AS table_name
FROM pg_trigger AS trigger
JOIN pg_proc AS proc ON proc.oid = trigger.tgfoid
WHERE
    NOT trigger.tgisinternal
    AND trigger.tgrelid IN (SELECT to_regclass(name)::oid FROM unnest(%(tables)s::text[]) AS name)
    AND proc.pronamespace = to_regnamespace('segue')::oid
    AND (trigger.tgname ILIKE '%%mirror%%' OR proc.proname ILIKE '%%mirror%%')
ORDER BY 1
