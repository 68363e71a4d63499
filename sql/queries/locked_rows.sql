-- Rows of a source held from before they are read until what follows from them is written.

-- name: lock_page
-- The first rows of a range, up to the first that somebody else holds: we never wait for a row while we hold others.
-- What comes after waits briefly, so that no circle with users' transactions lasts until one of them is chosen.
WITH page AS MATERIALIZED (SELECT {key} AS k FROM {table} WHERE {conditions} ORDER BY {key} LIMIT %(limit)s),

locked AS MATERIALIZED (
    SELECT song.{key} AS k
    FROM {table} AS song
    -- An array, which is looked up in the index: joined, a small page would be met with a scan of the whole table.
    WHERE song.{key} = ANY(ARRAY(SELECT page.k FROM page))
    ORDER BY song.{key}
    FOR NO KEY UPDATE OF song SKIP LOCKED
)

SELECT
    coalesce(array_agg(row.k::text ORDER BY row.k) FILTER (WHERE row.is_ours), '{{}}') AS keys,
    (array_agg(row.k::text ORDER BY row.k) FILTER (WHERE NOT row.is_ours))[1] AS busy,
    set_config('lock_timeout', %(rest)s, true)
FROM (
    SELECT page.k, bool_and(locked.k IS NOT NULL) OVER (ORDER BY page.k) AS is_ours
    FROM page
    LEFT JOIN locked ON locked.k = page.k
) AS row

-- name: lock_keys
-- Those of some rows that nobody else holds, and the first that somebody does.
WITH locked AS MATERIALIZED (
    SELECT song.{key} AS k
    FROM {table} AS song
    WHERE song.{key} = ANY(%(keys)s::{key_type}[])
    ORDER BY song.{key}
    FOR NO KEY UPDATE SKIP LOCKED
)

SELECT
    coalesce(array_agg(row.k::text ORDER BY row.k) FILTER (WHERE row.is_ours), '{{}}') AS keys,
    coalesce(array_agg(row.k::text ORDER BY row.k) FILTER (WHERE NOT row.is_ours), '{{}}') AS busy,
    set_config('lock_timeout', %(rest)s, true)
FROM (
    SELECT song.{key} AS k, locked.k IS NOT NULL AS is_ours
    FROM {table} AS song
    LEFT JOIN locked ON locked.k = song.{key}
    WHERE song.{key} = ANY(%(keys)s::{key_type}[])
) AS row

-- name: lock_row
-- Waits for one row, which we may, because we hold nothing yet.
SELECT {key}::text AS key FROM {table} WHERE {key} = %(key)s::{key_type} FOR NO KEY UPDATE

-- name: forget_absent
-- Of keys without a song: one statement, so a song that is added meanwhile comes with its links or not at all.
WITH absent AS (
    SELECT given.key FROM unnest(%(keys)s::text[]) AS given (key)
    WHERE NOT EXISTS (SELECT FROM {table} AS song WHERE song.{key} = given.key::{key_type})
),

link AS (
    DELETE FROM {song_tags} WHERE run_id = %(run_id)s AND song_id IN (SELECT absent.key::{key_type} FROM absent)
)

DELETE FROM segue.quarantine WHERE run_id = %(run_id)s AND key IN (SELECT absent.key FROM absent)
