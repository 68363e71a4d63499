-- name: find_tables
-- Ordinary, partitioned and foreign tables and views by name, for the look-up and for "did you mean".
SELECT namespace.nspname AS schema_name, class.relname AS table_name, class.oid::bigint AS oid
FROM pg_class AS class
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE class.relkind IN ('r', 'p', 'f', 'v', 'm') AND namespace.nspname = %(schema)s
ORDER BY class.relname

-- name: list_columns
SELECT
    attribute.attname AS name,
    format_type(attribute.atttypid, NULL) AS type,
    attribute.attnotnull AS is_not_null,
    (
        SELECT format('%%I.%%I', namespace.nspname, known.collname)
        FROM pg_collation AS known JOIN pg_namespace AS namespace ON namespace.oid = known.collnamespace
        WHERE known.oid = attribute.attcollation
    ) AS collation,
    has_column_privilege(attribute.attrelid, attribute.attnum, 'SELECT') AS is_readable,
    EXISTS (
        SELECT FROM pg_index AS index
        WHERE
            index.indrelid = attribute.attrelid AND index.indisunique AND index.indpred IS NULL AND index.indisvalid
            AND index.indnkeyatts = 1 AND index.indkey[0] = attribute.attnum
    ) AS is_unique
FROM pg_attribute AS attribute
WHERE attribute.attrelid = %(oid)s::oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
ORDER BY attribute.attnum

-- name: count_rows
SELECT count(*) AS total FROM {table}

-- name: cut_keys
-- Keys at even percentiles of a sample, as text.
SELECT array_agg(cut.key::text ORDER BY cut.key) AS cuts
FROM (
    SELECT unnest(percentile_disc(%(shares)s::float8[]) WITHIN GROUP (ORDER BY {key})) AS key
    FROM {table} TABLESAMPLE SYSTEM (%(percent)s)
) AS cut

-- name: page
-- {conditions} bound the keys; LIMIT NULL is no limit.
SELECT {key} AS k, {value} AS v FROM {table} WHERE {conditions} ORDER BY {key} LIMIT %(limit)s

-- name: page_of_keys
SELECT {key} AS k, {value} AS v FROM {table} WHERE {key} = ANY(%(keys)s::{key_type}[])

-- name: whole
SELECT {key} AS k, {value} AS v FROM {table} WHERE {conditions}

-- name: sample
-- As good as at random, and the same at every validation of a run.
SELECT {key} AS k, {value} AS v FROM {table} WHERE {conditions} ORDER BY segue.key_hash({key}, %(run_id)s) LIMIT %(limit)s

-- name: after
({column}) > (%(after)s::{key_type})

-- name: upto
({column}) <= (%(upto)s::{key_type})

-- name: find_median
-- The key in the middle of a range, to halve it.
SELECT (percentile_disc(0.5) WITHIN GROUP (ORDER BY page.k))::text AS median, count(*) AS row_count
FROM ({page}) AS page

-- name: only
({column}) = ANY(%(only)s::{key_type}[])

-- name: sound
-- All but the rows that a run has in quarantine as a whole.
({column})::text NOT IN (
    SELECT aside.key FROM segue.quarantine AS aside WHERE aside.run_id = %(aside_of)s AND aside.ordinal = 0
)

-- name: first_key
SELECT {key}::text AS key FROM {table} WHERE {conditions} ORDER BY {key} LIMIT 1

-- name: weigh_toast
-- Bytes of a table's values that are stored beside its rows, because they are too large for a page.
SELECT coalesce(sum(pg_relation_size(class.reltoastrelid)), 0)::bigint AS bytes
FROM pg_class AS class
WHERE
    class.reltoastrelid <> 0
    AND (class.oid = %(oid)s::oid OR class.oid IN (SELECT part.relid FROM pg_partition_tree(%(oid)s::oid::regclass) AS part))

-- name: fit_page
-- How many rows of a page are within so many bytes as they are stored; sizes are known without reading the values.
SELECT count(*) FILTER (WHERE page.bytes <= %(most)s) AS fitting, count(*) AS row_count
FROM (
    SELECT sum(page.bytes) OVER (ORDER BY page.k ROWS UNBOUNDED PRECEDING) AS bytes
    FROM ({sizes}) AS page
) AS page

-- name: page_of_sizes
SELECT {key} AS k, pg_column_size({column}) AS bytes FROM {table} WHERE {conditions} ORDER BY {key} LIMIT %(limit)s

-- name: halve_keys
-- The middle of a range by a sample of the table's keys, and about how many rows the range has.
SELECT
    (percentile_disc(0.5) WITHIN GROUP (ORDER BY {key}))::text AS median,
    round(count(*) * 100 / %(percent)s::float8)::bigint AS row_count
FROM {table} TABLESAMPLE SYSTEM (%(percent)s)
WHERE {conditions}
