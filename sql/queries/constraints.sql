-- name: describe_links
-- The table of links: whose it is, whether it holds rows, and what guards it.
SELECT
    format_type(attribute.atttypid, NULL) AS key_type,
    NOT EXISTS (SELECT FROM {song_tags}) AS is_empty,
    coalesce((SELECT NOT ours.is_adopted FROM segue.tables AS ours WHERE ours.name = 'song_tags'), false) AS is_ours,
    coalesce(
        (
            SELECT jsonb_agg(
                jsonb_build_object(
                    'name', guard.conname, 'kind', guard.contype, 'definition', pg_get_constraintdef(guard.oid),
                    'references', guard.confrelid::regclass::text,
                    'is_for_others', coalesce(
                        guard.conkey = ARRAY[attribute.attnum] AND guard.confrelid <> to_regclass(%(songs)s), false
                    )
                )
                ORDER BY guard.contype DESC, guard.conname
            )
            FROM pg_constraint AS guard
            WHERE guard.conrelid = attribute.attrelid AND guard.contype IN ('p', 'f')
        ),
        '[]'
    ) AS constraints,
    coalesce(
        (
            SELECT jsonb_agg(
                jsonb_build_object('name', class.relname, 'definition', pg_get_indexdef(index.indexrelid))
                ORDER BY class.relname
            )
            FROM pg_index AS index
            JOIN pg_class AS class ON class.oid = index.indexrelid
            WHERE
                index.indrelid = attribute.attrelid
                AND NOT EXISTS (SELECT FROM pg_constraint AS guard WHERE guard.conindid = index.indexrelid AND guard.contype = 'p')
        ),
        '[]'
    ) AS indexes
FROM pg_attribute AS attribute
WHERE attribute.attrelid = %(song_tags)s::regclass AND attribute.attname = 'song_id'

-- name: list_missing_privileges
-- What the role may not do with the tables that the migration writes.
SELECT need.privilege || ' ON ' || need.name AS missing
FROM unnest(%(names)s::text[]) AS name
CROSS JOIN LATERAL (
    SELECT privilege, name FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
) AS need
WHERE NOT has_table_privilege(need.name, need.privilege)
ORDER BY 1

-- name: change_key_type
-- The table is empty, so there is nothing to convert.
ALTER TABLE {song_tags} ALTER COLUMN song_id TYPE {key_type} USING NULL::{key_type}

-- name: drop_constraint
ALTER TABLE {song_tags} DROP CONSTRAINT IF EXISTS {name}

-- name: drop_index
DROP INDEX IF EXISTS {name}

-- name: create_unique_index
CREATE UNIQUE INDEX IF NOT EXISTS {name} ON {song_tags} (song_id, tag_id)

-- name: create_index
-- {definition} is what pg_get_indexdef said of the index before it was dropped.
{definition}

-- name: add_primary_key
ALTER TABLE {song_tags} ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {name}

-- name: add_foreign_key
-- NOT VALID guards new rows at once and reads no old one; VALIDATE does that later without blocking writers.
ALTER TABLE {song_tags} ADD CONSTRAINT {name} {definition} NOT VALID

-- name: validate_foreign_key
ALTER TABLE {song_tags} VALIDATE CONSTRAINT {name}

-- name: lock_songs
LOCK TABLE {table} IN {mode} MODE

-- name: foreign_key_to_songs
FOREIGN KEY (song_id) REFERENCES {table} ({key}) ON DELETE CASCADE

-- name: delete_duplicate_links
-- While the primary key was absent an application may have added a link that the run added too: its row stays.
DELETE FROM {song_tags} AS ours
USING {song_tags} AS other
WHERE
    ours.song_id = other.song_id AND ours.tag_id = other.tag_id AND ours.ctid <> other.ctid
    AND (
        (ours.run_id = %(run_id)s AND other.run_id IS DISTINCT FROM %(run_id)s)
        OR (ours.run_id IS NOT DISTINCT FROM other.run_id AND ours.ctid > other.ctid)
    )

-- name: delete_orphan_links
-- While the foreign keys were absent a song or tag may have been deleted; now its links follow, as they would have.
DELETE FROM {song_tags} AS link
WHERE
    NOT EXISTS (SELECT FROM {table} AS song WHERE song.{key} = link.song_id)
    OR NOT EXISTS (SELECT FROM {tags} AS tag WHERE tag.id = link.tag_id)

-- name: list_not_valid
SELECT guard.conname AS name
FROM pg_constraint AS guard
WHERE guard.conrelid = %(song_tags)s::regclass AND guard.contype = 'f' AND NOT guard.convalidated
ORDER BY guard.conname

-- name: set_usage_counts
-- Adds the difference between the exact count and the stored one, so that a user's concurrent change survives;
-- the before-image of tags that are not the run's goes to the journal.
WITH counted AS (
    SELECT tag.id, tag.run_id, tag.usage_count, coalesce(link.n, 0) AS n
    FROM {tags} AS tag
    LEFT JOIN (SELECT tag_id, count(*) AS n FROM {song_tags} GROUP BY tag_id) AS link ON link.tag_id = tag.id
    WHERE tag.usage_count <> coalesce(link.n, 0)
),

changed AS (
    UPDATE {tags} AS tag
    SET usage_count = tag.usage_count + counted.n - counted.usage_count
    FROM counted
    WHERE counted.id = tag.id
)

INSERT INTO segue.journal (run_id, table_name, key, kind, before, after)
SELECT
    %(run_id)s, 'tags', counted.id::text, 'changed',
    jsonb_build_object('usage_count', counted.usage_count), jsonb_build_object('usage_count', counted.n)
FROM counted
WHERE counted.run_id IS DISTINCT FROM %(run_id)s
ON CONFLICT (run_id, table_name, kind, key) DO UPDATE SET after = excluded.after

-- name: restore_usage_counts
-- Takes back what the run added; what users changed since stays added.
WITH undone AS (
    UPDATE segue.journal AS entry
    SET undone_at = clock_timestamp()
    WHERE entry.run_id = %(run_id)s AND entry.table_name = 'tags' AND entry.kind = 'changed' AND entry.undone_at IS NULL
    RETURNING
        entry.key::uuid AS id, (entry.after ->> 'usage_count')::bigint - (entry.before ->> 'usage_count')::bigint AS added
)

UPDATE {tags} AS tag
SET usage_count = tag.usage_count - undone.added
FROM undone
WHERE tag.id = undone.id

-- name: find_wrong_usage_counts
SELECT tag.id::text AS key, 'usage_count is ' || tag.usage_count::text || ', links are ' || coalesce(link.n, 0)::text AS problem
FROM {tags} AS tag
LEFT JOIN (SELECT tag_id, count(*) AS n FROM {song_tags} GROUP BY tag_id) AS link ON link.tag_id = tag.id
WHERE tag.usage_count <> coalesce(link.n, 0)
ORDER BY 1
LIMIT %(most)s

-- name: find_wrong_names
-- Two tags that normalise to one name, or a tag of the run whose normalised name is not its name's.
SELECT tag.id::text AS key, 'its name is the same as another tag''s but for case, form or spaces' AS problem
FROM (SELECT tag.id, count(*) OVER (PARTITION BY segue.normalise_tag(tag.name)) AS n FROM {tags} AS tag) AS tag
WHERE tag.n > 1
UNION ALL
SELECT tag.id::text, 'normalized_name is not the normal form of name'
FROM {tags} AS tag
WHERE tag.run_id = %(run_id)s AND tag.normalized_name <> segue.normalise_tag(tag.name)
ORDER BY 1, 2
LIMIT %(most)s

-- name: find_wrong_words
-- The run's vocabulary against the tags that it names.
SELECT word.tag_id::text AS key, 'the vocabulary maps a text to this tag, whose name is not what was decided' AS problem
FROM segue.vocabulary AS word
LEFT JOIN {tags} AS tag ON tag.id = word.tag_id
WHERE word.run_id = %(run_id)s AND word.outcome = 'tag' AND tag.normalized_name IS DISTINCT FROM word.canonical
GROUP BY 1
ORDER BY 1
LIMIT %(most)s
