-- Searching songs by tags and title. {songs} is the application's table; {key} and {title} are its columns, aliased
-- `song`; {link_song} is song_tags.song_id in the collation of {key}. The order is that of keys: uuid and bigint by
-- value, text by code point, whatever its collation. {category} is a tag's, which an application's table may leave out.

-- name: describe_table
-- Columns of a table or view with their types, below a domain; no row: no such table.
SELECT
    attribute.attname::text AS name,
    format_type(coalesce(nullif(type.typbasetype, 0), type.oid), NULL) AS type,
    (
        SELECT format('%%I.%%I', namespace.nspname, known.collname)
        FROM pg_collation AS known JOIN pg_namespace AS namespace ON namespace.oid = known.collnamespace
        WHERE known.oid = attribute.attcollation
    ) AS collation,
    has_column_privilege(attribute.attrelid, attribute.attnum, 'SELECT') AS is_readable
FROM pg_attribute AS attribute
JOIN pg_type AS type ON type.oid = attribute.atttypid
JOIN pg_class AS class ON class.oid = attribute.attrelid
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE
    namespace.nspname = %(schema)s::text AND class.relname = %(table)s::text
    AND class.relkind IN ('r', 'p', 'f', 'v', 'm') AND attribute.attnum > 0 AND NOT attribute.attisdropped

-- name: bytes_of_uuid
-- Keys as bytes that are ordered like the keys.
uuid_send({key})

-- name: bytes_of_bigint
int8send({key}::bigint # (-9223372036854775808)::bigint)

-- name: bytes_of_text
convert_to({key}::text, 'UTF8')

-- name: title
{column}::text

-- name: no_title
NULL::text

-- name: category
coalesce(tag.category::text, 'theme')

-- name: copy_songs
-- Everything for the index in process: a row holds thousands of songs, links or tags, each column one after the other,
-- so that neither side pays for rows. Songs and tags are numbered from 0 in the order of their keys.
-- Keys and titles, each with its length in bytes; a title that is NULL is the byte 0, which no text holds.
COPY (
    SELECT
        string_agg(key, '' ORDER BY number),
        string_agg(int4send(octet_length(key)), '' ORDER BY number),
        string_agg(title, '' ORDER BY number),
        string_agg(int4send(octet_length(title)), '' ORDER BY number)
    FROM (
        SELECT
            {bytes_of_key} AS key,
            coalesce(convert_to({title}, 'UTF8'), '\x00'::bytea) AS title,
            row_number() OVER (ORDER BY {ordered_key}) - 1 AS number
        FROM {songs} AS song WHERE {key} IS NOT NULL
    ) AS numbered
    GROUP BY number / 16384
    ORDER BY number / 16384
) TO STDOUT (FORMAT binary)

-- name: copy_tags
COPY (
    SELECT
        string_agg(uuid_send(id), '' ORDER BY number),
        string_agg(name, '' ORDER BY number),
        string_agg(int4send(octet_length(name)), '' ORDER BY number),
        string_agg(category, '' ORDER BY number),
        string_agg(int4send(octet_length(category)), '' ORDER BY number),
        string_agg(CASE WHEN is_hidden THEN '\x01'::bytea ELSE '\x00'::bytea END, '' ORDER BY number)
    FROM (
        SELECT
            tag.id,
            convert_to(tag.name::text, 'UTF8') AS name,
            convert_to({category}, 'UTF8') AS category,
            EXISTS (SELECT FROM segue.banned_tags AS ban WHERE ban.tag_id = tag.id) AS is_hidden,
            row_number() OVER (ORDER BY tag.id) - 1 AS number
        FROM {tags} AS tag
    ) AS numbered
    GROUP BY number / 16384
    ORDER BY number / 16384
) TO STDOUT (FORMAT binary)

-- name: copy_links
-- Both numbers in eight bytes: the song's above the tag's.
COPY (
    SELECT string_agg(int8send((numbered_song.number << 32) | numbered_tag.number), '')
    FROM {song_tags} AS link
    JOIN (
        SELECT {key} AS key, row_number() OVER (ORDER BY {ordered_key}) - 1 AS number
        FROM {songs} AS song WHERE {key} IS NOT NULL
    ) AS numbered_song ON numbered_song.key = {link_song}
    JOIN (
        SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM {tags}
    ) AS numbered_tag ON numbered_tag.id = link.tag_id
    GROUP BY numbered_song.number / 16384
) TO STDOUT (FORMAT binary)

-- name: read_songs
-- Songs by key with what they show and are found by; one that is not returned is gone.
SELECT
    {key}::text AS key,
    {title} AS title,
    ARRAY(
        SELECT DISTINCT link.tag_id FROM {song_tags} AS link JOIN {tags} AS tag ON tag.id = link.tag_id
        WHERE {link_song} = {key}
    ) AS tags
FROM {songs} AS song
WHERE {key} = ANY(%(keys)s::{key_type}[])

-- name: read_tags
SELECT
    tag.id, tag.name::text AS name, {category} AS category,
    EXISTS (SELECT FROM segue.banned_tags AS ban WHERE ban.tag_id = tag.id) AS is_hidden
FROM {tags} AS tag
WHERE tag.id = ANY(%(ids)s::uuid[])

-- name: find_tags
-- What names, synonyms and ids mean: first a name, then a synonym in any spelling, then an id, also a merged tag's.
SELECT asked.place, meant.id::text AS id, meant.name::text AS name, meant.category
FROM unnest(%(normalized)s::text[], %(ids)s::uuid[]) WITH ORDINALITY AS asked (normalized, id, place)
CROSS JOIN LATERAL (
    SELECT tag.id, tag.name, {category} AS category, 1 AS rank, ''::text AS spelling
    FROM {tags} AS tag WHERE tag.normalized_name = asked.normalized
    UNION ALL
    SELECT tag.id, tag.name, {category}, 2, known.synonym
    FROM {tag_synonyms} AS known JOIN {tags} AS tag ON tag.id = known.canonical_tag_id
    WHERE
        known.synonym = asked.normalized
        OR (
            known.synonym COLLATE "C" ~ '[^ -~]|[A-Z]|  |^ | $'
            AND segue.normalise_tag(known.synonym) = asked.normalized
        )
    UNION ALL
    SELECT tag.id, tag.name, {category}, 3, ''
    FROM {tags} AS tag
    WHERE
        tag.id = coalesce((SELECT redirect.tag_id FROM segue.tag_redirects AS redirect WHERE redirect.old_id = asked.id), asked.id)
    ORDER BY rank, spelling
) AS meant
WHERE NOT EXISTS (SELECT FROM segue.banned_tags AS ban WHERE ban.tag_id = meant.id)
ORDER BY asked.place, meant.rank, meant.spelling

-- name: matching
-- Conditions stand at the top, each only when it is asked for: below an OR, IN would not become a join.
SELECT {key} AS key, {title} AS title FROM {songs} AS song WHERE {key} IS NOT NULL AND {conditions}

-- name: has_wanted
-- `needed`: how many of the tags a song must have.
{key} IN (
    SELECT {link_song} FROM {song_tags} AS link
    WHERE link.tag_id = ANY(%(wanted)s::uuid[])
    GROUP BY {link_song} HAVING count(DISTINCT link.tag_id) >= %(needed)s::int
)

-- name: lacks_unwanted
NOT EXISTS (
    SELECT FROM {song_tags} AS link WHERE {link_song} = {key} AND link.tag_id = ANY(%(unwanted)s::uuid[])
)

-- name: has_words
segue.normalise_tag({title}) COLLATE "C" ~ ALL(%(patterns)s::text[])

-- name: count_songs
SELECT count(*) AS total FROM ({matching}) AS found

-- name: list_songs
SELECT
    page.key::text AS key,
    page.title,
    ARRAY(
        SELECT DISTINCT ARRAY[tag.id::text, tag.name::text, {category}]
        FROM {song_tags} AS link JOIN {tags} AS tag ON tag.id = link.tag_id
        WHERE
            {link_song} = page.key
            AND NOT EXISTS (SELECT FROM segue.banned_tags AS ban WHERE ban.tag_id = tag.id)
    ) AS tags
FROM (
    SELECT key, title FROM ({matching}) AS found
    WHERE %(after)s::text IS NULL OR {ordered_found} > %(after)s::{key_type}
    ORDER BY {ordered_found} LIMIT %(limit)s::int
) AS page
ORDER BY {ordered_page}

-- name: count_facets
-- Songs per category (without an id) and per tag; of a category's tags the `top` ones by count, then by id, and how
-- many there are. No categories: all.
WITH counted AS (
    SELECT {category} AS category, tag.id, tag.name::text AS name, count(DISTINCT found.key) AS songs
    FROM ({matching}) AS found
    JOIN {song_tags} AS link ON {link_song} = found.key
    JOIN {tags} AS tag ON tag.id = link.tag_id
    WHERE
        NOT EXISTS (SELECT FROM segue.banned_tags AS ban WHERE ban.tag_id = tag.id)
        AND (%(categories)s::text[] = '{{}}' OR {category} = ANY(%(categories)s::text[]))
    GROUP BY GROUPING SETS (({category}), ({category}, tag.id, tag.name))
),

ranked AS (
    SELECT
        category, id, name, songs,
        row_number() OVER (PARTITION BY category, id IS NULL ORDER BY songs DESC, id) AS place,
        count(*) OVER (PARTITION BY category, id IS NULL) AS tags
    FROM counted
)

SELECT category, id::text AS id, name, songs, tags
FROM ranked
WHERE id IS NULL OR %(top)s::int IS NULL OR place <= %(top)s::int
