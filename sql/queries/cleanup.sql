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
    cleanup.lease IS NOT NULL AND cleanup.lease > clock_timestamp() AS has_lease,
    pg_total_relation_size(to_regclass(format('segue.%%I', cleanup.archive))) AS archive_bytes
FROM (
    SELECT one.*, run.lease_until AS lease FROM segue.cleanups AS one JOIN segue.runs AS run ON run.id = one.run_id
) AS cleanup
WHERE cleanup.state <> 'undone'
ORDER BY cleanup.run_id

-- name: describe_table
-- What the table is, and whether this role may do what a cleanup does.
SELECT
    class.oid::bigint AS oid,
    class.relkind::text AS kind,
    class.relispartition
    OR EXISTS (SELECT FROM pg_inherits AS child WHERE class.oid IN (child.inhrelid, child.inhparent)) AS has_relatives,
    pg_get_userbyid(class.relowner)::text AS owner,
    pg_has_role(class.relowner, 'USAGE') AS may_alter,
    current_user::text AS role,
    has_schema_privilege('segue', 'CREATE') AS may_archive,
    has_function_privilege('pg_create_restore_point(text)', 'EXECUTE') AS may_mark,
    current_setting('wal_level') AS wal_level,
    coalesce(
        (
            SELECT array_agg(rule.rulename::text ORDER BY rule.rulename)
            FROM pg_rewrite AS rule WHERE rule.ev_class = class.oid AND rule.rulename <> '_RETURN'
        ),
        '{{}}'
    ) AS rules
FROM pg_class AS class
WHERE class.oid = to_regclass(%(table_name)s)::oid

-- name: describe_column
-- Everything that DROP COLUMN takes away, in the words that make it again.
SELECT
    att.attnum AS position,
    (
        SELECT before.attname::text FROM pg_attribute AS before
        WHERE before.attrelid = att.attrelid AND before.attnum BETWEEN 1 AND att.attnum - 1 AND NOT before.attisdropped
        ORDER BY before.attnum DESC
        LIMIT 1
    ) AS after_column,
    format_type(att.atttypid, att.atttypmod) AS type,
    att.attnotnull AS is_not_null,
    att.attgenerated <> '' AS is_generated,
    pg_get_expr(def.adbin, def.adrelid) AS default,
    (
        SELECT format('%%I.%%I', space.nspname, known.collname)
        FROM pg_collation AS known JOIN pg_namespace AS space ON space.oid = known.collnamespace
        WHERE known.oid = att.attcollation AND att.attcollation <> type.typcollation
    ) AS collation,
    CASE WHEN att.attstorage <> type.typstorage THEN
        CASE att.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'x' THEN 'EXTENDED' WHEN 'm' THEN 'MAIN' END
    END AS storage,
    CASE att.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression,
    nullif(att.attstattarget, -1) AS statistics,
    att.attoptions::text[] AS options,
    col_description(att.attrelid, att.attnum) AS comment,
    coalesce(
        (
            SELECT jsonb_agg(
                jsonb_build_object(
                    'role', CASE WHEN acl.grantee <> 0 THEN pg_get_userbyid(acl.grantee) END,
                    'privilege', acl.privilege_type,
                    'may_grant', acl.is_grantable
                ) ORDER BY acl.ordinality
            )
            FROM aclexplode(att.attacl) WITH ORDINALITY AS acl
        ),
        '[]'
    ) AS grants,
    coalesce(
        (
            SELECT jsonb_agg(
                jsonb_build_object(
                    'oid', con.oid::bigint, 'name', con.conname, 'kind', con.contype, 'is_valid', con.convalidated,
                    'definition', pg_get_constraintdef(con.oid), 'comment', obj_description(con.oid, 'pg_constraint')
                ) ORDER BY con.conname
            )
            FROM pg_constraint AS con
            WHERE con.conrelid = att.attrelid AND con.conkey = ARRAY[att.attnum]
        ),
        '[]'
    ) AS constraints,
    coalesce(
        (
            SELECT jsonb_agg(
                jsonb_build_object(
                    'oid', index.indexrelid::bigint, 'name', own.relname, 'definition', pg_get_indexdef(index.indexrelid),
                    'comment', obj_description(index.indexrelid, 'pg_class'), 'is_clustered', index.indisclustered
                ) ORDER BY own.relname
            )
            FROM pg_index AS index JOIN pg_class AS own ON own.oid = index.indexrelid
            WHERE
                index.indrelid = att.attrelid
                AND index.indisvalid AND NOT index.indisreplident
                AND NOT EXISTS (SELECT FROM pg_constraint AS con WHERE con.conindid = index.indexrelid)
                AND EXISTS (
                    SELECT FROM pg_depend AS dep
                    WHERE
                        dep.classid = 'pg_class'::regclass AND dep.objid = index.indexrelid
                        AND dep.refobjid = att.attrelid AND dep.refobjsubid = att.attnum
                )
                AND NOT EXISTS (
                    SELECT FROM pg_depend AS dep
                    WHERE
                        dep.classid = 'pg_class'::regclass AND dep.objid = index.indexrelid
                        AND dep.refclassid = 'pg_class'::regclass AND dep.refobjid = att.attrelid
                        -- An index of expressions alone depends on the table, too; one on whole rows shows it.
                        AND dep.refobjsubid <> att.attnum
                        AND (dep.refobjsubid <> 0 OR pg_get_indexdef(index.indexrelid) LIKE '%%.*%%')
                )
        ),
        '[]'
    ) AS indexes
FROM pg_attribute AS att
JOIN pg_type AS type ON type.oid = att.atttypid
LEFT JOIN pg_attrdef AS def ON def.adrelid = att.attrelid AND def.adnum = att.attnum
WHERE att.attrelid = %(oid)s::oid AND att.attname = %(column)s AND att.attnum > 0 AND NOT att.attisdropped

-- name: list_dependents
-- What PostgreSQL knows to use the column, but for what goes and comes back with it ({own}) and Segue's own triggers.
SELECT DISTINCT
    CASE WHEN rule.oid IS NULL THEN known.type ELSE CASE class.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END END AS kind,
    CASE WHEN rule.oid IS NULL THEN known.identity ELSE class.oid::regclass::text END AS name
FROM pg_depend AS dep
CROSS JOIN LATERAL pg_identify_object(dep.classid, dep.objid, dep.objsubid) AS known
LEFT JOIN pg_rewrite AS rule ON dep.classid = 'pg_rewrite'::regclass AND rule.oid = dep.objid AND rule.rulename = '_RETURN'
LEFT JOIN pg_class AS class ON class.oid = rule.ev_class
WHERE
    dep.refclassid = 'pg_class'::regclass AND dep.refobjid = %(oid)s::oid AND dep.refobjsubid = %(position)s
    AND NOT (dep.classid IN ('pg_constraint'::regclass, 'pg_class'::regclass) AND dep.objid = ANY(%(own)s::bigint[]::oid[]))
    AND NOT EXISTS (
        SELECT FROM pg_attrdef AS def
        WHERE
            dep.classid = 'pg_attrdef'::regclass AND def.oid = dep.objid
            AND def.adrelid = dep.refobjid AND def.adnum = dep.refobjsubid
    )
    AND NOT EXISTS (
        SELECT FROM pg_trigger AS trigger
        JOIN pg_proc AS proc ON proc.oid = trigger.tgfoid
        WHERE
            dep.classid = 'pg_trigger'::regclass AND trigger.oid = dep.objid
            AND proc.pronamespace = to_regnamespace('segue')::oid
    )
ORDER BY 1, 2

-- name: list_mentions
-- Functions whose text names the column. PostgreSQL does not know what they use; a trigger on the table itself would fail.
SELECT
    proc.oid::regprocedure::text AS name,
    (
        SELECT min(trigger.tgname::text) FROM pg_trigger AS trigger
        WHERE trigger.tgfoid = proc.oid AND trigger.tgrelid = %(oid)s::oid AND trigger.tgenabled <> 'D'
    ) AS trigger
FROM pg_proc AS proc
JOIN pg_namespace AS space ON space.oid = proc.pronamespace
JOIN pg_language AS language ON language.oid = proc.prolang
WHERE
    space.nspname NOT IN ('pg_catalog', 'information_schema', 'segue')
    AND language.lanname NOT IN ('c', 'internal')
    AND proc.prosrc ~* ('\m' || regexp_replace(%(column)s, '([^\w])', '\\\1', 'g') || '\M')
    AND NOT EXISTS (
        SELECT FROM pg_depend AS dep
        WHERE dep.deptype = 'e' AND dep.classid = 'pg_proc'::regclass AND dep.objid = proc.oid
    )
ORDER BY 1

-- name: measure_column
SELECT count(*) AS row_count, coalesce(sum(pg_column_size({column})), 0)::bigint AS bytes FROM {table}

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
DELETE FROM segue.archive_changes AS change
WHERE
    change.ctid = ANY(
        ARRAY(SELECT next.ctid FROM segue.archive_changes AS next WHERE next.run_id = %(run_id)s LIMIT %(most)s)
    )
    AND change.run_id = %(run_id)s
RETURNING change.key

-- name: list_noted
SELECT DISTINCT change.key FROM segue.archive_changes AS change
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
DELETE FROM segue.archive_changes WHERE run_id = %(run_id)s

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
