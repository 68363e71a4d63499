-- name: begin_read_only
SET TRANSACTION READ ONLY

-- name: describe_database
SELECT
    current_database()::text AS name,
    current_user::text AS role,
    pg_encoding_to_char(known.encoding)::text AS encoding,
    known.datcollate::text AS collate,
    known.datctype::text AS ctype,
    (SELECT role.rolcreatedb OR role.rolsuper FROM pg_roles AS role WHERE role.rolname = current_user) AS may_create
FROM pg_database AS known
WHERE known.datname = current_database()

-- name: list_left_behind
-- Scratch databases whose rehearsal is gone: its own session, which lives as long as it does, is not there any more.
SELECT known.datname::text AS name
FROM pg_database AS known
WHERE
    starts_with(known.datname::text, %(prefix)s)
    AND pg_has_role(known.datdba, 'USAGE')
    AND NOT EXISTS (
        SELECT FROM pg_stat_activity AS session
        WHERE session.datname = known.datname AND starts_with(session.application_name, %(holder)s)
    )
ORDER BY 1

-- name: create_database
CREATE DATABASE {name} TEMPLATE template0 ENCODING {encoding} LC_COLLATE {collate} LC_CTYPE {ctype}

-- name: drop_database
DROP DATABASE IF EXISTS {name} WITH (FORCE)

-- name: alter_database_name
ALTER DATABASE {name} RENAME TO {kept}

-- name: list_columns
-- Types and orders that every database has are kept; others come as text.
SELECT
    att.attname::text AS name,
    space.nspname = 'pg_catalog' AS is_builtin,
    format_type(att.atttypid, att.atttypmod) AS type,
    (
        SELECT format('%%I.%%I', home.nspname, known.collname)
        FROM pg_collation AS known JOIN pg_namespace AS home ON home.oid = known.collnamespace
        WHERE known.oid = att.attcollation AND att.attcollation <> type.typcollation AND home.nspname = 'pg_catalog'
    ) AS collation
FROM pg_attribute AS att
JOIN pg_type AS type ON type.oid = att.atttypid
LEFT JOIN pg_type AS element ON element.oid = type.typelem AND type.typcategory = 'A'
JOIN pg_namespace AS space ON space.oid = coalesce(element.typnamespace, type.typnamespace)
WHERE att.attrelid = to_regclass(%(table_name)s)::oid AND att.attnum > 0 AND NOT att.attisdropped
ORDER BY att.attnum

-- name: create_schema
CREATE SCHEMA IF NOT EXISTS {schema}

-- name: create_table
CREATE TABLE {table} ({columns}, PRIMARY KEY ({key}))

-- name: copy_out
COPY (SELECT {columns} FROM {table} {sample}) TO STDOUT (FORMAT binary)

-- name: copy_in
COPY {table} ({names}) FROM STDIN (FORMAT binary)

-- name: has_relation
SELECT to_regclass(%(relation)s) IS NOT NULL AS found

-- name: list_tables
SELECT format('%%I.%%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = ANY(%(schemas)s) ORDER BY 1

-- name: digest_table
SELECT count(*) AS row_count, coalesce(sum(hashtextextended(one::text, 0)), 0)::text AS digest FROM {table} AS one

-- name: read_keys
SELECT {key}::text AS key FROM {table} ORDER BY 1 LIMIT %(most)s

-- name: write_row
-- A user's write: the value of another song; what is acknowledged is what the ledger keeps.
UPDATE {table} AS one SET {column} = (SELECT other.{column} FROM {table} AS other WHERE other.{key} = %(other)s::{key_type})
WHERE one.{key} = %(key)s::{key_type}
RETURNING md5(one.{column}::text) AS hash

-- name: read_hashes
SELECT {key}::text AS key, md5({column}::text) AS hash FROM {table} WHERE {key} = ANY(%(keys)s::{key_type} [])

-- name: read_lock_wait
-- How long the synthetic users' longest wait for a lock has lasted so far.
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - held.waitstart)), 0)::float8 AS seconds
FROM pg_locks AS held
JOIN pg_stat_activity AS session ON session.pid = held.pid
WHERE NOT held.granted AND session.datname = current_database() AND session.application_name = %(writer)s

-- name: read_wal_position
SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint AS position

-- name: read_size
SELECT pg_database_size(current_database()) AS bytes

-- name: compare_checkpoints
-- Of a run that converts: the links that its checkpoints count, and those that are stored.
SELECT
    (SELECT status FROM segue.runs WHERE id = %(run_id)s) AS status,
    (SELECT coalesce(sum(created), 0)::bigint FROM segue.partitions WHERE run_id = %(run_id)s) AS counted,
    (SELECT count(*) FROM {target} WHERE run_id = %(run_id)s) AS stored
