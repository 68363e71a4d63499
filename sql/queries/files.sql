-- name: create_listing
-- What the store holds now, as one look saw it.
CREATE TEMP TABLE IF NOT EXISTS segue_listing (
    path text COLLATE "C", size bigint, mtime_ns bigint, user_id text COLLATE "C", is_known boolean, reason text,
    generation int, updated_at bigint, is_candidate boolean,
    decided text
) ON COMMIT DELETE ROWS

-- name: empty_listing
TRUNCATE pg_temp.segue_listing

-- name: copy_listing
COPY pg_temp.segue_listing (path, size, mtime_ns, user_id, is_known, reason, generation) FROM STDIN

-- name: copy_signatures
COPY pg_temp.segue_listing (path, size, mtime_ns) FROM STDIN

-- name: analyze_listing
ANALYZE pg_temp.segue_listing

-- name: find_rivals
-- Files of users who have more than one.
SELECT listing.path
FROM pg_temp.segue_listing AS listing
JOIN (
    SELECT user_id FROM pg_temp.segue_listing WHERE user_id IS NOT NULL GROUP BY user_id HAVING count(*) > 1
) AS rival USING (user_id)
ORDER BY listing.path

-- name: rank_rivals
-- Those that cannot win are decided now: were one mended before its turn, a user would have two files.
UPDATE pg_temp.segue_listing AS listing
SET updated_at = rival.updated_at, is_candidate = rival.decided IS NULL, decided = rival.decided, reason = rival.reason
FROM unnest(%(paths)s::text[], %(updated)s::bigint[], %(decided)s::text[], %(reasons)s::text[])
    AS rival (path, updated_at, decided, reason)
WHERE listing.path = rival.path

-- name: list_users
SELECT DISTINCT user_id FROM pg_temp.segue_listing WHERE user_id IS NOT NULL

-- name: list_paths_of
SELECT path FROM pg_temp.segue_listing WHERE user_id = ANY(%(users)s)

-- name: mask_listing
UPDATE pg_temp.segue_listing AS listing
SET path = masked.pseudonym, size = 0, mtime_ns = 0, user_id = NULL
FROM unnest(%(paths)s::text[], %(pseudonyms)s::text[]) AS masked (path, pseudonym)
WHERE listing.path = masked.path

-- name: save_listing
-- The newest file of a user by its own word wins; then the newer generation of the library, then the path.
INSERT INTO segue.files (run_id, path, size, mtime_ns, user_id, outcome, reason)
SELECT
    %(run_id)s, listing.path, listing.size, listing.mtime_ns, listing.user_id,
    CASE
        WHEN listing.decided IS NOT NULL THEN listing.decided
        WHEN listing.reason IS NOT NULL THEN 'stray'
        WHEN listing.path LIKE 'erased:%%' THEN 'erased'
        WHEN listing.is_known AND listing.user_id IS NULL THEN 'not_user'
        WHEN listing.is_candidate AND listing.place > 1 THEN 'superseded'
        ELSE 'due'
    END,
    listing.reason
FROM (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY user_id, is_candidate
            ORDER BY updated_at DESC NULLS LAST, generation DESC NULLS LAST, path
        ) AS place
    FROM pg_temp.segue_listing
) AS listing
ORDER BY listing.path

-- name: insert_page
-- A dry run's chunk brings the files that it is about; they leave with the transaction.
INSERT INTO segue.files (run_id, path, size, mtime_ns, user_id, outcome, reason)
SELECT %(run_id)s, page.*
FROM unnest(
    %(paths)s::text[], %(sizes)s::bigint[], %(times)s::bigint[], %(users)s::text[], %(outcomes)s::text[], %(reasons)s::text[]
) AS page

-- name: read_all
SELECT path, size, mtime_ns, user_id, outcome, reason FROM segue.files WHERE run_id = %(run_id)s ORDER BY path

-- name: read_page
SELECT path, size, mtime_ns, user_id, outcome, reason
FROM segue.files
WHERE run_id = %(run_id)s AND {in_range}
ORDER BY path
LIMIT %(limit)s

-- name: read_paths
SELECT path, size, mtime_ns, user_id, outcome, reason
FROM segue.files
WHERE run_id = %(run_id)s AND path = ANY(%(paths)s)
ORDER BY path

-- name: count_files
SELECT count(*) AS total FROM segue.files WHERE run_id = %(run_id)s

-- name: cut_files
SELECT path
FROM (SELECT path, row_number() OVER (ORDER BY path) AS place FROM segue.files WHERE run_id = %(run_id)s) AS file
WHERE place = ANY(%(places)s::bigint[])
ORDER BY path

-- name: find_median
SELECT
    (percentile_disc(0.5) WITHIN GROUP (ORDER BY path)) AS median, count(*) AS row_count
FROM segue.files
WHERE run_id = %(run_id)s AND {in_range}

-- name: digest_listing
SELECT
    count(*) AS row_count,
    sum(segue.key_hash(path, hashint8extended(size, mtime_ns))) AS source_sum,
    bit_xor(segue.key_hash(path, hashint8extended(mtime_ns, size))) AS source_xor
FROM pg_temp.segue_listing
WHERE {in_range}

-- name: find_changed
-- New, changed and vanished files since they were converted.
SELECT coalesce(listing.path, file.path) AS key, 'the file has changed' AS problem
FROM (SELECT path, size, mtime_ns FROM pg_temp.segue_listing WHERE {in_range}) AS listing
FULL JOIN (
    SELECT path, size, mtime_ns, outcome FROM segue.files WHERE run_id = %(run_id)s AND {in_range}
) AS file ON file.path = listing.path
WHERE (listing.size, listing.mtime_ns) IS DISTINCT FROM (file.size, file.mtime_ns) OR file.outcome = 'due'
ORDER BY 1
LIMIT %(most)s

-- name: count_range
-- A range's accounting and digests, from what is known of its files.
SELECT
    count(*) AS row_count,
    count(*) FILTER (WHERE outcome IN ('stray', 'damaged') OR quarantined > 0) AS quarantined_rows,
    coalesce(sum(elements), 0) AS elements,
    coalesce(sum(linked), 0) AS linked,
    coalesce(sum(merged), 0) AS merged,
    coalesce(sum(blank), 0) AS blank,
    coalesce(sum(quarantined), 0) AS quarantined,
    sum(due_rows) AS due_rows,
    mod(sum(due_sum), 18446744073709551616) AS expected_sum,
    bit_xor(due_xor) AS expected_xor,
    sum(segue.key_hash(path, hashint8extended(size, mtime_ns))) AS source_sum,
    bit_xor(segue.key_hash(path, hashint8extended(mtime_ns, size))) AS source_xor,
    max(path) AS last_key
FROM segue.files
WHERE run_id = %(run_id)s AND {in_range}

-- name: refuse_files
-- Files whose rows the database refuses; the quarantine says why.
UPDATE segue.files
SET outcome = 'refused', elements = 0, linked = 0, merged = 0, blank = 0, quarantined = 0, due_rows = 0, due_sum = 0, due_xor = 0
WHERE run_id = %(run_id)s AND path = ANY(%(paths)s) AND outcome IN ('due', 'refused')
RETURNING path

-- name: count_outcomes
SELECT outcome, count(*) AS found FROM segue.files WHERE run_id = %(run_id)s GROUP BY outcome

-- name: users_of_paths
SELECT DISTINCT user_id FROM segue.files WHERE run_id = %(run_id)s AND path = ANY(%(paths)s) AND user_id IS NOT NULL

-- name: paths_of_users
SELECT path FROM segue.files WHERE run_id = %(run_id)s AND user_id = ANY(%(users)s)

-- name: forget_paths
DELETE FROM segue.files WHERE run_id = %(run_id)s AND path = ANY(%(paths)s)

-- name: forget_quarantine
DELETE FROM segue.quarantine WHERE run_id = %(run_id)s AND key = ANY(%(paths)s)

-- name: forget_notes
DELETE FROM segue.notes WHERE run_id = %(run_id)s AND path = ANY(%(paths)s)

-- name: count_quarantined
SELECT coalesce(sum(elements), 0) AS quarantined
FROM segue.quarantine
WHERE run_id = %(run_id)s AND {in_range}

-- name: delete_files
DELETE FROM segue.files WHERE run_id = %(run_id)s

-- name: delete_notes
DELETE FROM segue.notes WHERE run_id = %(run_id)s

-- name: read_accounts
SELECT file.path, file.outcome, file.elements, file.linked, file.merged, file.blank, file.quarantined, coalesce(kept.n, 0) AS kept
FROM segue.files AS file
LEFT JOIN (
    SELECT key, sum(elements) AS n FROM segue.quarantine WHERE run_id = %(run_id)s AND key = ANY(%(paths)s) GROUP BY key
) AS kept ON kept.key = file.path
WHERE file.run_id = %(run_id)s AND file.path = ANY(%(paths)s)

-- name: count_notes
SELECT problem, count(*) AS found FROM segue.notes WHERE run_id = %(run_id)s GROUP BY problem ORDER BY problem
