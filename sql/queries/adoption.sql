-- name: find_relation
-- What has the name of a table, if anything: an index or a view takes the name too.
SELECT relkind IN ('r', 'p') AS is_table
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %(schema)s::text AND relname = %(table)s::text

-- name: has_catalog
-- All of its tables are there, or none.
SELECT EXISTS (SELECT FROM segue.tables WHERE name = 'users') AS found

-- name: has_catalog_revision
SELECT EXISTS (SELECT FROM segue.alembic_version WHERE version_num >= '0003') AS found

-- name: list_columns
-- A table's columns: type with and without its length, whether they need a value, whether unequal texts can be equal.
SELECT
    attname::text AS name,
    format_type(atttypid, atttypmod) AS type,
    format_type(atttypid, NULL) AS base_type,
    attnotnull AS is_required,
    atthasdef OR attidentity <> '' AS has_default,
    coalesce(NOT collisdeterministic, false) AS is_blurred
FROM pg_attribute LEFT JOIN pg_collation ON pg_collation.oid = attcollation
WHERE attrelid = format('%%I.%%I', %(schema)s::text, %(table)s::text)::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attnum

-- name: list_unique_keys
-- Only what a foreign key and ON CONFLICT can stand on: plain columns, all rows, checked at once.
SELECT array_agg(attname::text) AS columns
FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey[0:indnkeyatts - 1])
WHERE indrelid = format('%%I.%%I', %(schema)s::text, %(table)s::text)::regclass
AND indisunique AND indisvalid AND indimmediate AND indpred IS NULL AND indexprs IS NULL
GROUP BY indexrelid
