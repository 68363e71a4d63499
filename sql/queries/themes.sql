-- name: exploded_array
-- A set-returning function in the select list streams; in FROM each row's elements would go through a tuplestore.
(SELECT page.k, unnest(page.v) AS raw, true AS is_text FROM page)

-- name: exploded_by_elements
(SELECT page.k, element.raw, element.is_text FROM page CROSS JOIN LATERAL {elements} AS element)

-- name: elements_of_array
(SELECT raw, true AS is_text FROM unnest(page.v) AS raw)

-- name: elements_of_array_split
-- An element that splits into nothing is one blank element.
(
    SELECT part AS raw, true AS is_text
    FROM unnest(page.v) AS whole
    LEFT JOIN LATERAL string_to_table(whole, %(split)s) AS part ON true
)

-- name: elements_of_json
segue.json_elements(page.v)

-- name: elements_of_json_split
(
    SELECT CASE WHEN whole.is_text THEN part ELSE whole.raw END AS raw, whole.is_text
    FROM segue.json_elements(page.v) AS whole
    LEFT JOIN LATERAL string_to_table(whole.raw, %(split)s) AS part ON whole.is_text
)

-- name: count_in_array
-- Counts a row's elements without unnesting them: the accounting's second opinion.
cardinality(page.v)

-- name: count_by_elements
(SELECT count(*) FROM {elements} AS counted)

-- name: hash_of_array
-- NULL and the empty array differ.
coalesce(hash_array_extended(v, 1), 7)

-- name: hash_of_json
coalesce(jsonb_hash_extended(v, 1), 7)

-- name: discover_texts
-- Every distinct text of the source with its number of uses; into a table, because a cursor's query is never parallel.
CREATE TEMP TABLE segue_found ON COMMIT DROP AS
WITH page AS (SELECT {key} AS k, {value} AS v FROM {table})

SELECT element.raw, count(*) AS uses
FROM {exploded} AS element
WHERE element.is_text AND element.raw IS NOT NULL
GROUP BY element.raw

-- name: read_discovered
SELECT raw, uses FROM segue_found

-- name: find_unmapped
-- The texts of one page that the run's vocabulary does not know yet.
SELECT element.raw, count(*) AS uses
FROM ({page}) AS page
CROSS JOIN LATERAL {elements} AS element
WHERE
    element.is_text
    AND element.raw IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM segue.vocabulary AS word WHERE word.run_id = %(run_id)s AND word.raw = element.raw
    )
GROUP BY element.raw

-- name: convert
-- One chunk: read a page, resolve its elements, write the links, and return every count and digest.
WITH page AS MATERIALIZED ({page}),

pair AS MATERIALIZED (
    SELECT element.k, element.outcome, element.tag_id, count(*) AS n
    FROM (
        SELECT
            element.k,
            CASE WHEN element.is_text THEN word.outcome ELSE 'quarantine' END COLLATE "C" AS outcome,
            word.tag_id
        FROM {exploded} AS element
        LEFT JOIN segue.vocabulary AS word
            ON word.run_id = %(run_id)s AND word.raw = coalesce(element.raw, '') AND element.is_text
        {in_order}
    ) AS element
    GROUP BY element.k, element.tag_id, element.outcome
),

link AS ({link}),

source AS (
    SELECT
        count(*) AS row_count,
        sum({count}) AS elements,
        sum(segue.key_hash(page.k, page.hash)) AS source_sum,
        bit_xor(segue.key_hash(page.k, page.hash # 1)) AS source_xor
    -- OFFSET 0: the array is hashed once, not once for each use.
    FROM (SELECT k, v, {value_hash} AS hash FROM page OFFSET 0) AS page
),

total AS (
    SELECT
        count(tag_id) AS linked,
        coalesce(sum(n) FILTER (WHERE tag_id IS NOT NULL), 0) - count(tag_id) AS merged,
        coalesce(sum(n) FILTER (WHERE outcome = 'blank'), 0) AS blank,
        coalesce(sum(n) FILTER (WHERE outcome = 'quarantine'), 0) AS quarantined,
        coalesce(sum(n) FILTER (WHERE outcome IS NULL), 0) AS unmapped,
        count(*) FILTER (WHERE outcome = 'quarantine') AS quarantined_rows,
        sum(segue.key_hash(k, uuid_hash_extended(tag_id, 42))) AS expected_sum,
        bit_xor(segue.key_hash(k, uuid_hash_extended(tag_id, 43))) AS expected_xor
    FROM pair
)

SELECT
    source.*,
    total.*,
    made.*,
    (SELECT last.k::text FROM (SELECT page.k FROM page ORDER BY page.k DESC LIMIT 1) AS last) AS last_key
FROM source CROSS JOIN total CROSS JOIN ({made}) AS made

-- name: in_order
-- Sorting and grouping what is in order is faster than a hash table of as many groups, and links that lie together by
-- song make the keys' indexes and checks faster. Texts sort too slowly for that under most collations.
ORDER BY element.k, word.tag_id, outcome

-- name: link_in_heap_order
INSERT INTO {song_tags} (song_id, tag_id, run_id, added_at)
SELECT pair.k, pair.tag_id, %(run_id)s, %(added_at)s
FROM pair
WHERE pair.tag_id IS NOT NULL

-- name: link_in_key_order
-- Sorted, so that the primary key's B-tree grows page by page.
INSERT INTO {song_tags} (song_id, tag_id, run_id, added_at)
SELECT pair.k, pair.tag_id, %(run_id)s, %(added_at)s
FROM pair
WHERE pair.tag_id IS NOT NULL
ORDER BY pair.k, pair.tag_id

-- name: link_absent
-- Leaves out what is there already: one scan of the page's stretch of the primary key, where ON CONFLICT would search
-- the index twice for every row.
INSERT INTO {song_tags} (song_id, tag_id, run_id, added_at)
SELECT pair.k, pair.tag_id, %(run_id)s, %(added_at)s
FROM pair
LEFT JOIN (
    SELECT song_id, tag_id
    FROM {song_tags}
    WHERE
        song_id >= (SELECT page.k FROM page ORDER BY page.k LIMIT 1)
        AND song_id <= (SELECT page.k FROM page ORDER BY page.k DESC LIMIT 1)
) AS known ON known.song_id = pair.k AND known.tag_id = pair.tag_id
WHERE pair.tag_id IS NOT NULL AND known.song_id IS NULL
ORDER BY pair.k, pair.tag_id
RETURNING song_id, tag_id

-- name: link_on_conflict
-- For rows that others insert at the same moment, or a key whose order differs between the two tables.
INSERT INTO {song_tags} (song_id, tag_id, run_id, added_at)
SELECT pair.k, pair.tag_id, %(run_id)s, %(added_at)s
FROM pair
WHERE pair.tag_id IS NOT NULL
ORDER BY pair.k, pair.tag_id
ON CONFLICT DO NOTHING
RETURNING song_id, tag_id

-- name: link_nothing
SELECT

-- name: made_what_was_expected
-- A plain INSERT creates every pair or fails, so nothing has to be returned and counted again.
SELECT NULL::bigint AS created, NULL::numeric AS created_sum, NULL::bigint AS created_xor

-- name: made_what_was_returned
SELECT
    count(*) AS created,
    sum(segue.key_hash(song_id, uuid_hash_extended(tag_id, 42))) AS created_sum,
    bit_xor(segue.key_hash(song_id, uuid_hash_extended(tag_id, 43))) AS created_xor
FROM link

-- name: quarantine_elements
-- Keep what a page could not convert, one row for each distinct payload of a song.
INSERT INTO segue.quarantine (run_id, key, ordinal, payload, elements, reason)
SELECT
    %(run_id)s,
    page.k::text,
    row_number() OVER (PARTITION BY page.k ORDER BY element.is_text, element.raw COLLATE "C"),
    element.raw,
    count(*),
    CASE WHEN element.is_text THEN min(word.reason) ELSE 'not text' END
FROM ({page}) AS page
CROSS JOIN LATERAL {elements} AS element
LEFT JOIN segue.vocabulary AS word
    ON word.run_id = %(run_id)s AND word.raw = coalesce(element.raw, '') AND element.is_text
WHERE NOT element.is_text OR word.outcome = 'quarantine'
GROUP BY page.k, element.is_text, element.raw
ON CONFLICT (run_id, key, ordinal) DO UPDATE
SET payload = excluded.payload, elements = excluded.elements, reason = excluded.reason, attempts = quarantine.attempts + 1

-- name: forget_songs
-- What a run made of these songs, before they are converted again; `key` is the array of their keys as text. Unnested,
-- it is looked up in the index even while the tables, filled since, have no statistics: else each chunk scans them.
WITH link AS (
    DELETE FROM {song_tags} WHERE run_id = %(run_id)s AND song_id = ANY(ARRAY(SELECT unnest(%(keys)s::{key_type}[])))
),

kept AS (
    DELETE FROM segue.quarantine WHERE run_id = %(run_id)s AND key = ANY(ARRAY(SELECT unnest(%(keys)s::text[])))
)

SELECT
