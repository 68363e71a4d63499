-- What there is of mirrors, and the songs that came late.

-- name: list_triggers
SELECT
    namespace.nspname::text AS schema,
    class.relname::text AS table,
    trigger.tgname::text AS name,
    trigger.tgenabled <> 'D' AS is_enabled,
    format('ALTER TABLE %%I.%%I ENABLE TRIGGER %%I', namespace.nspname, class.relname, trigger.tgname) AS fix
FROM pg_trigger AS trigger
JOIN pg_class AS class ON class.oid = trigger.tgrelid
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
JOIN pg_proc AS proc ON proc.oid = trigger.tgfoid
WHERE
    proc.pronamespace = to_regnamespace('segue') AND trigger.tgname LIKE 'segue\_mirror\_%%' AND trigger.tgparentid = 0
ORDER BY 1, 2, 3

-- name: has_settle_trigger
SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'segue.mirror_pending'::regclass AND tgname = 'mirror_settle') AS found

-- name: describe_source
-- What a mirror needs of the legacy table.
SELECT
    class.relkind IN ('r', 'p') AS is_table,
    current_user::text AS role,
    has_table_privilege(class.oid, 'TRIGGER') AS may_make_triggers,
    has_table_privilege(class.oid, 'UPDATE') OR has_any_column_privilege(class.oid, 'UPDATE') AS may_lock,
    pg_has_role(class.relowner, 'USAGE') AS is_owner
FROM pg_class AS class
WHERE class.oid = %(table)s::regclass

-- name: list_late
SELECT key FROM segue.mirror_late WHERE run_id = %(run_id)s GROUP BY key ORDER BY key NULLS FIRST LIMIT %(most)s

-- name: forget_late
-- After their songs are locked: a note that comes later belongs to a transaction that waits for us.
DELETE FROM segue.mirror_late WHERE run_id = %(run_id)s AND key = ANY(%(keys)s::text[])

-- name: forget_truncate
DELETE FROM segue.mirror_late WHERE run_id = %(run_id)s AND key IS NULL

-- name: count_late
SELECT run_id, count(*) AS found FROM segue.mirror_late GROUP BY run_id ORDER BY run_id

-- name: drop_late
DELETE FROM segue.mirror_late WHERE run_id = %(run_id)s

-- name: list_gone
-- Keys of the run's links without a song, after a TRUNCATE that came late.
SELECT DISTINCT link.song_id::text AS key
FROM {song_tags} AS link
WHERE link.run_id = %(run_id)s AND NOT EXISTS (SELECT FROM {table} AS song WHERE song.{key} = link.song_id)
LIMIT %(most)s

-- name: list_mirrored_runs
SELECT id, migration, status, plan ->> 'mirror' AS mirror
FROM segue.runs
WHERE plan ? 'mirror' AND status NOT IN ('rolled_back', 'rolling_back', 'cancelled')
AND id = (SELECT max(latest.id) FROM segue.runs AS latest WHERE latest.migration = runs.migration AND latest.status <> 'rolled_back')
ORDER BY id
