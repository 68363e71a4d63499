-- name: describe_place
-- Whether everything is there that the column comes back from and to.
SELECT
    to_regclass(%(table_name)s) IS NOT NULL AS has_table,
    to_regclass(%(archive_name)s) IS NOT NULL AS has_archive,
    EXISTS (
        SELECT FROM pg_attribute AS att
        WHERE att.attrelid = to_regclass(%(table_name)s)::oid AND att.attname = %(column)s AND NOT att.attisdropped
    ) AS has_column,
    coalesce(
        (SELECT pg_has_role(class.relowner, 'USAGE') FROM pg_class AS class WHERE class.oid = to_regclass(%(table_name)s)::oid),
        false
    ) AS may_alter

-- name: measure
-- Rows with a value to come back, and rows that were made since.
SELECT
    count(kept.key) AS archived,
    count(*) - count(kept.key) AS made_since,
    (SELECT count(*) FROM {archive}) - count(kept.key) AS deleted_since
FROM {table} AS legacy LEFT JOIN {archive} AS kept ON kept.key = legacy.{key}

-- name: add_column
ALTER TABLE {table} ADD COLUMN {hidden} {type}

-- name: alter_column
ALTER TABLE {table} ALTER COLUMN {name} {change}

-- name: drop_default
ALTER TABLE {table} ALTER COLUMN {column} DROP DEFAULT

-- name: add_check
ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({hidden} IS NOT NULL) NOT VALID

-- name: drop_check
ALTER TABLE {table} DROP CONSTRAINT {check}

-- name: rename_column
ALTER TABLE {table} RENAME COLUMN {hidden} TO {column}

-- name: alter_constraint_name
ALTER TABLE {table} RENAME CONSTRAINT {before} TO {after}

-- name: find_not_null_constraint
-- PostgreSQL 18 names them.
SELECT con.conname::text AS name
FROM pg_constraint AS con
JOIN pg_attribute AS att ON att.attrelid = con.conrelid AND con.conkey = ARRAY[att.attnum]
WHERE con.conrelid = to_regclass(%(table_name)s)::oid AND con.contype = 'n' AND att.attname = %(column)s

-- name: add_constraint
ALTER TABLE {table} ADD CONSTRAINT {name} {definition}

-- name: alter_validity
ALTER TABLE {table} VALIDATE CONSTRAINT {name}

-- name: list_constraints
SELECT con.conname::text AS name FROM pg_constraint AS con WHERE con.conrelid = to_regclass(%(table_name)s)::oid

-- name: create_comment
COMMENT ON COLUMN {table}.{column} IS {comment}

-- name: create_constraint_comment
COMMENT ON CONSTRAINT {name} ON {table} IS {comment}

-- name: create_index_comment
COMMENT ON INDEX {name} IS {comment}

-- name: alter_cluster
ALTER TABLE {table} CLUSTER ON {name}

-- name: create_grant
GRANT {privilege} ({column}) ON {table} TO {role} {option}

-- name: list_update_triggers
-- What would fire when the column is filled, and how it is enabled.
SELECT
    trigger.tgname::text AS name,
    CASE trigger.tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END AS enabling
FROM pg_trigger AS trigger
WHERE
    trigger.tgrelid = to_regclass(%(table_name)s)::oid
    AND NOT trigger.tgisinternal AND trigger.tgenabled <> 'D' AND (trigger.tgtype & 16) <> 0
ORDER BY 1

-- name: alter_trigger
ALTER TABLE {table} {enabling} TRIGGER {name}

-- name: fill_chunk
-- {conditions} bound the keys; rows are locked in their order.
WITH page AS (
    SELECT {key} AS key FROM {table} WHERE {conditions} ORDER BY {key} LIMIT %(limit)s FOR NO KEY UPDATE
),

filled AS (
    UPDATE {table} AS legacy SET {hidden} = kept.value
    FROM page JOIN {archive} AS kept ON kept.key = page.key
    WHERE legacy.{key} = page.key
    RETURNING 1
)

SELECT
    (SELECT count(*) FROM page) AS looked_at,
    (SELECT count(*) FROM filled) AS filled,
    (SELECT page.key::text FROM page ORDER BY page.key DESC LIMIT 1) AS last_key

-- name: fill_others
-- Rows that were made while the column was away: the default is what they would have had.
UPDATE {table} AS legacy SET {hidden} = DEFAULT
WHERE {conditions} AND legacy.{hidden} IS NULL AND NOT EXISTS (SELECT FROM {archive} AS kept WHERE kept.key = legacy.{key})

-- name: save_state
UPDATE segue.cleanups
SET state = %(state)s, cursor = NULL, undone_at = CASE WHEN %(state)s = 'undone' THEN clock_timestamp() END
WHERE run_id = %(run_id)s

-- name: save_cursor
UPDATE segue.cleanups SET cursor = coalesce(%(cursor)s, cursor) WHERE run_id = %(run_id)s

-- name: find_index
SELECT index.indisvalid AS is_valid FROM pg_index AS index WHERE index.indexrelid = to_regclass(%(index_name)s)::oid

-- name: drop_half_index
DROP INDEX CONCURRENTLY IF EXISTS {name}

-- name: create_index
{definition}
