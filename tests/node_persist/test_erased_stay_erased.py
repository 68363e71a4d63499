"""Somebody who was erased stays so: the next runs pass their file over, and a rollback brings nothing back."""

import hashlib
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.token_keys import VARIABLE, TokenKey
from tests.conftest import Command
from tests.migrator.people import found

NEEDLES = ("alice", "Alice", "tok-alice")


def write(store: Path, name: str) -> None:
    """Write a user's file as node-persist 4 does."""
    key = f"users/{name}/data"
    track = {"id": f"t{len(name)}", "name": "song", "artists": [{"id": "a1", "name": "artist"}], "type": "track"}
    value = {
        "profile": {"id": name, "display_name": f"{name.title()} Liddell", "email": f"{name}@example.org"},
        "accessToken": f"tok-{name}",
        "recentlyPlayed": [{"track": track, "played_at": "2026-01-01T00:00:00Z"}],
        "savedTracks": [{"track": track, "added_at": None}],
        "lastUpdated": "2026-01-02T00:00:00Z",
    }
    (store / hashlib.sha256(key.encode()).hexdigest()).write_text(json.dumps({"key": key, "value": value}))


@pytest.mark.parametrize("flags", [[], ["--anonymize"]], ids=["erase", "anonymize"])
def test_erased_users_are_not_imported_again(
    connection: psycopg.Connection[Any], segue: Command, tmp_path: Path, flags: list[str]
) -> None:
    """Erase, migrate again, migrate afresh, validate, roll everything back: the person is nowhere at any time."""
    for name in ("alice", "bob", "carol"):
        write(tmp_path, name)
    env = {VARIABLE: TokenKey.fresh().text}
    migrate = ("migrate", "node-persist", "--source", str(tmp_path), "--json")
    assert segue(*migrate, env=env).code == 0
    assert found(connection, "alice")

    erased = segue("users", "erase", "alice", "--yes", "--json", *flags, env=env)
    assert (erased.code, erased.json["stale_runs"]) == (0, {})
    assert found(connection, *NEEDLES) == []
    assert segue("validate", "--json", env=env).json["equal"]

    again = segue(*migrate, env=env)
    assert (again.code, again.json["unchanged"]) == (0, True)
    assert segue(*migrate, "--fresh", env=env).code == 0
    assert found(connection, *NEEDLES) == []
    for run in ("2", "1"):
        assert segue("rollback", run, env=env).code in (0, 7)
        assert found(connection, *NEEDLES) == []


def path_of(name: str) -> str:
    """Return the name of a user's file."""
    return hashlib.sha256(f"users/{name}/data".encode()).hexdigest()


def test_a_file_that_only_reading_makes_known_takes_nothing_along(
    connection: psycopg.Connection[Any], segue: Command, tmp_path: Path
) -> None:
    """An erased user's file is mended after the store was listed: the next user's track, the same one, still arrives."""
    gone, other = sorted(("alice", "carol"), key=path_of)
    for name in (gone, other):
        write(tmp_path, name)
    migrate = ("migrate", "node-persist", "--source", str(tmp_path), "-b", "1", "--workers", "1", "--json")
    assert segue(*migrate).code == 0
    assert segue("users", "erase", gone, "--yes").code == 0
    assert segue("rollback").code == 0
    (tmp_path / path_of(gone)).write_text('{"ke')
    assert segue(*migrate, "--max-chunks", "0").code == 6
    write(tmp_path, gone)

    done = segue(*migrate)

    assert done.code == 0, done.stderr
    assert connection.execute("SELECT spotify_id FROM users").fetchall() == [(other,)]
    assert connection.execute("SELECT id FROM tracks").fetchall() == [("t5",)]
    assert segue("validate", "node-persist").code == 0
