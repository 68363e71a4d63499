-- name: digest_source
-- The source as it is now; differs from the run's when a song was added, changed or deleted since it was read.
SELECT
    count(*) AS row_count,
    sum(segue.key_hash(page.k, {value_hash})) AS source_sum,
    bit_xor(segue.key_hash(page.k, {value_hash} # 1)) AS source_xor
FROM ({page}) AS page

-- name: count_elements
SELECT coalesce(sum({count}), 0) AS elements FROM ({page}) AS page

-- name: digest_created
-- The links that the run made, as they are stored now.
SELECT
    count(*) AS created,
    sum(segue.key_hash(link.song_id, uuid_hash_extended(link.tag_id, 42))) AS created_sum,
    bit_xor(segue.key_hash(link.song_id, uuid_hash_extended(link.tag_id, 43))) AS created_xor
FROM {song_tags} AS link
WHERE link.run_id = %(run_id)s AND {link_in_range}

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
    SELECT expected.k {in_one_order} AS key, expected.tag_id FROM expected WHERE expected.outcome = 'tag'
    EXCEPT
    SELECT link.song_id {in_one_order}, link.tag_id FROM {song_tags} AS link WHERE {link_in_range}
),

extra AS (
    SELECT link.song_id {in_one_order} AS key, link.tag_id
    FROM {song_tags} AS link
    WHERE link.run_id = %(run_id)s AND {link_in_range}
    EXCEPT
    SELECT expected.k {in_one_order}, expected.tag_id FROM expected WHERE expected.outcome = 'tag'
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
        -- Rows in quarantine as a whole have ordinal 0; the page leaves them out, too.
        WHERE quarantine.run_id = %(run_id)s AND quarantine.ordinal > 0 AND {quarantine_in_range}
        GROUP BY 1
    ) AS kept ON kept.key = due.key
    WHERE kept.n IS DISTINCT FROM due.n
)

SELECT key, problem
FROM (
    SELECT key::text COLLATE "C" AS key, 'missing link to tag ' || coalesce(tag_id::text, '(no such tag)') AS problem FROM missing
    UNION ALL SELECT key::text COLLATE "C", 'extra link to tag ' || tag_id::text FROM extra
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

-- name: mapped_pairs
-- The writer's reading of the source, by the run's own vocabulary: enough to see which songs were edited since. A text
-- that it does not know asks for a link that cannot be there.
WITH page AS NOT MATERIALIZED ({page})

SELECT
    element.k,
    CASE WHEN element.is_text THEN coalesce(word.outcome, 'tag') ELSE 'quarantine' END AS outcome,
    word.tag_id,
    count(*) AS n
FROM {exploded} AS element
LEFT JOIN segue.vocabulary AS word
    ON word.run_id = %(run_id)s AND word.raw = coalesce(element.raw, '') AND element.is_text
GROUP BY 1, 2, 3
