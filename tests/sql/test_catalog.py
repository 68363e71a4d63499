"""The catalog's tables: what the owner's documents name is there, and the rules hold in the database itself."""

import hashlib
import re
import uuid

import psycopg
import pytest

#: Every table that the documents name, with its columns; ours come after the bar.
TABLES = {
    "users": """id uuid, spotify_id text, display_name text, email text, country text, subscription_type text,
        created_at timestamptz, updated_at timestamptz""",
    "artists": "id text, name text, genres jsonb, popularity int, created_at timestamptz",
    "tracks": """id text, name text, duration_ms int, popularity int, explicit boolean, created_at timestamptz
        | kind text, is_local boolean""",
    "albums": """id text, name text, release_date date, total_tracks int, created_at timestamptz
        | release_date_precision text""",
    "track_artists": "track_id text, artist_id text | position int",
    "track_albums": "track_id text, album_id text, track_number int | disc_number int",
    "user_listening_history": """id uuid, user_id uuid, track_id text, listened_at timestamptz, context_type text,
        context_id text""",
    "user_top_tracks": "user_id uuid, track_id text, time_range text, rank int, updated_at timestamptz",
    "user_top_artists": "| user_id uuid, artist_id text, time_range text, rank int, updated_at timestamptz",
    "user_saved_tracks": "user_id uuid, track_id text, saved_at timestamptz",
    "audio_features": """track_id text, acousticness numeric, danceability numeric, energy numeric,
        instrumentalness numeric, liveness numeric, speechiness numeric, valence numeric, loudness numeric,
        tempo numeric, key int, mode int, time_signature int""",
    "recommendation_sessions": """id uuid, user_id uuid, input_tracks jsonb, algorithm_version text, parameters jsonb,
        created_at timestamptz""",
    "recommendations": "id uuid, session_id uuid, track_id text, score numeric(5,4), rank int, created_at timestamptz",
    "recommendation_feedback": """id uuid, user_id uuid, recommendation_id uuid, feedback_type text,
        created_at timestamptz""",
    "playlists": """id uuid, user_id uuid, spotify_playlist_id text, name text, description text, is_public boolean,
        created_at timestamptz, updated_at timestamptz""",
    "playlist_tracks": "playlist_id uuid, track_id text, position int, added_at timestamptz",
    "spotify_tokens": """user_id uuid, access_token text, refresh_token text, expires_at timestamptz
        | key_id text, updated_at timestamptz""",
    "listening_snapshots": """id uuid, user_id uuid, snapshot_date date, time_range text, audio_features jsonb,
        mood_patterns jsonb, total_tracks_analyzed int""",
    "generated_insights": """id uuid, user_id uuid, snapshot_id uuid, insight_type text, llm_model text,
        prompt_version text, tone_mode text, content text, structured_output jsonb | created_at timestamptz""",
    "background_jobs": """id uuid, kind text, status text, attempts int, payload jsonb, result jsonb, error text,
        created_at timestamptz, started_at timestamptz, finished_at timestamptz""",
}
#: The primary keys that are not `id`.
PRIMARY = {
    "track_artists": "track_id, artist_id",
    "track_albums": "track_id, album_id",
    "user_top_tracks": "user_id, track_id, time_range",
    "user_top_artists": "user_id, artist_id, time_range",
    "user_saved_tracks": "user_id, track_id",
    "audio_features": "track_id",
    "playlist_tracks": "playlist_id, track_id",
    "spotify_tokens": "user_id",
}
UNIQUE = {
    "users": {"spotify_id"},
    "user_listening_history": {"user_id, listened_at, track_id"},
    "playlists": {"user_id, spotify_playlist_id"},
    "listening_snapshots": {"user_id, snapshot_date, time_range"},
}
#: What a column of this name refers to, and whether the row goes with it.
REFERS = {
    "user_id": ("users", True),
    "track_id": ("tracks", False),
    "artist_id": ("artists", False),
    "album_id": ("albums", True),
    "playlist_id": ("playlists", True),
    "session_id": ("recommendation_sessions", True),
    "recommendation_id": ("recommendations", True),
    "snapshot_id": ("listening_snapshots", False),
}
#: Facts about a track or an artist, which go with it; everything else of a user's holds it in place.
FACTS = {"track_artists", "track_albums", "audio_features"}
SHORT = {"timestamp with time zone": "timestamptz", "integer": "int"}


def columns_of(table: str) -> dict[str, str]:
    """Return a table's expected columns and types, provenance included."""
    named = [pair.split() for pair in re.split(r"[,|](?![^(]*\))", f"{TABLES[table]}, run_id bigint") if pair.strip()]
    return dict(named)


@pytest.mark.parametrize("table", TABLES)
def test_table_has_the_documents_columns_and_keys(table: str, connection: psycopg.Connection) -> None:
    """Names, types, primary key, unique keys and references are the documents', and every row has its provenance."""
    columns = dict(
        connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            [table],
        ).fetchall()
    )
    keys = [
        re.findall(r"^(PRIMARY KEY|UNIQUE) \((.*)\)$", definition)[0]
        for (definition,) in connection.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('p', 'u')",
            [table],
        )
    ]
    references = {
        column: (target, kind)
        for column, target, kind in connection.execute(
            "SELECT attname, confrelid::regclass::text, confdeltype = 'c' FROM pg_constraint"
            " JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)"
            " WHERE conrelid = %s::regclass AND contype = 'f'",
            [table],
        )
    }

    assert columns_of(table) == {name: SHORT.get(kind, kind) for name, kind in columns.items()}
    assert {PRIMARY.get(table, "id")} == {key for kind, key in keys if kind == "PRIMARY KEY"}
    assert UNIQUE.get(table, set()) == {key for kind, key in keys if kind == "UNIQUE"}
    due = {name: REFERS[name] for name in columns if name in REFERS}
    assert {name: (target, goes or table in FACTS) for name, (target, goes) in due.items()} == references


USER, OTHER, LIST = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
FILL = f"""
    INSERT INTO users (id, spotify_id) VALUES ('{USER}', 'u1'), ('{OTHER}', 'u2');
    INSERT INTO artists (id, name) VALUES ('a', 'An artist');
    INSERT INTO tracks (id, name) VALUES ('t', 'A track');
    INSERT INTO albums (id, name) VALUES ('l', 'An album');
    INSERT INTO playlists (id, user_id, spotify_playlist_id, name) VALUES ('{LIST}', '{USER}', 'p', 'A list');
    INSERT INTO user_listening_history (user_id, track_id, listened_at) VALUES ('{USER}', 't', '2024-01-01T00:00:00Z');
"""


@pytest.fixture
def filled(connection: psycopg.Connection) -> psycopg.Connection:
    """A database with a user, a track and what belongs to them."""
    connection.execute(FILL)
    return connection


@pytest.mark.parametrize(
    ("constraint", "columns", "values"),
    [
        ("users_spotify_id_key", "users (spotify_id)", "'u1'"),
        ("users_country_check", "users (spotify_id, country)", "'x', 'us'"),
        ("artists_genres_check", "artists (id, name, genres)", "'x', 'x', '{}'"),
        ("artists_popularity_check", "artists (id, name, popularity)", "'x', 'x', 101"),
        ("albums_release_date_check", "albums (id, name, release_date)", "'x', 'x', '1999-01-01'"),
        ("albums_release_date_check", "albums (id, name, release_date_precision)", "'x', 'x', 'year'"),
        (
            "albums_release_date_precision_check",
            "albums (id, name, release_date, release_date_precision)",
            "'x', 'x', '1999-01-01', 'decade'",
        ),
        ("albums_total_tracks_check", "albums (id, name, total_tracks)", "'x', 'x', -1"),
        ("tracks_kind_check", "tracks (id, name, kind)", "'x', 'x', 'advert'"),
        ("tracks_duration_ms_check", "tracks (id, name, duration_ms)", "'x', 'x', -1"),
        ("tracks_popularity_check", "tracks (id, name, popularity)", "'x', 'x', -1"),
        ("track_albums_track_number_check", "track_albums (track_id, album_id, track_number)", "'t', 'l', 0"),
        ("track_albums_disc_number_check", "track_albums (track_id, album_id, disc_number)", "'t', 'l', 0"),
        *(
            (f"audio_features_{name}_check", f"audio_features (track_id, {name})", f"'t', {value}")
            for name, value in (
                *((name, "1.0001") for name in ("acousticness", "danceability", "energy", "instrumentalness")),
                *((name, "-0.0001") for name in ("liveness", "speechiness", "valence")),
                ("valence", "'NaN'"),
                ("loudness", "'NaN'"),
                ("loudness", "'-infinity'"),
                ("tempo", "0"),
                ("tempo", "'NaN'"),
                ("key", "-1"),
                ("key", "12"),
                ("mode", "2"),
                ("time_signature", "0"),
                ("time_signature", "8"),
            )
        ),
        (
            "user_listening_history_play_key",
            "user_listening_history (user_id, track_id, listened_at)",
            f"'{USER}', 't', '2024-01-01T01:00:00+01:00'",
        ),
        ("user_top_tracks_rank_check", "user_top_tracks VALUES", f"'{USER}', 't', 'long_term', 0"),
        ("user_top_tracks_time_range_check", "user_top_tracks VALUES", f"'{USER}', 't', 'ever', 1"),
        ("user_top_artists_rank_check", "user_top_artists VALUES", f"'{USER}', 'a', 'long_term', 0"),
        ("user_top_artists_time_range_check", "user_top_artists VALUES", f"'{USER}', 'a', 'ever', 1"),
        ("playlists_user_id_spotify_playlist_id_key", "playlists (user_id, spotify_playlist_id, name)", f"'{USER}', 'p', 'x'"),
        ("playlist_tracks_position_check", "playlist_tracks VALUES", f"'{LIST}', 't', -1"),
        ("spotify_tokens_token_check", "spotify_tokens (user_id, key_id)", f"'{USER}', 'k'"),
        ("listening_snapshots_time_range_check", "listening_snapshots (user_id, snapshot_date, time_range)", f"'{USER}', '2024-01-01', 'ever'"),
        ("background_jobs_status_check", "background_jobs (kind, status)", "'x', 'odd'"),
        ("background_jobs_attempts_check", "background_jobs (kind, attempts)", "'x', -1"),
    ],
)  # fmt: skip
def test_database_refuses(constraint: str, columns: str, values: str, filled: psycopg.Connection) -> None:
    """A value that no source really has is stopped by the constraint that is there for it."""
    target = columns.removesuffix(" VALUES")
    with pytest.raises(psycopg.errors.IntegrityError) as refused:
        filled.execute(f"INSERT INTO {target} VALUES ({values})")  # type: ignore[arg-type]  # literals of this file

    assert constraint == refused.value.diag.constraint_name


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO audio_features (track_id, loudness, time_signature, key, valence) VALUES ('t', 1.634, 1, 0, 1)",
        f"INSERT INTO user_saved_tracks (user_id, track_id, saved_at) VALUES ('{USER}', 't', NULL)",
        f"INSERT INTO playlists (user_id, spotify_playlist_id, name) VALUES ('{OTHER}', 'p', 'The same list')",
        f"INSERT INTO playlists (user_id, name) VALUES ('{USER}', 'Not on Spotify'), ('{USER}', 'Nor this')",
        "INSERT INTO tracks (id, name, is_local) VALUES ('spotify:local:a:b:c:1', '', true)",
        "INSERT INTO tracks (id, name) VALUES ('T', 'ids differ by case'), ('u', repeat('x', 5000))",
        f"INSERT INTO spotify_tokens (user_id, refresh_token, key_id) VALUES ('{USER}', 'sealed', 'k')",
    ],
)
def test_database_accepts(statement: str, filled: psycopg.Connection) -> None:
    """What real data have goes in."""
    assert filled.execute(statement).rowcount >= 1  # type: ignore[arg-type]  # literals of this file


def test_user_goes_with_all_that_is_theirs_and_a_used_track_stays(filled: psycopg.Connection) -> None:
    """Deleting a user leaves nothing of theirs; a track that a user's row names cannot be deleted under it."""
    filled.execute(f"INSERT INTO playlist_tracks VALUES ('{LIST}', 't', 0)")
    filled.execute("INSERT INTO audio_features (track_id) VALUES ('t')")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        filled.execute("DELETE FROM tracks")

    filled.execute("DELETE FROM users WHERE spotify_id = 'u1'")
    filled.execute("DELETE FROM tracks")

    tables = ("user_listening_history", "playlists", "playlist_tracks", "audio_features")
    assert [0] * 4 == [filled.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]


@pytest.mark.parametrize("key", ["hope", "", "Ünï\u2028𝄞", "user\x1ftrack\x1f1700000000000000"])
def test_ids_follow_from_kind_and_key(key: str, connection: psycopg.Connection) -> None:
    """An id is the first half of the SHA-256 of kind and key; a tag's is what it always was."""
    digest = {kind: uuid.UUID(bytes=hashlib.sha256(f"{kind}:{key}".encode()).digest()[:16]) for kind in ("tag", "play")}

    assert (digest["tag"], digest["tag"], digest["play"]) == connection.execute(
        "SELECT segue.tag_id(%(key)s), segue.row_id('tag', %(key)s), segue.row_id('play', %(key)s)", {"key": key}
    ).fetchone()


def test_a_known_tag_keeps_its_id(connection: psycopg.Connection) -> None:
    """The id that revision 0002 gave this tag, written down: databases hold it."""
    known = uuid.UUID("c42d7654-f46d-32af-9f57-71e5fda0caee")

    assert (known,) == connection.execute("SELECT segue.tag_id('hope')").fetchone()
