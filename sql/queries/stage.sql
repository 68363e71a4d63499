-- name: has_stage
SELECT to_regclass('pg_temp.stage_files') IS NOT NULL AS found

-- name: create_stage
-- One table for each kind of row, in the order of migrator/node_persist/rows.py; every COMMIT empties them.
-- `spare` is never filled: because its default is volatile, COPY stores row by row. Else it prepares memory for the first
-- 1,000 rows of every COPY, which costs thrice as much as storing the 2,000 that a chunk has.
CREATE TEMP TABLE stage_users (
    spotify_id text COLLATE "C", display_name text, email text, country text, subscription_type text, updated_at timestamptz,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_artists (
    id text COLLATE "C", name text, genres text, popularity int, spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_albums (
    id text COLLATE "C", name text, release_date date, release_date_precision text, total_tracks int,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_tracks (
    id text COLLATE "C", name text, kind text, is_local boolean, duration_ms int, popularity int, explicit boolean,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_track_artists (
    track_id text COLLATE "C", artist_id text COLLATE "C", position int,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_track_albums (
    track_id text COLLATE "C", album_id text COLLATE "C", track_number int, disc_number int,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_audio_features (
    track_id text COLLATE "C", acousticness numeric, danceability numeric, energy numeric, instrumentalness numeric,
    liveness numeric, speechiness numeric, valence numeric, loudness numeric, tempo numeric, key int, mode int,
    time_signature int,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_user_listening_history (
    user_id text COLLATE "C", track_id text COLLATE "C", listened_at timestamptz, context_type text, context_id text,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_user_top_tracks (
    user_id text COLLATE "C", track_id text COLLATE "C", time_range text, rank int, updated_at timestamptz,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_user_top_artists (
    user_id text COLLATE "C", artist_id text COLLATE "C", time_range text, rank int, updated_at timestamptz,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_user_saved_tracks (
    user_id text COLLATE "C", track_id text COLLATE "C", saved_at timestamptz,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_playlists (
    user_id text COLLATE "C", playlist_key text COLLATE "C", spotify_playlist_id text COLLATE "C", name text,
    description text, is_public boolean,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_playlist_tracks (
    user_id text COLLATE "C", playlist_key text COLLATE "C", track_id text COLLATE "C", position int, added_at timestamptz,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_spotify_tokens (
    user_id text COLLATE "C", access_token text, refresh_token text, key_id text, expires_at timestamptz,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS;
-- Whose rows these are: the file, the legacy id and the id in users.
CREATE TEMP TABLE stage_who (path text COLLATE "C", spotify_id text COLLATE "C", id uuid) ON COMMIT DELETE ROWS;
-- Which row of playlists is meant by a user's playlist key.
CREATE TEMP TABLE stage_lists (user_id text COLLATE "C", playlist_key text COLLATE "C", id uuid) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_files (
    path text COLLATE "C", size bigint, mtime_ns bigint, user_id text COLLATE "C", outcome text, reason text,
    elements bigint, linked bigint, merged bigint, blank bigint, quarantined bigint,
    spare boolean DEFAULT random() < 0
) ON COMMIT DELETE ROWS

-- name: empty_stage
TRUNCATE
    pg_temp.stage_users, pg_temp.stage_artists, pg_temp.stage_albums, pg_temp.stage_tracks, pg_temp.stage_track_artists,
    pg_temp.stage_track_albums, pg_temp.stage_audio_features, pg_temp.stage_user_listening_history,
    pg_temp.stage_user_top_tracks, pg_temp.stage_user_top_artists, pg_temp.stage_user_saved_tracks, pg_temp.stage_playlists,
    pg_temp.stage_playlist_tracks, pg_temp.stage_spotify_tokens, pg_temp.stage_who, pg_temp.stage_lists, pg_temp.stage_files

-- name: copy_rows
COPY {stage} ({columns}) FROM STDIN

-- name: copy_binary
COPY {stage} ({columns}) FROM STDIN (FORMAT binary)

-- name: copy_files
COPY pg_temp.stage_files (
    path, size, mtime_ns, user_id, outcome, reason, elements, linked, merged, blank, quarantined
) FROM STDIN

-- name: copy_quarantine
COPY segue.quarantine (run_id, key, ordinal, pointer, reason) FROM STDIN

-- name: copy_notes
COPY segue.notes (run_id, path, ordinal, pointer, problem) FROM STDIN

-- name: find_who
INSERT INTO pg_temp.stage_who (path, spotify_id, id)
SELECT file.path, file.user_id, coalesce(t.id, segue.row_id('user', file.user_id))
FROM pg_temp.stage_files AS file
LEFT JOIN {users} AS t ON t.spotify_id = file.user_id
WHERE file.outcome = 'imported'

-- name: find_lists
INSERT INTO pg_temp.stage_lists (user_id, playlist_key, id)
SELECT d.user_id, d.playlist_key, coalesce(t.id, segue.row_id('playlist', d.user_id || chr(31) || d.playlist_key))
FROM pg_temp.stage_playlists AS d
JOIN pg_temp.stage_who AS who ON who.spotify_id = d.user_id
LEFT JOIN {playlists} AS t ON t.user_id = who.id AND t.spotify_playlist_id = d.spotify_playlist_id

-- name: name_users
INSERT INTO pg_temp.stage_who (path, spotify_id, id)
SELECT '', due.spotify_id, coalesce(t.id, segue.row_id('user', due.spotify_id))
FROM unnest(%(users)s::text[]) AS due (spotify_id)
LEFT JOIN {users} AS t ON t.spotify_id = due.spotify_id

-- name: of_staged_users
{user} IN (SELECT who.id FROM pg_temp.stage_who AS who)

-- name: digest_of_stage
SELECT who.path, {digest} AS record
FROM {stage} AS d
{joins}

-- name: digest_due
SELECT
    count(*) AS due_rows, sum(hash_record_extended(record, 42)) AS expected_sum,
    bit_xor(hash_record_extended(record, 43)) AS expected_xor
FROM ({records}) AS due

-- name: merged
-- What several files of one chunk say of the same row, as one.
SELECT {grouped} FROM {stage} GROUP BY {key}
