-- name: segue
-- What a run over files knows of each file, and the values that it replaced. Like quarantine, neither refers to
-- runs: a dry run fills them under a number of its own and rolls back.
CREATE TABLE segue.files (
    run_id bigint NOT NULL,
    path text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    user_id text COLLATE "C",
    outcome text NOT NULL CONSTRAINT files_outcome_check CHECK (
        outcome IN ('due', 'imported', 'superseded', 'expired', 'not_user', 'stray', 'damaged', 'gone', 'erased')
    ),
    reason text,
    elements bigint NOT NULL DEFAULT 0,
    linked bigint NOT NULL DEFAULT 0,
    merged bigint NOT NULL DEFAULT 0,
    blank bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    -- Digest of the rows due in tables that belong to one user; see docs/digest.md.
    due_rows bigint NOT NULL DEFAULT 0,
    due_sum numeric NOT NULL DEFAULT 0,
    due_xor bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, path),
    CONSTRAINT files_accounting_check CHECK (elements = linked + merged + blank + quarantined),
    -- A file that is in quarantine says why.
    CONSTRAINT files_reason_check CHECK (outcome NOT IN ('stray', 'damaged') OR reason IS NOT NULL)
);
CREATE INDEX files_user ON segue.files (run_id, user_id);

CREATE TABLE segue.notes (
    run_id bigint NOT NULL,
    path text COLLATE "C" NOT NULL,
    ordinal int NOT NULL,
    pointer text NOT NULL,
    problem text NOT NULL,
    PRIMARY KEY (run_id, path, ordinal)
);

ALTER TABLE segue.quarantine ADD COLUMN pointer text;

-- How many rows the digest of what is due covers: of themes as many as elements are linked, of files others too.
ALTER TABLE segue.partitions ADD COLUMN expected_count bigint NOT NULL DEFAULT 0;
UPDATE segue.partitions SET expected_count = linked;

-- Whom a data-protection request erased: a keyed hash instead of the id, so that later runs pass their files over.
CREATE TABLE segue.erasures (
    id_hash bytea PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    mode text NOT NULL CONSTRAINT erasures_mode_check CHECK (mode IN ('erase', 'anonymize'))
);

-- The key of those hashes, one random value, and how many erasures there were: an erasure changes the row, so that an
-- import that has locked it goes on before, or begins again after.
CREATE TABLE segue.erasure_key (
    is_only boolean PRIMARY KEY DEFAULT true CONSTRAINT erasure_key_is_only_check CHECK (is_only),
    secret bytea NOT NULL,
    erasures bigint NOT NULL DEFAULT 0
);
INSERT INTO segue.erasure_key (secret)
VALUES (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));

-- name: segue_down
DROP FUNCTION segue.text_set(jsonb);
DROP TABLE segue.erasure_key;
DROP TABLE segue.erasures;
ALTER TABLE segue.partitions DROP COLUMN expected_count;
ALTER TABLE segue.quarantine DROP COLUMN pointer;
DROP TABLE segue.notes;
DROP TABLE segue.files;

-- name: users
CREATE TABLE {schema}.users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    spotify_id text COLLATE "C" NOT NULL CONSTRAINT users_spotify_id_key UNIQUE,
    display_name text,
    email text,
    country text CONSTRAINT users_country_check CHECK (country ~ '^[A-Z]{{2}}$'),
    subscription_type text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint
);

-- name: artists
CREATE TABLE {schema}.artists (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    genres jsonb NOT NULL DEFAULT '[]' CONSTRAINT artists_genres_check CHECK (jsonb_typeof(genres) = 'array'),
    popularity int CONSTRAINT artists_popularity_check CHECK (popularity BETWEEN 0 AND 100),
    created_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint
);

-- name: albums
CREATE TABLE {schema}.albums (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    release_date date,
    release_date_precision text CONSTRAINT albums_release_date_precision_check CHECK (
        release_date_precision IN ('year', 'month', 'day')
    ),
    total_tracks int CONSTRAINT albums_total_tracks_check CHECK (total_tracks >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint,
    CONSTRAINT albums_release_date_check CHECK ((release_date IS NULL) = (release_date_precision IS NULL))
);

-- name: tracks
CREATE TABLE {schema}.tracks (
    -- Spotify's id; the URI of a local track, which has no id.
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL DEFAULT 'track' CONSTRAINT tracks_kind_check CHECK (kind IN ('track', 'episode')),
    is_local boolean NOT NULL DEFAULT false,
    duration_ms int CONSTRAINT tracks_duration_ms_check CHECK (duration_ms >= 0),
    popularity int CONSTRAINT tracks_popularity_check CHECK (popularity BETWEEN 0 AND 100),
    explicit boolean,
    created_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint
);

-- name: track_artists
CREATE TABLE {schema}.track_artists (
    track_id text COLLATE "C" NOT NULL CONSTRAINT track_artists_track_id_fkey
    REFERENCES {schema}.tracks (id) ON DELETE CASCADE,
    artist_id text COLLATE "C" NOT NULL CONSTRAINT track_artists_artist_id_fkey
    REFERENCES {schema}.artists (id) ON DELETE CASCADE,
    position int,
    run_id bigint,
    CONSTRAINT track_artists_pkey PRIMARY KEY (track_id, artist_id)
);
CREATE INDEX track_artists_artist_id_idx ON {schema}.track_artists (artist_id);

-- name: track_albums
CREATE TABLE {schema}.track_albums (
    track_id text COLLATE "C" NOT NULL CONSTRAINT track_albums_track_id_fkey
    REFERENCES {schema}.tracks (id) ON DELETE CASCADE,
    album_id text COLLATE "C" NOT NULL CONSTRAINT track_albums_album_id_fkey
    REFERENCES {schema}.albums (id) ON DELETE CASCADE,
    track_number int CONSTRAINT track_albums_track_number_check CHECK (track_number >= 1),
    disc_number int CONSTRAINT track_albums_disc_number_check CHECK (disc_number >= 1),
    run_id bigint,
    CONSTRAINT track_albums_pkey PRIMARY KEY (track_id, album_id)
);
CREATE INDEX track_albums_album_id_idx ON {schema}.track_albums (album_id);

-- name: audio_features
CREATE TABLE {schema}.audio_features (
    track_id text COLLATE "C" CONSTRAINT audio_features_pkey PRIMARY KEY CONSTRAINT audio_features_track_id_fkey
    REFERENCES {schema}.tracks (id) ON DELETE CASCADE,
    acousticness numeric CONSTRAINT audio_features_acousticness_check CHECK (acousticness BETWEEN 0 AND 1),
    danceability numeric CONSTRAINT audio_features_danceability_check CHECK (danceability BETWEEN 0 AND 1),
    energy numeric CONSTRAINT audio_features_energy_check CHECK (energy BETWEEN 0 AND 1),
    instrumentalness numeric CONSTRAINT audio_features_instrumentalness_check CHECK (instrumentalness BETWEEN 0 AND 1),
    liveness numeric CONSTRAINT audio_features_liveness_check CHECK (liveness BETWEEN 0 AND 1),
    speechiness numeric CONSTRAINT audio_features_speechiness_check CHECK (speechiness BETWEEN 0 AND 1),
    valence numeric CONSTRAINT audio_features_valence_check CHECK (valence BETWEEN 0 AND 1),
    -- NaN sorts above infinity: neither is a measurement.
    loudness numeric CONSTRAINT audio_features_loudness_check CHECK (loudness > '-infinity' AND loudness < 'infinity'),
    tempo numeric CONSTRAINT audio_features_tempo_check CHECK (tempo > 0 AND tempo < 'infinity'),
    key int CONSTRAINT audio_features_key_check CHECK (key BETWEEN 0 AND 11),
    mode int CONSTRAINT audio_features_mode_check CHECK (mode IN (0, 1)),
    time_signature int CONSTRAINT audio_features_time_signature_check CHECK (time_signature BETWEEN 1 AND 7),
    run_id bigint
);

-- name: user_listening_history
CREATE TABLE {schema}.user_listening_history (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL CONSTRAINT user_listening_history_user_id_fkey
    REFERENCES {schema}.users (id) ON DELETE CASCADE,
    track_id text COLLATE "C" NOT NULL CONSTRAINT user_listening_history_track_id_fkey REFERENCES {schema}.tracks (id),
    listened_at timestamptz NOT NULL,
    context_type text,
    context_id text,
    run_id bigint,
    -- One play is one row; its index also serves a user's history by time.
    CONSTRAINT user_listening_history_play_key UNIQUE (user_id, listened_at, track_id)
);
CREATE INDEX user_listening_history_track_id_idx ON {schema}.user_listening_history (track_id);

-- name: user_top_tracks
CREATE TABLE {schema}.user_top_tracks (
    user_id uuid NOT NULL CONSTRAINT user_top_tracks_user_id_fkey REFERENCES {schema}.users (id) ON DELETE CASCADE,
    track_id text COLLATE "C" NOT NULL CONSTRAINT user_top_tracks_track_id_fkey REFERENCES {schema}.tracks (id),
    time_range text NOT NULL CONSTRAINT user_top_tracks_time_range_check CHECK (
        time_range IN ('short_term', 'medium_term', 'long_term')
    ),
    rank int NOT NULL CONSTRAINT user_top_tracks_rank_check CHECK (rank >= 1),
    updated_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint,
    CONSTRAINT user_top_tracks_pkey PRIMARY KEY (user_id, track_id, time_range)
);
CREATE INDEX user_top_tracks_rank_idx ON {schema}.user_top_tracks (user_id, time_range, rank);
CREATE INDEX user_top_tracks_track_id_idx ON {schema}.user_top_tracks (track_id);

-- name: user_top_artists
CREATE TABLE {schema}.user_top_artists (
    user_id uuid NOT NULL CONSTRAINT user_top_artists_user_id_fkey REFERENCES {schema}.users (id) ON DELETE CASCADE,
    artist_id text COLLATE "C" NOT NULL CONSTRAINT user_top_artists_artist_id_fkey REFERENCES {schema}.artists (id),
    time_range text NOT NULL CONSTRAINT user_top_artists_time_range_check CHECK (
        time_range IN ('short_term', 'medium_term', 'long_term')
    ),
    rank int NOT NULL CONSTRAINT user_top_artists_rank_check CHECK (rank >= 1),
    updated_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint,
    CONSTRAINT user_top_artists_pkey PRIMARY KEY (user_id, artist_id, time_range)
);
CREATE INDEX user_top_artists_rank_idx ON {schema}.user_top_artists (user_id, time_range, rank);
CREATE INDEX user_top_artists_artist_id_idx ON {schema}.user_top_artists (artist_id);

-- name: user_saved_tracks
CREATE TABLE {schema}.user_saved_tracks (
    user_id uuid NOT NULL CONSTRAINT user_saved_tracks_user_id_fkey REFERENCES {schema}.users (id) ON DELETE CASCADE,
    track_id text COLLATE "C" NOT NULL CONSTRAINT user_saved_tracks_track_id_fkey REFERENCES {schema}.tracks (id),
    saved_at timestamptz,
    run_id bigint,
    CONSTRAINT user_saved_tracks_pkey PRIMARY KEY (user_id, track_id)
);
CREATE INDEX user_saved_tracks_track_id_idx ON {schema}.user_saved_tracks (track_id);

-- name: playlists
CREATE TABLE {schema}.playlists (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL CONSTRAINT playlists_user_id_fkey REFERENCES {schema}.users (id) ON DELETE CASCADE,
    spotify_playlist_id text COLLATE "C",
    name text NOT NULL,
    description text,
    is_public boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint,
    -- Two users may each hold one playlist; its index also serves a user's playlists.
    CONSTRAINT playlists_user_id_spotify_playlist_id_key UNIQUE (user_id, spotify_playlist_id)
);

-- name: playlist_tracks
CREATE TABLE {schema}.playlist_tracks (
    playlist_id uuid NOT NULL CONSTRAINT playlist_tracks_playlist_id_fkey
    REFERENCES {schema}.playlists (id) ON DELETE CASCADE,
    track_id text COLLATE "C" NOT NULL CONSTRAINT playlist_tracks_track_id_fkey REFERENCES {schema}.tracks (id),
    position int NOT NULL CONSTRAINT playlist_tracks_position_check CHECK (position >= 0),
    added_at timestamptz,
    run_id bigint,
    CONSTRAINT playlist_tracks_pkey PRIMARY KEY (playlist_id, track_id)
);
CREATE INDEX playlist_tracks_track_id_idx ON {schema}.playlist_tracks (track_id);

-- name: spotify_tokens
CREATE TABLE {schema}.spotify_tokens (
    user_id uuid CONSTRAINT spotify_tokens_pkey PRIMARY KEY CONSTRAINT spotify_tokens_user_id_fkey
    REFERENCES {schema}.users (id) ON DELETE CASCADE,
    -- Encrypted: printable envelopes, never the token itself.
    access_token text,
    refresh_token text,
    key_id text NOT NULL,
    expires_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint,
    CONSTRAINT spotify_tokens_token_check CHECK (num_nonnulls(access_token, refresh_token) > 0)
);
