"""Handing out what is stored about one person."""

import json
from pathlib import Path

from migrator.personal_data.tables import PERSONAL
from sql.database import Database
from tests.conftest import Command
from tests.migrator.people import ALICE, BOB, TOKEN, Connection, fill


def test_an_export_holds_everything_but_tokens(connection: Connection, segue: Command) -> None:
    """Every table with personal data is in it, in the order of their keys; nobody else's rows are."""
    user = fill(connection, *ALICE, plays=2_500)
    fill(connection, *BOB)

    result = segue("users", "export", ALICE[0], "--json")
    document = result.json

    assert result.code == 0
    assert (document["spotify_id"], document["id"], document["is_user"]) == (ALICE[0], user, True)
    tables = document["tables"]
    assert set(tables) == {"segue.archive_sessions", *(table.name for table in PERSONAL)}
    assert {name: len(rows) for name, rows in tables.items()} == document["rows"]
    assert [name for name, rows in tables.items() if not rows] == []
    assert tables["users"][0]["email"] == ALICE[1]
    plays = [row["listened_at"] for row in tables["user_listening_history"]]
    assert len(plays) == 2_500
    assert plays == sorted(plays)
    assert set(tables["spotify_tokens"][0]) == {"user_id", "key_id", "expires_at", "updated_at", "run_id"}
    assert TOKEN not in result.stdout
    assert not [text for text in BOB if text in result.stdout]
    assert segue("users", "export", user, "--json").stdout == result.stdout
    assert json.loads(segue("users", "export", ALICE[0]).stdout) == document


def test_an_export_goes_to_a_file_of_the_owners(connection: Connection, segue: Command, tmp_path: Path) -> None:
    """Only the owner may read it; what is printed names no person; a failed export leaves no file."""
    fill(connection, *ALICE)
    out = tmp_path / "person.json"

    result = segue("users", "export", ALICE[0], "--out", str(out), "--json")

    assert result.code == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert json.loads(out.read_text("utf-8")) == segue("users", "export", ALICE[0], "--json").json
    assert result.json["rows"]["users"] == 1
    assert not [text for text in ALICE if text in result.stdout + result.stderr]
    assert segue("users", "export", "nobody", "--out", str(tmp_path / "no.json")).code == 2
    assert segue("users", "export", ALICE[0], "--out", str(tmp_path / "no" / "x.json")).code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["person.json"]


def test_an_export_is_streamed(connection: Connection, database_url: str) -> None:
    """Thirty thousand plays pass through in the memory of a few thousand."""
    import tracemalloc

    from migrator.personal_data.export import export

    fill(connection, *ALICE, plays=30_000)
    database = Database(database_url)
    written = 0

    def write(text: str) -> None:
        nonlocal written
        written += len(text)

    tracemalloc.start()
    done = export(database, "public", ALICE[0], write)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    database.close()

    assert done.rows["user_listening_history"] == 30_000
    assert written > 10_000_000
    assert peak < 4_000_000


def test_tables_of_the_applications_own_are_named(connection: Connection, segue: Command) -> None:
    """A table that refers to users and is not ours is reported by both: Segue does not know what is in it."""
    fill(connection, *ALICE)
    connection.execute("CREATE TABLE letters (writer uuid REFERENCES users ON DELETE CASCADE, text text)")

    assert segue("users", "export", ALICE[0], "--json").json["not_covered"] == ["letters"]
    assert segue("users", "erase", ALICE[0], "--yes", "--json").json["not_covered"] == ["letters"]
