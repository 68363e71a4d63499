-- name: list_synonyms
SELECT canonical_tag_id::text, array_agg(synonym::text ORDER BY synonym::text COLLATE "C")
FROM {tag_synonyms} GROUP BY canonical_tag_id

-- name: list_tags
-- As tuples, a million of them; the caller knows the columns' order.
SELECT
    id::text,
    name::text,
    normalized_name::text,
    coalesce(category::text, 'theme'),
    color::text,
    coalesce(usage_count, 0),
    coalesce(is_standard, false)
FROM {tags} AS tag
WHERE NOT EXISTS (SELECT FROM segue.banned_tags AS banned WHERE banned.tag_id = tag.id)

-- name: read_tags
SELECT
    id::text,
    name::text,
    normalized_name::text AS normalized,
    coalesce(category::text, 'theme') AS category,
    color::text,
    coalesce(usage_count, 0) AS usage_count,
    coalesce(is_standard, false) AS is_standard,
    ARRAY(
        SELECT synonym.synonym::text FROM {tag_synonyms} AS synonym
        WHERE synonym.canonical_tag_id = tag.id ORDER BY synonym.synonym::text COLLATE "C"
    ) AS synonyms
FROM {tags} AS tag
WHERE id = ANY (%(ids)s::uuid[]) AND NOT EXISTS (SELECT FROM segue.banned_tags AS banned WHERE banned.tag_id = tag.id)

-- name: bound_time
SELECT set_config('statement_timeout', %(timeout)s, true)

-- name: list_companions
-- For each tag those that are most often on a song together with it, strongest first: of a sample of the songs, the
-- same one every time, so that all processes answer alike. A song with very many tags says little, and so does a pair
-- that a mere sample shows once.
WITH size AS (
    SELECT greatest(reltuples, pg_relation_size(oid) / 100.0, 1) AS rows FROM pg_class WHERE oid = {song_tags_name}::regclass
),

sampled AS MATERIALIZED (
    SELECT DISTINCT song_id FROM (
        SELECT song_id FROM {song_tags} TABLESAMPLE SYSTEM (
            (SELECT least(100, 100.0 * %(most_links)s::int / rows) FROM size)
        ) REPEATABLE (0) LIMIT %(most_links)s::int
    ) AS drawn
),

links AS MATERIALIZED (
    SELECT song_id, tag_id, count(*) OVER (PARTITION BY song_id) AS tags
    FROM sampled JOIN {song_tags} AS link USING (song_id)
),

pairs AS (
    SELECT one.tag_id, other.tag_id AS other_id, count(*) AS songs
    FROM links AS one JOIN links AS other USING (song_id)
    WHERE one.tag_id <> other.tag_id AND one.tags <= %(most_tags)s::int AND other.tags <= %(most_tags)s::int
    GROUP BY one.tag_id, other.tag_id
    HAVING count(*) > 1 OR (SELECT rows FROM size) <= %(most_links)s::int
),

ranked AS (
    SELECT tag_id, other_id, row_number() OVER (PARTITION BY tag_id ORDER BY songs DESC, other_id) AS place FROM pairs
)

SELECT tag_id::text, array_agg(other_id::text ORDER BY place) AS others
FROM ranked WHERE place <= %(most_companions)s::int GROUP BY tag_id
