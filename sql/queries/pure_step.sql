-- name: create_target
CREATE TABLE {target} ({definition}, run_id bigint)

-- name: drop_target
DROP TABLE {target}

-- name: target_exists
SELECT to_regclass(%(target)s) IS NOT NULL AS found

-- name: is_target_empty
SELECT NOT EXISTS (SELECT FROM {target}) AS is_empty

-- name: digest_source
SELECT
    count(*) AS row_count,
    sum(segue.key_hash(page.k, jsonb_hash_extended(page.v, 1))) AS source_sum,
    bit_xor(segue.key_hash(page.k, jsonb_hash_extended(page.v, 2))) AS source_xor
FROM ({page}) AS page

-- name: digest_rows
-- The digest of rows that Python made, typed and hashed as the target would hold them.
SELECT
    count(*) AS linked,
    sum(hash_record_extended(due.*::record, 42)) AS expected_sum,
    bit_xor(hash_record_extended(due.*::record, 43)) AS expected_xor
FROM (SELECT {columns} FROM jsonb_populate_recordset(NULL::{target}, %(rows)s)) AS due

-- name: write_rows
WITH made AS (
    INSERT INTO {target} ({columns}, run_id)
    SELECT {columns}, %(run_id)s FROM jsonb_populate_recordset(NULL::{target}, %(rows)s)
    ON CONFLICT DO NOTHING
    RETURNING {columns}
)

SELECT
    count(*) AS created,
    sum(hash_record_extended(made.*::record, 42)) AS created_sum,
    bit_xor(hash_record_extended(made.*::record, 43)) AS created_xor
FROM made

-- name: digest_stored
SELECT
    count(*) AS created,
    sum(hash_record_extended(ROW({stored_columns}), 42)) AS created_sum,
    bit_xor(hash_record_extended(ROW({stored_columns}), 43)) AS created_xor
FROM {target} AS stored
WHERE stored.run_id = %(run_id)s AND {stored_in_range}

-- name: read_page
SELECT page.k::text AS key, page.v AS value FROM ({page}) AS page

-- name: find_differences
-- By the target's key: rows due and absent, present and not due, or present with other values. Rows of others stand.
SELECT
    coalesce(due.key, stored.key)::text AS key,
    CASE
        WHEN stored.key IS NULL THEN 'missing row'
        WHEN due.key IS NULL THEN 'extra row'
        ELSE 'row with other values'
    END AS problem
FROM (
    SELECT due.{target_key} AS key, hash_record_extended(due.*::record, 42) AS hash
    FROM (SELECT {columns} FROM jsonb_populate_recordset(NULL::{target}, %(rows)s)) AS due
) AS due
FULL JOIN (
    SELECT stored.{target_key} AS key, stored.run_id, hash_record_extended(ROW({stored_columns}), 42) AS hash
    FROM {target} AS stored
    WHERE {stored_in_range}
) AS stored ON stored.key = due.key
WHERE due.hash IS DISTINCT FROM stored.hash AND (stored.key IS NULL OR stored.run_id = %(run_id)s)
ORDER BY 1
LIMIT %(most)s

-- name: quarantine_row
INSERT INTO segue.quarantine (run_id, key, ordinal, payload, reason)
VALUES (%(run_id)s, %(key)s, 1, %(payload)s, %(reason)s)
ON CONFLICT (run_id, key, ordinal) DO UPDATE
SET payload = excluded.payload, reason = excluded.reason, attempts = quarantine.attempts + 1

-- name: forget_rows
WITH target AS (
    DELETE FROM {target} AS target WHERE target.run_id = %(run_id)s AND target.{target_key} = ANY(%(keys)s::{key_type}[])
),

kept AS (
    DELETE FROM segue.quarantine WHERE run_id = %(run_id)s AND key = ANY(%(keys)s::text[])
)

SELECT

-- name: count_quarantined
SELECT count(*) AS quarantined FROM segue.quarantine WHERE run_id = %(run_id)s AND {quarantine_in_range}

-- name: release_rows
-- Rows that people edited become theirs, so that the rollback passes them over.
UPDATE {target} AS target
SET run_id = NULL
WHERE target.run_id = %(run_id)s AND target.{target_key} = ANY(%(keys)s::{key_type}[])
