"""What the application does with rows that the import made, or had before it, is never undone by the import."""

import os
from pathlib import Path

import pytest

from migrator.token_keys import TokenKey
from tests.node_persist.people import playlist, rows, user
from tests.node_persist.stores import write

KEY = {"SEGUE_TOKEN_KEY": TokenKey.fresh().text}
TOKENS = {"accessToken": "an access token", "refreshToken": "a refresh token"}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """One user with a playlist and tokens."""
    write(tmp_path / "store", 4, "ann", user("ann", playlists=[playlist("p1", "t1", "t2")], **TOKENS))
    return tmp_path / "store"


@pytest.fixture
def migrate(segue, store: Path):
    """Run the import with a token key."""

    def run(*arguments: str, **env: str):
        return segue("migrate", "node-persist", "--source", str(store), *arguments, "--json", env={**KEY, **env})

    return run


def change(store: Path, **more: object) -> None:
    """Let the old application write the user's file again."""
    file = write(
        store, 4, "ann", user("ann", playlists=[playlist("p1", "t1", name="Renamed by the old application")], **more)
    )
    later = file.stat().st_mtime_ns + 1_000_000_000
    os.utime(file, ns=(later, later))


def test_a_renamed_playlist_keeps_its_name(migrate, segue, connection, store: Path) -> None:
    """Neither an update nor a rollback takes the new name away; validation lets it stand."""
    assert 0 == migrate().code
    connection.execute("UPDATE playlists SET name = 'My own'")
    change(store, **TOKENS)

    assert 0 == migrate().code
    assert [("My own",)] == rows(connection, "SELECT name FROM playlists")
    assert 0 == segue("validate", "node-persist", env=KEY).code

    rolled = segue("rollback", "--json", env=KEY)
    assert 7 == rolled.code
    assert [("My own", None)] == rows(connection, "SELECT name, run_id FROM playlists")
    assert [("ann", None)] == rows(connection, "SELECT spotify_id, run_id FROM users")


def test_an_unedited_playlist_follows_its_file(migrate, connection, store: Path) -> None:
    """A rename in the old application arrives."""
    assert 0 == migrate().code
    change(store, **TOKENS)

    assert 0 == migrate().code

    assert [("Renamed by the old application",)] == rows(connection, "SELECT name FROM playlists")
    assert [(1,)] == rows(connection, "SELECT count(*) FROM playlist_tracks")


def test_a_refreshed_token_stays(migrate, segue, connection, store: Path) -> None:
    """A token that the application refreshed is newer than the file's, also for a rollback."""
    assert 0 == migrate().code
    connection.execute("UPDATE spotify_tokens SET access_token = 'refreshed', updated_at = now()")
    change(store, **TOKENS)

    assert 0 == migrate().code
    assert [("refreshed",)] == rows(connection, "SELECT access_token FROM spotify_tokens")
    assert 7 == segue("rollback", env=KEY).code
    assert [("refreshed", None)] == rows(connection, "SELECT access_token, run_id FROM spotify_tokens")


def test_tokens_stay_when_the_key_is_not_given(migrate, connection, store: Path) -> None:
    """An update without SEGUE_TOKEN_KEY cannot write tokens, and deletes none."""
    assert 0 == migrate().code
    before = rows(connection, "SELECT * FROM spotify_tokens")
    change(store, **TOKENS)

    assert 0 == migrate(SEGUE_TOKEN_KEY="").code

    assert 1 == len(before)
    assert before == rows(connection, "SELECT * FROM spotify_tokens")


def test_the_applications_own_rows_only_get_their_gaps_filled(migrate, segue, connection, snapshot) -> None:
    """A track and an artist that were there before keep every value that they have."""
    connection.execute("INSERT INTO tracks (id, name, duration_ms) VALUES ('t1', 'A', 7)")
    connection.execute("INSERT INTO artists (id, name, genres) VALUES ('a1', 'A', '[\"own\"]')")
    before = snapshot()

    assert 0 == migrate().code
    assert [("A", 7)] == rows(connection, "SELECT name, duration_ms FROM tracks WHERE id = 't1'")
    assert [("A", ["own"])] == rows(connection, "SELECT name, genres FROM artists WHERE id = 'a1'")
    assert 0 == segue("validate", "node-persist", env=KEY).code
    assert 0 == segue("rollback", env=KEY).code
    assert before == snapshot()


def test_repair_mends_a_shared_row(migrate, segue, connection) -> None:
    """A lost track and a lost name are found, named with the file that has them, and mended."""
    assert 0 == migrate().code
    connection.execute("UPDATE artists SET name = '' WHERE id = 'a1'")

    found = segue("validate", "node-persist", "--json", env=KEY)
    assert 3 == found.code
    assert any("artists a1" in item["problem"] for item in found.json["mismatches"])

    assert 0 == segue("validate", "node-persist", "--repair", env=KEY).code
    assert [("Artist a1",)] == rows(connection, "SELECT name FROM artists WHERE id = 'a1'")
