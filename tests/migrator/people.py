"""People in every table that holds something about people, for tests."""

from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

Connection = psycopg.Connection[Any]
TOKEN = "v1.k.bm8tb25lLW1heS1zZWUtdGhpcw"


def fill(connection: Connection, spotify_id: str, email: str, name: str, *, plays: int = 3) -> str:
    """Put something about a person into every table that holds such things; return their `users.id`."""

    def one(statement: str, *values: object) -> Any:
        row = connection.execute(statement, values).fetchone()
        assert row is not None
        return row[0]

    run = connection.execute
    user = str(
        one(
            "INSERT INTO users (id, spotify_id, display_name, email, country, run_id)"
            " VALUES (segue.row_id('user', %s), %s, %s, %s, 'DE', 7) RETURNING id",
            *[spotify_id, spotify_id, name, email],
        )
    )
    run(
        "INSERT INTO tracks (id, name, run_id) SELECT 't' || n, 'song', 7 FROM generate_series(1, 3) n ON CONFLICT DO NOTHING"
    )
    run("INSERT INTO artists (id, name, run_id) VALUES ('a1', 'artist', 7) ON CONFLICT DO NOTHING")
    run(
        "INSERT INTO user_listening_history (id, user_id, track_id, listened_at, context_type, context_id, run_id)"
        " SELECT segue.row_id('play', %s || n), %s, 't' || (1 + n %% 3), timestamptz '2026-01-01Z' + n * interval '1 min',"
        " (ARRAY['playlist', 'album', NULL])[1 + n %% 3], 'ctx-' || %s, 7 FROM generate_series(1, %s) n",
        [spotify_id, user, spotify_id[::-1], plays],
    )
    run("INSERT INTO user_top_tracks VALUES (%s, 't1', 'short_term', 1, '2026-01-01Z', 7)", [user])
    run("INSERT INTO user_top_artists VALUES (%s, 'a1', 'long_term', 1, '2026-01-01Z', 7)", [user])
    run("INSERT INTO user_saved_tracks VALUES (%s, 't1', NULL, 7), (%s, 't2', '2026-01-01Z', 7)", [user, user])
    playlist = one(
        "INSERT INTO playlists (id, user_id, spotify_playlist_id, name, description, run_id)"
        " VALUES (segue.row_id('playlist', %s), %s, %s, %s, %s, 7) RETURNING id",
        *[spotify_id, user, f"pl-{spotify_id[::-1]}", f"{name}'s mix", f"by {email}"],
    )
    run(
        "INSERT INTO playlist_tracks VALUES (%s, 't1', 0, NULL, 7), (%s, 't2', 1, '2026-01-01Z', 7)",
        [playlist, playlist],
    )
    run("INSERT INTO spotify_tokens VALUES (%s, %s, NULL, 'k', '2026-01-01Z', now(), 7)", [user, TOKEN])
    session = one(
        "INSERT INTO recommendation_sessions (user_id, parameters) VALUES (%s, %s) RETURNING id",
        user,
        Jsonb({"for": name}),
    )
    advice = one("INSERT INTO recommendations (session_id, track_id, rank) VALUES (%s, 't1', 1) RETURNING id", session)
    run(
        "INSERT INTO recommendation_feedback (user_id, recommendation_id, feedback_type) VALUES (%s, %s, 'like')",
        [user, advice],
    )
    snapshot = one(
        "INSERT INTO listening_snapshots (user_id, snapshot_date, time_range, run_id) VALUES (%s, '2026-01-01', 'short_term', 8) RETURNING id",
        user,
    )
    run(
        "INSERT INTO generated_insights (user_id, snapshot_id, insight_type, content) VALUES (%s, %s, 'mood', %s)",
        [user, snapshot, f"{name} is calm"],
    )
    for payload in ({"users": [user]}, {"uri": f"spotify:user:{spotify_id}:playlist:x"}, {"to": email, "hi": name}):
        run("INSERT INTO background_jobs (kind, payload, error) VALUES ('mail', %s, 'none')", [Jsonb(payload)])
    run("INSERT INTO background_jobs (kind, result) VALUES ('mail', %s)", [Jsonb({"done": spotify_id})])
    tag = one(
        "INSERT INTO tags (name, normalized_name, created_by) VALUES (%s, %s, %s) RETURNING id",
        user[:8],
        user[:8],
        user,
    )
    run("INSERT INTO song_tags (song_id, tag_id, added_by) VALUES (gen_random_uuid(), %s, %s)", [tag, user])
    run(
        "WITH act AS (INSERT INTO segue.moderation_log (actor, action, tag_id) VALUES ('a curator', 'merge', %s) RETURNING id)"
        " INSERT INTO segue.merged_links (log_id, song_id, link, was_dropped)"
        " SELECT id, gen_random_uuid()::text, jsonb_build_object('added_by', %s::text), false FROM act",
        [tag, user],
    )
    operational(connection, spotify_id, user, str(playlist), email, name)
    return user


def operational(connection: Connection, spotify_id: str, user: str, playlist: str, email: str, name: str) -> None:
    """Put into segue's own tables what runs leave there about a person."""
    run = connection.execute
    for path, outcome in ((f"users/{spotify_id}/data", "imported"), (f"0{spotify_id}", "superseded")):
        run(
            "INSERT INTO segue.files (run_id, path, size, mtime_ns, user_id, outcome, reason, elements, linked, due_rows)"
            " VALUES (7, %s, 10, 20, %s, %s, 'older', 5, 5, 4)",
            [path, spotify_id, outcome],
        )
        run("INSERT INTO segue.notes VALUES (7, %s, 1, '/profile', 'profile id differs')", [path])
        run(
            "INSERT INTO segue.quarantine (run_id, key, ordinal, reason, pointer) VALUES (7, %s, 1, 'no name', '/x')",
            [path],
        )
    images = [
        ("users", user, {"id": user, "spotify_id": spotify_id, "email": email, "display_name": name}),
        ("playlists", playlist, {"id": playlist, "user_id": user, "name": f"{name}'s mix"}),
        ("playlist_tracks", f"{playlist}\x1ft1", {"playlist_id": playlist, "position": 3}),
        ("user_top_tracks", f"{user}\x1ft1\x1fshort_term", {"rank": 9}),
        ("spotify_tokens", user, {"user_id": user, "access_token": TOKEN, "key_id": "k"}),
    ]
    for table, key, image in images:
        run(
            "INSERT INTO segue.journal (run_id, table_name, key, kind, before, after) VALUES (7, %s, %s, 'changed', %s, %s)",
            [table, key, Jsonb(image), Jsonb({**image, "rank": 1})],
        )
    run(
        "INSERT INTO segue.journal (run_id, table_name, key, kind)"
        " SELECT 7, 'user_listening_history', id::text, 'created' FROM user_listening_history WHERE user_id = %s",
        [user],
    )
    run("CREATE TABLE IF NOT EXISTS segue.archive_sessions (data jsonb, note text)")
    run("INSERT INTO segue.archive_sessions VALUES (%s, %s)", [Jsonb({"of": spotify_id}), name])


def start_run(
    connection: Connection, paths: list[str], *, status: str = "complete", migration: str = "of-files"
) -> None:
    """Make a run over files whose boundaries, errors and conflicts name some."""
    connection.execute(
        "INSERT INTO segue.runs (id, migration, status, settings, fingerprint, error, rollback, plan)"
        " VALUES (7, %s, %s, %s, 'f', %s, %s, %s)",
        [
            migration,
            status,
            Jsonb({"source": "/nowhere", "keys": "{id}, users/{id}/data"}),
            f"file {paths[0]} cannot be read",
            Jsonb({"removed": {}, "conflicts": [{"key": paths[0], "problem": "in use"}]}),
            Jsonb({"largest": paths[0]}),
        ],
    )
    connection.execute(
        "INSERT INTO segue.jobs (kind, migration, run_id, settings, asked_by, state, outcome, error, report)"
        " VALUES ('migrate', %s, 7, '{}', 'an operator', 'ended', 'failed', %s, %s)",
        [migration, f"file {paths[0]} cannot be read", Jsonb({"errors": [{"key": paths[0], "error": "no JSON"}]})],
    )
    for number, (after, upto) in enumerate(zip([None, *paths], [*paths, None], strict=True)):
        connection.execute(
            "INSERT INTO segue.partitions (run_id, ordinal, after_key, upto_key, cursor, is_done, chunk_size)"
            " VALUES (7, %s, %s, %s, %s, true, 1)",
            [number, after, upto, upto],
        )


def found(connection: Connection, *needles: str) -> list[tuple[str, str]]:
    """Return the tables of the whole database in which a row's text holds one of the needles."""
    tables = connection.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT LIKE 'pg\\_%' AND schemaname <> 'information_schema'"
    ).fetchall()
    return [
        (f"{schema}.{table}", needle)
        for schema, table in tables
        for needle in needles
        if connection.execute(
            sql.SQL("SELECT 1 FROM {} AS t WHERE strpos(t::text, %s) > 0 LIMIT 1").format(
                sql.Identifier(schema, table)
            ),
            [needle],
        ).fetchone()
    ]


ALICE = ("alice.wonder", "alice@example.org", "Alice Liddell")
BOB = ("bob", "bob@example.org", "Bob Roberts")
CASES = {
    "plain": ALICE,
    "digits": ("1113445566", "x1113445566@example.org", "Zoë Müller"),
    "odd": ("a+b (c)*", "a+b@example.org", 'Ali\\ce "Al" O\'N'),
    "short": ("zq7", "zq7@example.org", "Zed Q"),
    "astral": ("ünï-cødé", "uni@example.org", "🎵 singer"),
}
