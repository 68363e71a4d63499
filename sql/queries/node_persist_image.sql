-- name: stored_records
SELECT {digest} AS record
FROM {target} AS t
{joins}
WHERE t.run_id = %(run_id)s AND {of_range}

-- name: users_in_range
{user} IN (
    SELECT coalesce(t.id, segue.row_id('user', file.user_id))
    FROM segue.files AS file
    LEFT JOIN {users} AS t ON t.spotify_id = file.user_id
    WHERE file.run_id = %(run_id)s AND file.outcome = 'imported' AND {in_range}
)

-- name: digest_stored
SELECT
    count(*) AS created, sum(hash_record_extended(record, 42)) AS created_sum,
    bit_xor(hash_record_extended(record, 43)) AS created_xor
FROM ({records}) AS stored

-- name: find_row_differences
-- Rows due and absent, of the run and not due, or with other values; rows that others made stand.
SELECT who.path AS key, {name} AS table_name, count(*) AS n
FROM (
    SELECT coalesce(due.user_key, stored.user_key) AS user_key
    FROM (SELECT {due_user} AS user_key, {due_key}, {digest} AS record FROM {stage} AS d {joins}) AS due
    FULL JOIN (
        SELECT {stored_user} AS user_key, {stored_key}, {stored_digest} AS record, {stored_run} AS run_id
        FROM {target} AS t
        {stored_joins}
        WHERE {stored_user} IN (SELECT id FROM pg_temp.stage_who)
    ) AS stored USING ({key})
    WHERE
        stored.record IS NULL
        OR (stored.run_id = %(run_id)s AND due.record IS NULL)
        OR (stored.run_id = %(run_id)s AND due.record <> stored.record)
) AS differing
JOIN pg_temp.stage_who AS who ON who.id = differing.user_key
GROUP BY 1, 2
ORDER BY 1, 2
LIMIT %(most)s

-- name: find_uncovered
-- Shared rows that lack something which a file gives.
SELECT {due_key_text} AS key, CASE WHEN t IS NULL THEN 'missing row' ELSE 'row lacks a value that a file gives' END AS problem
FROM ({merged}) AS d
LEFT JOIN {target} AS t USING ({key})
WHERE t IS NULL OR ({held}) IS DISTINCT FROM ({due})
ORDER BY 1
LIMIT %(most)s

-- name: list_new
-- Shared rows that the staged files would make.
SELECT {due_key_text} AS key FROM ({merged}) AS d LEFT JOIN {target} AS t USING ({key}) WHERE t IS NULL
