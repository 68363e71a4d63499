-- name: list_referrers
-- Tables outside of the catalog that refer to one of its rows by a single column, and whether they know of runs.
SELECT
    referring.oid::regclass::text AS table_name, attribute.attname AS column_name,
    EXISTS (
        SELECT FROM pg_attribute AS own WHERE own.attrelid = referring.oid AND own.attname = 'run_id' AND NOT own.attisdropped
    ) AS has_run_id
FROM pg_constraint AS guard
JOIN pg_class AS referring ON referring.oid = guard.conrelid
JOIN pg_attribute AS attribute ON attribute.attrelid = referring.oid AND attribute.attnum = guard.conkey[1]
WHERE guard.contype = 'f' AND guard.confrelid = {name}::regclass AND cardinality(guard.conkey) = 1
ORDER BY 1, 2

-- name: refers
EXISTS (SELECT FROM {referring} AS r WHERE r.{column} = {id} AND {of_others})

-- name: find_conflicts
-- Rows of the run that rows of others refer to; nothing can begin to refer to them until the transaction ends.
SELECT {id}::text AS key, CASE WHEN {is_used} THEN 'rows that the run did not make refer to it' ELSE 'it was edited since' END AS problem
FROM {target} AS t
WHERE t.run_id = %(run_id)s AND ({is_used} OR {is_edited})
ORDER BY 1

-- name: lock_rows
SELECT count(*) AS locked
FROM (SELECT 1 FROM {target} AS t WHERE t.run_id = %(run_id)s ORDER BY {id} FOR UPDATE) AS locked

-- name: release_rows
UPDATE {target} AS t SET run_id = NULL WHERE t.run_id = %(run_id)s AND {id}::text = ANY(%(keys)s)

-- name: delete_orphans
-- Shared rows of the run to which nothing refers any more.
DELETE FROM {target} AS t WHERE t.run_id = %(run_id)s AND NOT {is_used}

-- name: user_without_file
-- A user of the run whose file is gone.
NOT EXISTS (
    SELECT FROM segue.files AS file
    WHERE file.run_id = %(run_id)s AND file.user_id = t.spotify_id AND file.outcome = 'imported'
)

-- name: restore_images
-- Puts back what the run changed in rows of others, where nobody has changed them since.
WITH undone AS (
    UPDATE segue.journal AS entry
    SET undone_at = clock_timestamp()
    WHERE entry.run_id = %(run_id)s AND entry.table_name = {name} AND entry.kind = 'changed' AND entry.undone_at IS NULL
    RETURNING entry.key, entry.before, entry.after
)

UPDATE {target} AS t
SET ({columns}) = (SELECT {columns} FROM jsonb_populate_record(NULL::{target}, undone.before))
FROM undone
WHERE undone.key = {key_text} AND to_jsonb(t) = undone.after

-- name: hash_of_users
hash_record_extended(
    ROW(t.spotify_id, t.display_name, t.email, t.country, t.subscription_type, t.updated_at), 44
)::text

-- name: hash_of_playlists
hash_record_extended(ROW(t.user_id, t.spotify_playlist_id, t.name, t.description, t.is_public), 44)::text

-- name: hash_of_spotify_tokens
-- Not of the envelopes: a rotation of keys is no edit.
hash_record_extended(ROW(t.expires_at, t.updated_at), 44)::text

-- name: is_as_written
EXISTS (
    SELECT FROM segue.journal AS made
    WHERE
        made.run_id = t.run_id AND made.table_name = {name} AND made.kind = 'created'
        AND made.key = {id}::text AND made.after = to_jsonb({row_hash})
)

-- name: run_of_row
CASE WHEN {is_as_written} THEN t.run_id END

-- name: record_written
-- The hash of what was written tells a later edit; the values themselves stay out of the journal.
INSERT INTO segue.journal (run_id, table_name, key, kind, after)
SELECT %(run_id)s, {name}, {id}::text, 'created', to_jsonb({row_hash})
FROM written AS t
WHERE t.run_id = %(run_id)s
ON CONFLICT (run_id, table_name, kind, key) DO UPDATE SET after = excluded.after, undone_at = NULL

-- name: delete_referring
DELETE FROM {referring} AS r USING {target} AS t WHERE t.run_id = %(run_id)s AND r.{column} = {id} AND {of_others}

-- name: delete_dangling
-- While the foreign keys were absent what is referred to may have been deleted; now the run's rows follow.
DELETE FROM {referring} AS r
WHERE r.run_id = %(run_id)s AND NOT EXISTS (SELECT FROM {target} AS t WHERE r.{column} = {id})
