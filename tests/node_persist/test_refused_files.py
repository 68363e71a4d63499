"""Files whose rows the database refuses: alone in quarantine as a whole, and imported once the rule is mended."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.node_persist import manifest
from tests.node_persist.people import accounts, rows, tables, user
from tests.node_persist.stores import file_name, write

NAMES = [f"u{number:02}" for number in range(1, 13)]
FORBIDDEN = ("u03", "u04", "u12")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Twelve users who share tracks, artists and albums."""
    for number, name in enumerate(NAMES):
        write(tmp_path / "storage", 4, name, user(name, number))
    return tmp_path / "storage"


def forbid(connection: psycopg.Connection[Any], *names: str, table: str = "users") -> None:
    """Make a CHECK of the application's refuse some users, or nobody."""
    connection.execute("DROP TRIGGER IF EXISTS forbid ON users")
    connection.execute("DROP TRIGGER IF EXISTS forbid ON user_saved_tracks")
    if names:
        column = "NEW.spotify_id" if table == "users" else "(SELECT spotify_id FROM users WHERE id = NEW.user_id)"
        listed = ", ".join(f"'{name}'" for name in names)
        connection.execute(
            "CREATE OR REPLACE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF {column} IN ({listed}) THEN RAISE 'mail of %', NEW USING ERRCODE = '23514'; END IF; RETURN NEW; END $$"
        )
        connection.execute(f"CREATE TRIGGER forbid BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION forbid()")


@pytest.mark.parametrize(("batch", "table"), [("5", "users"), ("100", "user_saved_tracks"), ("2", "users")])
def test_refused_files(batch, table, store, connection, segue, snapshot) -> None:
    """The others are imported whole, with everything that they share; then all are, as in a clean run."""
    migrate = (
        "migrate",
        "node-persist",
        "--source",
        str(store),
        "--load",
        "live",
        "--workers",
        "1",
        "--json",
        "-b",
        batch,
    )
    clean = segue(*migrate).json
    everything = tables(connection)
    assert 0 == segue("rollback").code
    forbid(connection, *FORBIDDEN, table=table)
    before = snapshot("public", "segue")
    dry = segue(*migrate, "--dry-run")
    assert 0 == dry.code, dry.stderr
    assert before == snapshot("public", "segue")
    result = segue(*migrate, "-v")

    assert 4 == result.code, result.stderr
    assert (dry.json["rows"], dry.json["elements"]) == (result.json["rows"], result.json["elements"])
    refused = {file_name(4, name) for name in FORBIDDEN}
    assert {"imported": 9, "refused": 3} == result.json["files"]
    assert refused == {path for path, found in accounts(connection).items() if found[0] == "refused"}
    kept = rows(connection, "SELECT key, pointer, payload, reason, sqlstate FROM segue.quarantine")
    assert {(path, "", None, "check violation, function forbid (23514)", "23514") for path in refused} == set(kept)
    assert clean["elements"]["total"] == result.json["elements"]["total"]
    counted = dict(result.json["elements"])
    assert counted.pop("total") == sum(counted.values())
    assert counted["quarantined"] >= 3
    assert "mail of" not in result.stdout + result.stderr
    assert [(name,) for name in NAMES if name not in FORBIDDEN] == rows(
        connection, "SELECT u.spotify_id FROM users u WHERE run_id IS NOT NULL ORDER BY 1"
    )
    assert 0 == segue("validate").code
    assert 4 == segue("quarantine", "retry").code
    assert 0 == segue("validate").code

    forbid(connection)
    assert 0 == segue("quarantine", "retry").code
    assert everything == tables(connection)
    again = segue(*migrate, "-v")
    assert (0, clean["elements"]) == (again.code, again.json["elements"]), again.stderr
    assert 0 == segue("rollback").code


def test_a_file_that_becomes_refused(store, connection, segue) -> None:
    """A user who was imported changes his file, and the database refuses it: what the run had made of him goes."""
    migrate = ("migrate", "node-persist", "--source", str(store), "--json")
    assert 0 == segue(*migrate).code
    forbid(connection, "u05", table="user_saved_tracks")
    write(store, 4, "u05", user("u05", 77))
    result = segue(*migrate, "-v")
    assert 4 == result.code, result.stderr
    assert [(file_name(4, "u05"),)] == rows(connection, "SELECT key FROM segue.quarantine")
    assert 0 == segue("validate").code
    forbid(connection)
    write(store, 4, "u05", user("u05", 78))
    mended = segue(*migrate, "-v")
    assert (0, []) == (mended.code, rows(connection, "SELECT key FROM segue.quarantine")), mended.stderr


def test_worker_processes(store, connection, segue, monkeypatch) -> None:
    """Chunks of worker processes are halved there; the limit holds for all of them together."""
    monkeypatch.setattr(manifest, "SMALLEST_SHARE", 5)
    forbid(connection, *NAMES[:4], *NAMES[6:10])
    migrate = ("migrate", "node-persist", "--source", str(store), "--workers", "2", "--json", "-b", "3")
    stopped = segue(*migrate, "--max-errors", "2")
    assert 6 == stopped.code, stopped.stderr
    assert [(2,)] == rows(connection, "SELECT count(*) FROM segue.partitions")
    assert 3 <= stopped.json["rows"]["quarantined"] <= 6
    done = segue(*migrate, "-v")
    assert (4, {"imported": 4, "refused": 8}) == (done.code, done.json["files"]), done.stderr
    forbid(connection)
    assert 0 == segue("quarantine", "retry").code
    assert 0 == segue("validate").code


def test_a_file_without_elements(connection, segue, tmp_path) -> None:
    """A refused user of whom there is nothing but a profile is a row in quarantine, if without an element."""
    write(tmp_path / "storage", 4, "u01", {"profile": {"id": "u01", "display_name": "A name"}})
    forbid(connection, "u01")
    result = segue("migrate", "node-persist", "--source", str(tmp_path / "storage"), "--json")
    assert (4, {"total": 1, "processed": 1, "quarantined": 1}) == (result.code, result.json["rows"]), result.stderr
    retried = segue("quarantine", "retry", "--json")
    assert (4, 1) == (retried.code, retried.json["rows"])
    assert 0 == segue("validate").code
    forbid(connection)
    assert 0 == segue("quarantine", "retry").code
    assert [("u01",)] == rows(connection, "SELECT spotify_id FROM users")
