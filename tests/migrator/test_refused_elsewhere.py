"""Rows that the database refuses in migrations other than `themes`: pure steps, and snapshots of users."""

import psycopg
import pytest

from tests.conftest import ROOT
from tests.crash.state import song_id
from tests.migrator.listening import stored, user_id
from tests.migrator.test_snapshots_life import heard as heard  # noqa: PLC0414 - a fixture

EXAMPLES = ("--migrations", str(ROOT / "docs/examples"))


@pytest.mark.parametrize("batch", ["4", "30"])
def test_a_pure_step(batch, connection, segue) -> None:
    """A row that the table's own constraint refuses goes to quarantine beside those that the function rejects."""
    connection.execute("CREATE TABLE songs (id uuid PRIMARY KEY, title text)")
    titles = [f"Song {number}" if number % 7 else "!!" for number in range(1, 21)]
    connection.cursor().executemany(
        "INSERT INTO songs VALUES (%s, %s)", [(song_id(n), title) for n, title in enumerate(titles, 1)]
    )
    connection.execute(
        "CREATE TABLE song_slugs (song_id uuid PRIMARY KEY, slug text NOT NULL, run_id bigint,"
        " CONSTRAINT odd CHECK (slug NOT IN ('song-3', 'song-20')))"
    )
    migrate = (*EXAMPLES, "migrate", "slugs", "--workers", "1", "-b", batch, "--json")
    result = segue(*migrate, "-v")
    assert 4 == result.code, result.stderr
    assert {"total": 20, "processed": 20, "quarantined": 4} == result.json["rows"]
    assert {"total": 20, "linked": 16, "merged": 0, "blank": 0, "quarantined": 4} == result.json["elements"]
    whole = connection.execute("SELECT key, reason FROM segue.quarantine WHERE ordinal = 0 ORDER BY 1").fetchall()
    reason = "check violation, constraint odd, table public.song_slugs (23514)"
    assert [(song_id(3), reason), (song_id(20), reason)] == whole
    assert 0 == segue(*EXAMPLES, "validate").code
    connection.execute("ALTER TABLE song_slugs DROP CONSTRAINT odd")
    assert 4 == segue(*EXAMPLES, "quarantine", "retry").code
    assert 0 == segue(*EXAMPLES, "validate").code
    assert [(2,)] == connection.execute("SELECT count(*) FROM segue.quarantine").fetchall()
    assert [(18,)] == connection.execute("SELECT count(*) FROM song_slugs").fetchall()


def test_snapshots(heard, connection: psycopg.Connection, segue) -> None:
    """A user whose snapshots the table refuses has none, with all of the plays in quarantine; mended, all are there."""
    clean = segue("migrate", "snapshots", "--json").json
    everything = stored(connection)
    assert 0 == segue("rollback").code
    check = f"CHECK (user_id <> '{user_id('bob')}' OR snapshot_date < '2024-04-01')"
    connection.execute(f"ALTER TABLE listening_snapshots ADD CONSTRAINT odd {check}")
    result = segue("migrate", "snapshots", "--json", "-v")
    assert 4 == result.code, result.stderr
    assert {**clean["rows"], "quarantined": 1} == result.json["rows"]
    counted = dict(result.json["elements"])
    assert clean["elements"]["total"] == counted.pop("total") == sum(counted.values())
    assert 3 * 80 == counted["quarantined"]
    assert "bob" not in {row[0] for row in stored(connection)}
    assert 0 == segue("validate").code
    assert 4 == segue("quarantine", "retry").code
    assert 4 == segue("migrate", "snapshots", "-v").code
    connection.execute("ALTER TABLE listening_snapshots DROP CONSTRAINT odd")
    assert 0 == segue("quarantine", "retry").code
    assert everything == stored(connection)
    assert 0 == segue("validate").code
    assert clean["elements"] == segue("migrate", "snapshots", "--json").json["elements"]
