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
-- Every distinct text of the source with its number of uses.
WITH page AS (SELECT {key} AS k, {value} AS v FROM {table})

SELECT element.raw, count(*) AS uses
FROM {exploded} AS element
WHERE element.is_text AND element.raw IS NOT NULL
GROUP BY element.raw

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
    SELECT
        element.k,
        CASE WHEN element.is_text THEN word.outcome ELSE 'quarantine' END AS outcome,
        word.tag_id,
        count(*) AS n
    FROM {exploded} AS element
    LEFT JOIN segue.vocabulary AS word
        ON word.run_id = %(run_id)s AND word.raw = coalesce(element.raw, '') AND element.is_text
    GROUP BY 1, 2, 3
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
    (SELECT page.k::text FROM page ORDER BY page.k DESC LIMIT 1) AS last_key
FROM source CROSS JOIN total CROSS JOIN ({made}) AS made

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
-- What a run made of these songs, before they are converted again; `key` is the array of their keys as text.
WITH link AS (
    DELETE FROM {song_tags} WHERE run_id = %(run_id)s AND song_id = ANY(%(keys)s::{key_type}[])
),

kept AS (
    DELETE FROM segue.quarantine WHERE run_id = %(run_id)s AND key = ANY(%(keys)s::text[])
)

SELECT

-- name: digest_source
-- The source as it is now; differs from the run's when a song was added, changed or deleted since it was read.
SELECT
    count(*) AS row_count,
    sum(segue.key_hash(page.k, {value_hash})) AS source_sum,
    bit_xor(segue.key_hash(page.k, {value_hash} # 1)) AS source_xor
FROM ({page}) AS page

-- name: digest_created
-- The links that the run made, as they are stored now.
SELECT
    count(*) AS created,
    sum(segue.key_hash(link.song_id, uuid_hash_extended(link.tag_id, 42))) AS created_sum,
    bit_xor(segue.key_hash(link.song_id, uuid_hash_extended(link.tag_id, 43))) AS created_xor
FROM {song_tags} AS link
WHERE link.run_id = %(run_id)s AND {link_in_range}

-- name: expected_pairs
-- The validator's own reading of the source: it normalises with the database's function and finds tags by their
-- names, so neither the writer's Python nor the tag ids that the writer stored are trusted.
WITH page AS NOT MATERIALIZED ({page})

SELECT
    element.k,
    CASE
        WHEN NOT element.is_text THEN 'quarantine'
        WHEN coalesce(word.canonical, '') <> '' THEN 'tag'
        WHEN element.raw IS NULL OR word.canonical = '' THEN 'blank'
        ELSE 'quarantine'
    END AS outcome,
    tag.id AS tag_id,
    count(*) AS n
FROM {exploded} AS element
LEFT JOIN (
    SELECT
        said.raw,
        CASE WHEN said.problem IS NULL OR decided.canonical IS NOT NULL THEN coalesce(
            decided.canonical, by_name.normalized_name, by_synonym.normalized_name, said.normalized
        ) END AS canonical
    FROM (
        SELECT text.raw, segue.normalise_tag(text.raw) AS normalized, segue.tag_problem(text.raw) AS problem
        FROM (
            SELECT DISTINCT element.raw
            FROM {exploded} AS element
            WHERE element.is_text AND element.raw IS NOT NULL
        ) AS text
        -- Stops the planner from flattening this level and calling the functions once per use of the column.
        OFFSET 0
    ) AS said
    LEFT JOIN segue.vocabulary AS decided
        ON decided.run_id = %(run_id)s AND decided.raw = said.raw AND decided.how = 'accepted'
    LEFT JOIN {tags} AS by_name ON by_name.normalized_name = said.normalized
    LEFT JOIN (
        SELECT segue.normalise_tag(synonym.synonym) AS synonym, tag.normalized_name
        FROM {tag_synonyms} AS synonym
        JOIN {tags} AS tag ON tag.id = synonym.canonical_tag_id
    ) AS by_synonym ON by_synonym.synonym = said.normalized
) AS word ON word.raw = element.raw AND element.is_text
LEFT JOIN {tags} AS tag ON tag.normalized_name = word.canonical
GROUP BY 1, 2, 3

-- name: digest_expected
SELECT
    coalesce(sum(n), 0) AS elements,
    count(*) FILTER (WHERE outcome = 'tag') AS linked,
    coalesce(sum(n - 1) FILTER (WHERE outcome = 'tag'), 0) AS merged,
    coalesce(sum(n) FILTER (WHERE outcome = 'blank'), 0) AS blank,
    coalesce(sum(n) FILTER (WHERE outcome = 'quarantine'), 0) AS quarantined,
    sum(segue.key_hash(k, coalesce(uuid_hash_extended(tag_id, 42), 42))) FILTER (WHERE outcome = 'tag') AS expected_sum,
    bit_xor(segue.key_hash(k, coalesce(uuid_hash_extended(tag_id, 43), 43))) FILTER (WHERE outcome = 'tag') AS expected_xor
FROM ({expected}) AS expected

-- name: find_differences
-- Song by song: links that should be there and are not, links of the run that should not be, lost quarantine rows.
WITH expected AS MATERIALIZED ({expected}),

-- EXCEPT and not an outer join: the planner takes the expected rows for few and would loop over them for every link.
missing AS (
    SELECT expected.k::text COLLATE "C" AS key, expected.tag_id FROM expected WHERE expected.outcome = 'tag'
    EXCEPT
    SELECT link.song_id::text COLLATE "C", link.tag_id FROM {song_tags} AS link WHERE {link_in_range}
),

extra AS (
    SELECT link.song_id::text COLLATE "C" AS key, link.tag_id
    FROM {song_tags} AS link
    WHERE link.run_id = %(run_id)s AND {link_in_range}
    EXCEPT
    SELECT expected.k::text COLLATE "C", expected.tag_id FROM expected WHERE expected.outcome = 'tag'
),

quarantined AS (
    SELECT
        coalesce(due.key, kept.key) AS key,
        coalesce(kept.n, 0)::text || ' elements in quarantine where ' || coalesce(due.n, 0)::text || ' are due' AS problem
    FROM (
        SELECT expected.k::text COLLATE "C" AS key, sum(expected.n) AS n
        FROM expected
        WHERE expected.outcome = 'quarantine'
        GROUP BY 1
    ) AS due
    FULL JOIN (
        SELECT quarantine.key COLLATE "C" AS key, sum(quarantine.elements) AS n
        FROM segue.quarantine
        WHERE quarantine.run_id = %(run_id)s AND {quarantine_in_range}
        GROUP BY 1
    ) AS kept ON kept.key = due.key
    WHERE kept.n IS DISTINCT FROM due.n
)

SELECT key, problem
FROM (
    SELECT key, 'missing link to tag ' || coalesce(tag_id::text, '(no such tag)') AS problem FROM missing
    UNION ALL SELECT key, 'extra link to tag ' || tag_id::text FROM extra
    UNION ALL SELECT key, problem FROM quarantined
) AS found
ORDER BY key, problem
LIMIT %(most)s

-- name: count_quarantined
SELECT coalesce(sum(elements), 0) AS quarantined, count(DISTINCT key) AS quarantined_rows
FROM segue.quarantine
WHERE run_id = %(run_id)s AND {quarantine_in_range}

-- name: read_sample
-- Songs at random, with their themes as the source has them and the names of the tags that are stored.
SELECT
    page.k::text AS key,
    (SELECT jsonb_agg(jsonb_build_array(element.raw, element.is_text)) FROM {elements} AS element) AS elements,
    (
        SELECT jsonb_agg(tag.normalized_name)
        FROM {song_tags} AS link JOIN {tags} AS tag ON tag.id = link.tag_id
        WHERE link.song_id = page.k
    ) AS stored
FROM ({page}) AS page
