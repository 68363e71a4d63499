"""`segue rehearse` plays a migration in a scratch database and leaves nothing behind, in the real one least of all."""

import signal
from collections.abc import Callable

import psycopg
import pytest

from tests.conftest import Command, Server, dump
from tests.crash.conftest import wait_until
from tests.crash.state import SONGS


def databases(server: Server, prefix: str = "segue_") -> list[str]:
    """Return the scratch databases that there are."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        query = "SELECT datname FROM pg_database WHERE starts_with(datname::text, %s) ORDER BY 1"
        return [name for (name,) in connection.execute(query, [prefix])]


@pytest.fixture
def many(songs: Callable[..., None], connection: psycopg.Connection) -> None:
    """300 songs with awkward themes, a column of a type of the application's own, a tag that a person made."""
    songs(SONGS)
    connection.execute("CREATE TYPE mood AS ENUM ('low', 'high'); ALTER TABLE songs ADD COLUMN mood mood DEFAULT 'low'")
    connection.execute("CREATE INDEX ON songs (title); ALTER TABLE songs ADD CHECK (title <> '')")
    connection.execute(
        "INSERT INTO songs (id, title, themes) SELECT gen_random_uuid(), 'more', themes FROM songs, generate_series(1, 9)"
    )
    connection.execute("INSERT INTO tags (id, name, normalized_name) VALUES (gen_random_uuid(), 'Hope!', 'hope!')")


def test_a_rehearsal_reports_and_leaves_nothing(many, server: Server, segue: Command, connection, database_url) -> None:
    """Every guarantee is looked at and holds; the real database is byte for byte the same, and no scratch is left."""
    before = dump(connection, schemas=("public", "segue"))
    body = segue("rehearse", "--sample", "all", "--writers", "2", "--json")

    assert {} == {key: held["problems"] for key, held in body.json["guarantees"].items() if not held["ok"]}
    assert 0 == body.code
    assert ("passed", {"sample": 300, "total": 300}) == (body.json["status"], body.json["rows"])
    assert ["G1", "G2", "G3", "G4", "G5", "G6", "G7"] == list(body.json["guarantees"]) or body.json["kills"] < 3
    assert all(held["ok"] for held in body.json["guarantees"].values())
    assert body.json["kills"] >= 1
    assert body.json["estimate"]["seconds"] > 0
    assert body.json["estimate"]["wal_bytes"] > 0
    assert body.json["writers"]["writes"] > 0
    assert body.json["quarantine"]["elements"] > 0
    assert before == dump(connection, schemas=("public", "segue"))
    assert [] == databases(server)


def test_a_sample_kept(many, server: Server, segue: Command, connection: psycopg.Connection) -> None:
    """A sample is smaller, its figures are scaled up, and the database is kept under the name that is said."""
    result = segue("rehearse", "--sample", "40", "--kills", "0", "--writers", "0", "--keep", "--json")
    body = result.json
    assert 0 == result.code, result.stderr
    try:
        assert [body["kept"]] == databases(server, "segue_kept_")
        assert 20 <= body["rows"]["sample"] <= 40
        assert (300, None, 0) == (body["rows"]["total"], body["writers"]["p99_ms_during"], body["kills"])
        with psycopg.connect(server.url(body["kept"])) as kept:
            assert (body["rows"]["sample"], 0) == (
                kept.execute("SELECT count(*) FROM songs").fetchone()[0],
                kept.execute("SELECT count(*) FROM song_tags").fetchone()[0],
            )
            assert (1,) == kept.execute("SELECT count(*) FROM tags WHERE name = 'Hope!'").fetchone()
    finally:
        connection.execute(f'DROP DATABASE "{body["kept"]}" WITH (FORCE)')


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_ended_rehearsal_is_cleared_away(number, many, server: Server, segue, segue_process, connection) -> None:
    """After Ctrl-C the scratch database is gone at once; after kill -9 the next call drops it."""
    before = dump(connection, schemas=("public", "segue"))
    process = segue_process("rehearse", "--writers", "1", "--kills", "0")
    wait_until(lambda: databases(server, "segue_rehearsal_"), "the scratch database is made", seconds=120)
    wait_until(
        lambda: connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'segue rehearsal writer'"
        ).fetchone(),
        "users write",
        seconds=120,
    )
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)

    assert (6 if number == signal.SIGINT else -9) == process.returncode, said
    if number == signal.SIGKILL:
        assert 1 == len(databases(server, "segue_rehearsal_"))
        assert 0 == segue("rehearse", "--sample", "10", "--kills", "0", "--writers", "0").code
    assert [] == databases(server)
    assert before == dump(connection, schemas=("public", "segue"))


def test_a_broken_guarantee_is_told(many, segue: Command, monkeypatch) -> None:
    """A write of a user that is lost makes the rehearsal fail, and it says which guarantee is broken."""
    from migrator.rehearsing.writers import Writers

    lost = Writers.lost
    monkeypatch.setattr(Writers, "lost", lambda users: [*lost(users), "a key"])
    result = segue("rehearse", "--kills", "0", "--writers", "1")

    assert 3 == result.code
    assert "G4         BROKEN" in result.stdout
    assert "1 acknowledged writes are lost" in result.stdout


def test_what_cannot_be_rehearsed(many, server: Server, segue: Command, connection, database_url, bare_url) -> None:
    """No table, no privilege, a sample that makes no sense: each is refused with its next step."""
    role = "segue_test_small"
    connection.execute(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN")
    connection.execute(f"GRANT SELECT ON songs TO {role}")
    small = segue("rehearse", url=database_url.replace("postgres@", f"{role}@"))
    connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    assert (5, True) == (small.code, f'ALTER ROLE "{role}" CREATEDB' in small.stderr)
    other = segue("rehearse", "snapshots")
    assert (5, True) == (other.code, "--dry-run" in other.stderr)
    assert 2 == segue("rehearse", "--sample", "many").code
    assert 2 == segue("rehearse", "--sample", "0%").code
    assert 2 == segue("rehearse", "--table", "nothing").code
    connection.execute("DELETE FROM songs")
    assert 5 == segue("rehearse").code
    assert [] == databases(server)
