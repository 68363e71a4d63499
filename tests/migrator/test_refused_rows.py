"""Rows that the application's own rules refuse: found by halving, put into quarantine alone, and tried again."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator import source
from tests.crash.state import SONGS, made_links, song_id

MIGRATE = ("migrate", "--workers", "1", "--json")
QUARANTINE = (
    "SELECT key, ordinal, payload, elements, reason, sqlstate, attempts FROM segue.quarantine WHERE ordinal = 0"
)


@pytest.fixture
def refuse(connection: psycopg.Connection[Any]) -> Callable[..., None]:
    """Return a function that makes a trigger refuse the links of some songs; none takes the trigger away."""

    def make(*numbers: int, state: str = "P0001", says: str = "secret-value-42", timing: str = "BEFORE") -> None:
        connection.execute("DROP FUNCTION IF EXISTS refuse CASCADE")
        if not numbers:
            return
        keys = ", ".join(f"'{song_id(number)}'" for number in numbers)
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF NEW.song_id IN ({keys}) THEN RAISE '{says}' USING ERRCODE = '{state}'; END IF; RETURN NEW; END $$"
        )
        kind = "CREATE TRIGGER refuse BEFORE" if timing == "BEFORE" else "CREATE CONSTRAINT TRIGGER refuse AFTER"
        deferred = "" if timing == "BEFORE" else "DEFERRABLE INITIALLY DEFERRED"
        connection.execute(f"{kind} INSERT ON song_tags {deferred} FOR EACH ROW EXECUTE FUNCTION refuse()")

    return make


def elements_of(number: int) -> int:
    """Return how many themes a song of the sample has."""
    return len(SONGS[number - 1][1] or ())


def require_sums(body: dict[str, Any], clean: dict[str, Any], refused: tuple[int, ...]) -> None:
    """Assert that every row and element has an outcome, and that the refused ones are in quarantine as a whole."""
    assert clean["rows"]["processed"] == body["rows"]["processed"]
    counted = dict(body["elements"])
    assert counted.pop("total") == sum(counted.values()) == clean["elements"]["total"]
    assert sum(elements_of(number) for number in refused) <= counted["quarantined"]


@pytest.mark.parametrize(("batch", "refused"), [("7", (2,)), ("30", (15, 22, 23)), ("12", (12, 13, 30)), ("1", (10,))])
def test_a_refused_row_goes_to_quarantine_alone(batch, refused, songs, connection, segue, refuse, database_url) -> None:
    """The rest is converted; the sums add up; validation agrees; mended and tried again, all is as in a clean run."""
    songs(SONGS)
    clean = segue(*MIGRATE, "-b", batch).json
    due = made_links(connection)
    assert 0 == segue("rollback").code
    refuse(*refused)
    result = segue(*MIGRATE, "-b", batch, "-v")

    assert 4 == result.code, result.stderr
    require_sums(result.json, clean, refused)
    kept = {row[0]: row[1:] for row in connection.execute(QUARANTINE).fetchall()}
    reason = "raised by the database, function refuse (P0001)"
    assert {song_id(n): (0, None, elements_of(n), reason, "P0001", 1) for n in refused} == kept
    assert "secret" not in result.stderr + result.stdout
    songs_left = {song_id(number) for number in refused}
    assert [link for link in due if link[0] not in songs_left] == made_links(connection)
    assert 0 == segue("validate").code
    assert 4 == segue(*MIGRATE).code  # nothing has changed: nothing is done
    assert 4 == segue("quarantine", "retry").code
    assert {2} == {row[6] for row in connection.execute(QUARANTINE).fetchall()}
    assert 0 == segue("validate").code

    refuse()
    assert 4 == segue("quarantine", "retry").code  # what the vocabulary cannot take is still there
    assert [] == connection.execute(QUARANTINE).fetchall()
    assert due == made_links(connection)
    again = segue(*MIGRATE, "-v").json
    assert (clean["elements"], clean["rows"]) == (again["elements"], again["rows"])
    assert clean["digest"]["expected"] == again["digest"]["expected"]
    assert 0 == segue("validate").code
    assert 0 == segue("rollback").code
    assert (0,) == connection.execute("SELECT count(*) FROM segue.quarantine").fetchone()


@pytest.mark.parametrize(
    ("state", "timing", "reason"),
    [
        ("MY001", "BEFORE", "an error of the application's, function refuse (MY001)"),
        ("22003", "BEFORE", "numeric value out of range, function refuse (22003)"),
        ("23514", "AFTER", "check violation, function refuse (23514)"),
    ],
)
def test_whatever_says_no(state, timing, reason, songs, connection, segue, refuse) -> None:
    """Codes of the application's own, standard ones, and constraints that speak at COMMIT only."""
    songs(SONGS)
    refuse(4, 20, state=state, timing=timing)
    result = segue(*MIGRATE, "-b", "10")
    assert 4 == result.code, result.stderr
    kept = {(row[0], row[4], row[5]) for row in connection.execute(QUARANTINE).fetchall()}
    assert {(song_id(number), reason, state) for number in (4, 20)} == kept
    assert 0 == segue("validate").code


def test_a_check_is_named(songs, connection, segue) -> None:
    """A CHECK of the application's on the target names itself; the run's events count what it refused."""
    songs(SONGS)
    connection.execute(f"ALTER TABLE song_tags ADD CONSTRAINT not_this CHECK (song_id <> '{song_id(12)}')")
    result = segue(*MIGRATE)
    assert 4 == result.code, result.stderr
    (row,) = connection.execute(QUARANTINE).fetchall()
    assert ("check violation, constraint not_this, table public.song_tags (23514)", "23514") == row[4:6]
    assert {"key": song_id(12), "error": row[4], "recoverable": True} in result.json["errors"]
    (event,) = connection.execute("SELECT detail FROM segue.events WHERE kind = 'rows refused'").fetchone()
    assert {"rows": 1, "sqlstates": {"23514": 1}} == event
    listed = segue("quarantine", "list", "--json").json["quarantine"]
    assert ["23514"] == [row["sqlstate"] for row in listed if row["key"] == song_id(12)]


def test_a_dry_run_says_it_and_leaves_nothing(songs, connection, segue, refuse, snapshot) -> None:
    """The rehearsal halves, too; it counts the row as the real run would, and nothing stays."""
    songs(SONGS)
    refuse(12)
    before = snapshot("public", "segue")
    dry = segue(*MIGRATE, "--dry-run", "-b", "10")
    assert 0 == dry.code, dry.stderr
    assert before == snapshot("public", "segue")
    real = segue(*MIGRATE, "-b", "10").json
    assert (real["elements"], real["rows"]) == (dry.json["elements"], dry.json["rows"])
    assert song_id(12) in {error["key"] for error in dry.json["errors"]}


def test_an_edit_has_the_row_tried_again(songs, connection, segue, refuse) -> None:
    """A refused row that its user edits is converted by the next look; one that is deleted leaves quarantine."""
    songs(SONGS)
    connection.execute("ALTER TABLE song_tags ADD CONSTRAINT few CHECK (true)")
    refuse(12, 20)
    assert 4 == segue(*MIGRATE).code
    refuse(20)
    connection.execute("UPDATE songs SET themes = '{Hope, Joy}' WHERE id = %s", [song_id(12)])
    problems = {
        item["problem"] for item in segue("validate", "--json").json["mismatches"] if item["key"] == song_id(12)
    }
    assert {"the row was changed since it was put into quarantine"} == problems
    again = segue(*MIGRATE, "-v")
    assert (4, 1) == (again.code, again.json["caught_up"]), again.stderr
    assert {song_id(20)} == {row[0] for row in connection.execute(QUARANTINE).fetchall()}
    assert 2 == len([link for link in made_links(connection) if link[0] == song_id(12)])
    connection.execute("DELETE FROM songs WHERE id = %s", [song_id(20)])
    assert 4 == segue(*MIGRATE, "-v").code
    assert [] == connection.execute(QUARANTINE).fetchall()


def test_a_row_that_becomes_refused_loses_its_links(songs, connection, segue, refuse) -> None:
    """A converted row whose new value is refused: the links of the old value go, and the row goes to quarantine."""
    songs(SONGS)
    assert 4 == segue(*MIGRATE).code
    refuse(12)
    connection.execute("UPDATE songs SET themes = '{Hope}' WHERE id = %s", [song_id(12)])
    assert 4 == segue(*MIGRATE, "-v").code
    assert {song_id(12)} == {row[0] for row in connection.execute(QUARANTINE).fetchall()}
    assert [] == [link for link in made_links(connection) if link[0] == song_id(12)]
    assert 0 == segue("validate").code


def test_max_errors_stops_without_losing_the_rest(songs, connection, segue, refuse) -> None:
    """The limit ends the run with 6 soon after it is passed; with a higher one the same command completes it."""
    songs([(song_id(number), ["Hope"]) for number in range(1, 101)])
    refuse(*range(10, 100, 10))
    stopped = segue(*MIGRATE, "--max-errors", "3")
    assert (6, 4) == (stopped.code, stopped.json["rows"]["quarantined"]), stopped.stderr
    assert 39 <= stopped.json["rows"]["processed"] < 60
    assert 4 == segue(*MIGRATE, "--max-errors", "9").code
    assert {"total": 100, "processed": 100, "quarantined": 9} == segue("status", "1", "--json").json["runs"][0]["rows"]
    assert 0 == segue("validate").code


def test_max_errors_holds_for_all_workers_together(songs, connection, segue, refuse, monkeypatch) -> None:
    """Two workers share one limit, and a share counts like a number."""
    monkeypatch.setattr(source, "SMALLEST_PARTITION", 10)
    songs([(song_id(number), ["Hope"]) for number in range(1, 201)])
    refuse(*range(10, 200, 10))
    two = ("migrate", "--workers", "2", "-b", "10", "--json")
    stopped = segue(*two, "--max-errors", "5")
    assert [(2 + 2,)] == connection.execute("SELECT count(*) FROM segue.partitions").fetchall()
    assert 6 == stopped.code, stopped.stderr
    assert 6 <= stopped.json["rows"]["quarantined"] <= 8
    assert 6 == segue(*two, "--max-errors", "4%").code
    done = segue(*two, "--max-errors", "50%", "-v")
    assert (4, 19) == (done.code, done.json["rows"]["quarantined"])


def test_a_rule_that_refuses_everything_fails_the_run(songs, connection, segue) -> None:
    """Not a row's fault: without a limit the run fails at once and resumes when the rule is mended; nothing is lost."""
    songs([(song_id(number), ["Hope"]) for number in range(1, 301)])
    connection.execute("ALTER TABLE song_tags ADD CONSTRAINT none_at_all CHECK (song_id IS NULL)")
    result = segue(*MIGRATE)
    assert 1 == result.code
    assert "refused each of 100 rows in a row" in result.stderr
    assert "none_at_all" in result.stderr
    connection.execute("ALTER TABLE song_tags DROP CONSTRAINT none_at_all")
    assert 0 == segue(*MIGRATE, "-v").code


@settings(max_examples=5)
@given(bad=st.sets(st.integers(1, 30), max_size=30), batch=st.integers(1, 31), workers=st.sampled_from(["1", "2"]))
def test_any_rows_any_chunks(bad, batch, workers, server, template) -> None:
    """Whichever rows are refused, by whatever chunks: exactly they are missing, the sums add up, a retry mends all."""
    from tests.conftest import _fresh

    for url in _fresh(server, template):
        _any_rows(url, bad, str(batch), workers)


def _any_rows(url: str, bad: set[int], batch: str, workers: str) -> None:
    from click.testing import CliRunner

    from migrator.cli import segue as group

    def run(*arguments: str) -> int:
        return CliRunner().invoke(group, list(arguments), env={"DATABASE_URL": url}).exit_code

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE songs (id uuid PRIMARY KEY, title text, themes text[])")
        connection.cursor().executemany("INSERT INTO songs VALUES (%s, 'a', %s)", SONGS)
        connection.execute("CREATE TABLE bad AS SELECT unnest(%s::uuid[]) AS id", [[song_id(n) for n in bad]])
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF NEW.song_id IN (SELECT id FROM public.bad) THEN RAISE 'no'; END IF; RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON song_tags FOR EACH ROW EXECUTE FUNCTION refuse()")
        assert 4 == run("migrate", "-b", batch, "--workers", workers, "-v")
        missing = {
            n for n in bad if any(text and text.strip("\u200b ") and len(text) <= 50 for text in SONGS[n - 1][1] or ())
        }
        assert {song_id(n) for n in missing} == {row[0] for row in connection.execute(QUARANTINE).fetchall()}
        sums = "SELECT sum(row_count), sum(elements), sum(linked + merged + blank + quarantined) FROM segue.partitions"
        rows, elements, accounted = connection.execute(sums).fetchone()
        assert (30, sum(len(themes or ()) for _, themes in SONGS)) == (rows, elements)
        assert elements == accounted
        connection.execute("TRUNCATE bad")
        assert 4 == run("quarantine", "retry")
        assert 0 == run("validate")
        assert [] == connection.execute(QUARANTINE).fetchall()
