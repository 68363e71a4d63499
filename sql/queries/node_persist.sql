-- name: keep_user_images
-- Before-images of users that the application or another run made and whose gaps this file fills.
INSERT INTO segue.journal (run_id, table_name, key, kind, before)
SELECT %(run_id)s, 'users', held.id::text, 'changed', held.image
FROM (
    SELECT t.id, to_jsonb(t) AS image
    FROM {users} AS t
    JOIN pg_temp.stage_users AS d USING (spotify_id)
    WHERE
        t.run_id IS DISTINCT FROM %(run_id)s
        AND (t.display_name, t.email, t.country, t.subscription_type) IS DISTINCT FROM (
            coalesce(t.display_name, d.display_name), coalesce(t.email, d.email), coalesce(t.country, d.country),
            coalesce(t.subscription_type, d.subscription_type)
        )
    ORDER BY t.id
    FOR UPDATE OF t
) AS held
ON CONFLICT (run_id, table_name, kind, key) DO UPDATE SET undone_at = NULL

-- name: write_users
-- A user of this run is as the file says, unless somebody has edited the row since; one that others made only has its
-- gaps filled.
WITH written AS (
    INSERT INTO {users} AS t (
        id, spotify_id, display_name, email, country, subscription_type, created_at, updated_at, run_id
    )
    SELECT
        segue.row_id('user', d.spotify_id), d.spotify_id, d.display_name, d.email, d.country, d.subscription_type, %(at)s,
        d.updated_at, %(run_id)s
    FROM pg_temp.stage_users AS d
    ORDER BY d.spotify_id
    ON CONFLICT (spotify_id) DO UPDATE SET
        display_name = CASE WHEN t.run_id = %(run_id)s THEN excluded.display_name ELSE coalesce(t.display_name, excluded.display_name) END,
        email = CASE WHEN t.run_id = %(run_id)s THEN excluded.email ELSE coalesce(t.email, excluded.email) END,
        country = CASE WHEN t.run_id = %(run_id)s THEN excluded.country ELSE coalesce(t.country, excluded.country) END,
        subscription_type = CASE
            WHEN t.run_id = %(run_id)s THEN excluded.subscription_type
            ELSE coalesce(t.subscription_type, excluded.subscription_type)
        END,
        updated_at = CASE WHEN t.run_id = %(run_id)s THEN excluded.updated_at ELSE t.updated_at END
    WHERE
        CASE
            WHEN t.run_id = %(run_id)s THEN {is_as_written}
            ELSE (t.display_name, t.email, t.country, t.subscription_type) IS DISTINCT FROM (
                coalesce(t.display_name, excluded.display_name), coalesce(t.email, excluded.email),
                coalesce(t.country, excluded.country), coalesce(t.subscription_type, excluded.subscription_type)
            )
        END
    RETURNING t.*
)

{record_written}

-- name: write_playlists
WITH written AS (
    INSERT INTO {playlists} AS t (
        id, user_id, spotify_playlist_id, name, description, is_public, created_at, updated_at, run_id
    )
    SELECT
        segue.row_id('playlist', d.user_id || chr(31) || d.playlist_key), who.id, d.spotify_playlist_id, d.name,
        d.description, d.is_public, %(at)s, %(at)s, %(run_id)s
    FROM pg_temp.stage_playlists AS d
    JOIN pg_temp.stage_who AS who ON who.spotify_id = d.user_id
    ON CONFLICT DO NOTHING
    RETURNING t.*
)

{record_written}

-- name: write_rows
-- Rows of users: plain while nobody else can have written there, else what is there stays.
INSERT INTO {target} ({columns}, run_id)
SELECT {values}, %(run_id)s
FROM {stage} AS d
{joins}
{on_conflict}

-- name: keep_images
-- Before-images of rows that the application or another run made and that this chunk would change.
INSERT INTO segue.journal (run_id, table_name, key, kind, before)
SELECT %(run_id)s, {name}, held.key, 'changed', held.image
FROM (
    SELECT {key_text} AS key, to_jsonb(t) AS image
    FROM {target} AS t
    JOIN ({merged}) AS d USING ({key})
    WHERE t.run_id IS DISTINCT FROM %(run_id)s AND ({held}) IS DISTINCT FROM ({due})
    ORDER BY {ordered_key}
    FOR UPDATE OF t
) AS held
ON CONFLICT (run_id, table_name, kind, key) DO UPDATE SET undone_at = NULL

-- name: merge_rows
-- Rows that many files speak of: merging is commutative, so neither their order nor a second time matters. In key order,
-- so that two workers wait for each other instead of deadlocking.
INSERT INTO {target} AS t ({columns}, {created} run_id)
SELECT {columns}, {created_value} %(run_id)s
FROM ({merged}) AS d
ORDER BY {key}
ON CONFLICT ({key}) DO UPDATE SET {changes}
WHERE ({held}) IS DISTINCT FROM ({changed}) AND {mine}

-- name: keep_after_images
UPDATE segue.journal AS entry
SET after = to_jsonb(t)
FROM {target} AS t
WHERE
    entry.run_id = %(run_id)s AND entry.table_name = {name} AND entry.kind = 'changed' AND entry.key = {key_text}
    AND entry.after IS DISTINCT FROM to_jsonb(t) AND t.run_id IS DISTINCT FROM %(run_id)s

-- name: write_tokens
-- A token that the application has refreshed since, or stored itself, stays.
WITH written AS (
    INSERT INTO {spotify_tokens} AS t (user_id, access_token, refresh_token, key_id, expires_at, updated_at, run_id)
    SELECT who.id, d.access_token, d.refresh_token, d.key_id, d.expires_at, %(at)s, %(run_id)s
    FROM pg_temp.stage_spotify_tokens AS d
    JOIN pg_temp.stage_who AS who ON who.spotify_id = d.user_id
    ON CONFLICT (user_id) DO UPDATE SET
        access_token = excluded.access_token, refresh_token = excluded.refresh_token, key_id = excluded.key_id,
        expires_at = excluded.expires_at
    WHERE
        t.run_id = %(run_id)s AND {is_as_written}
        AND (t.access_token, t.refresh_token, t.expires_at) IS DISTINCT FROM (
            excluded.access_token, excluded.refresh_token, excluded.expires_at
        )
    RETURNING t.*
)

{record_written}

-- name: save_files
-- Each file's accounting, and the digest of the rows due for its user.
UPDATE segue.files AS file
SET
    size = done.size, mtime_ns = done.mtime_ns, user_id = done.user_id, outcome = done.outcome, reason = done.reason, elements = done.elements,
    linked = done.linked, merged = done.merged, blank = done.blank, quarantined = done.quarantined,
    due_rows = coalesce(due.n, 0), due_sum = coalesce(due.sum, 0), due_xor = coalesce(due.xor, 0)
FROM pg_temp.stage_files AS done
LEFT JOIN (
    SELECT
        path, count(*) AS n, sum(hash_record_extended(record, 42)) AS sum, bit_xor(hash_record_extended(record, 43)) AS xor
    FROM ({records}) AS due
    GROUP BY path
) AS due ON due.path = done.path
WHERE file.run_id = %(run_id)s AND file.path = done.path

-- name: forget_rows
DELETE FROM {target} AS t WHERE t.run_id = %(run_id)s AND {of_staged}

-- name: of_staged_user
t.user_id IN (SELECT who.id FROM pg_temp.stage_who AS who)

-- name: of_staged_playlist
t.playlist_id IN (
    SELECT list.id FROM {playlists} AS list WHERE list.user_id IN (SELECT who.id FROM pg_temp.stage_who AS who)
)

-- name: rewrite_playlists
-- A playlist that the run made follows its file, unless somebody has edited it since.
WITH written AS (
    UPDATE {playlists} AS t
    SET name = d.name, description = d.description, is_public = d.is_public
    FROM pg_temp.stage_playlists AS d
    WHERE
        t.id = segue.row_id('playlist', d.user_id || chr(31) || d.playlist_key) AND t.run_id = %(run_id)s
        AND (t.name, t.description, t.is_public) IS DISTINCT FROM (d.name, d.description, d.is_public)
        AND {is_as_written}
    RETURNING t.*
)

{record_written}

-- name: forget_playlists
-- Playlists of the run that its users' files no longer have, unless they hold tracks of others or were
-- edited since.
DELETE FROM {playlists} AS t
USING pg_temp.stage_who AS who
WHERE
    t.run_id = %(run_id)s AND t.user_id = who.id AND {is_as_written}
    AND NOT EXISTS (
        SELECT FROM pg_temp.stage_playlists AS d
        WHERE t.id = segue.row_id('playlist', d.user_id || chr(31) || d.playlist_key)
    )
    AND NOT EXISTS (
        SELECT FROM {playlist_tracks} AS item WHERE item.playlist_id = t.id AND item.run_id IS DISTINCT FROM %(run_id)s
    )

-- name: delete_doubles
-- While the keys were absent an application may have added a row that the run added too: its row stays.
DELETE FROM {target} AS ours
USING {target} AS other
WHERE ours.run_id = %(run_id)s AND other.run_id IS DISTINCT FROM %(run_id)s AND {same_key}
