"""The life of a snapshots run: dry run, damage and repair, late plays, others' snapshots, insights, rollback, a kill."""

import json
import signal
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from migrator.migration import Context
from migrator.migrations.snapshots import MIGRATION
from sql.database import Database
from sql.errors import DatabaseError
from tests.crash.state import image
from tests.migrator.listening import at, features, listen, reference, rows_as_written, stored, user_id

KNOWN = {f"t{n}": features(f"0.{n}", f"0.{9 - n}", f"0.{n}5", f"{90 + n}.5") for n in range(1, 9)}
FIRST = at("2024-03-10")


def month(user: str, *, days: int = 20, of: int = 0) -> list[tuple[str, str, datetime]]:
    """Return some plays a day, every tenth of a track without features."""
    return [
        (user, f"t{(7 * day + play + of) % 10}", FIRST + timedelta(days=3 * day, hours=play))
        for day in range(days)
        for play in range(4)
    ]


PLAYS = [*month("ann"), *month("bob", of=3), *month("cat", days=2)]


@pytest.fixture
def heard(connection: psycopg.Connection[Any]) -> None:
    """Three users' plays."""
    listen(connection, PLAYS, KNOWN, users=["dan"])


def add_insight(connection: psycopg.Connection[Any], user: str, day: date, time_range: str) -> str:
    """Add an insight about a snapshot; return the snapshot's id."""
    row = connection.execute(
        "INSERT INTO generated_insights (user_id, snapshot_id, insight_type, content)"
        " SELECT user_id, id, 'mood', 'a text' FROM listening_snapshots"
        " WHERE user_id = %s AND snapshot_date = %s AND time_range = %s RETURNING snapshot_id::text",
        [user_id(user), day, time_range],
    ).fetchone()
    assert row is not None
    return str(row[0])


def refer(connection: psycopg.Connection[Any], on_delete: str) -> None:
    """Give the insights' foreign key another rule."""
    connection.execute("ALTER TABLE generated_insights DROP CONSTRAINT generated_insights_snapshot_id_fkey")
    connection.execute(
        "ALTER TABLE generated_insights ADD CONSTRAINT generated_insights_snapshot_id_fkey"
        f" FOREIGN KEY (snapshot_id) REFERENCES listening_snapshots (id) ON DELETE {on_delete}"
    )


def test_life(segue, snapshot, connection, heard) -> None:
    """A dry run leaves nothing, a run is proven, a second changes nothing, a rollback leaves the bytes from before."""
    before, application = snapshot("public", "segue"), snapshot()

    rehearsed = segue("migrate", "snapshots", "--dry-run", "--json")
    after_rehearsal = snapshot("public", "segue")
    done = segue("migrate", "snapshots", "--validate", "--json")
    migrated = snapshot()
    again = segue("migrate", "snapshots", "--json")

    assert [0, 0, 0] == [rehearsed.code, done.code, again.code]
    assert before == after_rehearsal
    assert rehearsed.json["elements"] == done.json["elements"]
    assert {"listening_snapshots": len(reference(PLAYS, KNOWN))} == rehearsed.json["created"] == done.json["created"]
    assert reference(PLAYS, KNOWN) == stored(connection)
    assert (True, migrated) == (again.json["unchanged"], snapshot())
    assert 0 == segue("validate", "snapshots").code
    assert 0 == segue("rollback").code
    assert application == snapshot()
    assert [] == connection.execute("SELECT key FROM segue.journal").fetchall()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE listening_snapshots SET total_tracks_analyzed = 7 WHERE {one}",
        "UPDATE listening_snapshots SET audio_features = audio_features || '{{\"avg_tempo\": 99.000001}}' WHERE {one}",
        "UPDATE listening_snapshots SET mood_patterns = mood_patterns - 'sad' WHERE {one}",
        "UPDATE listening_snapshots SET snapshot_date = snapshot_date + 1 WHERE {one}",
        "UPDATE listening_snapshots SET id = gen_random_uuid() WHERE {one}",
        "DELETE FROM listening_snapshots WHERE {one}",
        "INSERT INTO listening_snapshots (user_id, snapshot_date, time_range, run_id) SELECT user_id, '2020-01-01', 'short_term', run_id FROM listening_snapshots WHERE {one}",
    ],
)
def test_damage_is_found_and_mended(damage: str, segue, connection, heard) -> None:
    """Whatever was done to a snapshot, validate says whose it is and exits 3, and --repair puts it right."""
    assert 0 == segue("migrate", "snapshots").code
    one = f"user_id = '{user_id('ann')}' AND snapshot_date = '{FIRST.date()}' AND time_range = 'medium_term'"
    assert 1 == connection.execute(damage.format(one=one)).rowcount
    bystanders = [rows for user, rows in rows_as_written(connection).items() if user != "ann"]

    found = segue("validate", "snapshots", "--json")
    mended = segue("validate", "snapshots", "--repair", "--json")

    assert 3 == found.code
    assert {str(user_id("ann"))} == {item["key"] for item in found.json["mismatches"]} - {"partition 0"}
    assert 0 == mended.code
    assert reference(PLAYS, KNOWN) == stored(connection, run_id=1)
    assert bystanders == [rows for user, rows in rows_as_written(connection).items() if user != "ann"]


def test_late_plays(segue, snapshot, connection, heard) -> None:
    """Run again after plays, features, a removed day and a removed user: what did not change is not rewritten."""
    application = snapshot()["public.listening_snapshots"]
    assert 0 == segue("migrate", "snapshots").code
    before = rows_as_written(connection)
    late = [("ann", "t2", FIRST + timedelta(days=30, minutes=5)), ("dan", "t1", FIRST)]
    listen(connection, late, KNOWN)
    connection.execute("DELETE FROM users WHERE spotify_id = 'cat'")
    gone = connection.execute(
        "DELETE FROM user_listening_history WHERE user_id = %s AND listened_at >= %s",
        [user_id("ann"), FIRST + timedelta(days=57)],
    )

    done = segue("migrate", "snapshots", "--json")

    plays = [
        *(play for play in PLAYS if play[0] != "cat" and (play[0] != "ann" or play[2] < FIRST + timedelta(days=57))),
        *late,
    ]
    after = rows_as_written(connection)
    assert (0, 4) == (done.code, gone.rowcount)
    assert (1, 2, False, True) == (
        done.json["run_id"],
        done.json["caught_up"] - 1,  # ann and dan, and cat, who is gone
        done.json["unchanged"],
        done.json["digest"]["equal"],
    )
    assert reference(plays, KNOWN) == stored(connection)
    assert before["bob"] == after["bob"]
    day = (FIRST + timedelta(days=30)).date().isoformat()
    assert [row for row in before["ann"] if row[0] < day] == [row for row in after["ann"] if row[0] < day]
    assert 0 == segue("validate", "snapshots").code

    connection.execute("UPDATE audio_features SET tempo = 1 WHERE track_id = 't1'")
    assert (3, 0, 0) == tuple(
        segue(*call).code for call in (("validate", "snapshots"), ("migrate", "snapshots"), ("validate", "snapshots"))
    )
    assert reference(plays, {**KNOWN, "t1": {**KNOWN["t1"], "tempo": 1}}) == stored(connection)
    assert 0 == segue("rollback").code
    assert application == snapshot()["public.listening_snapshots"]


def test_a_play_that_changes_no_snapshot(segue, connection, heard) -> None:
    """A play of an unknown track on a day with others changes the accounting, not one row; the next run sees nothing."""
    assert 0 == segue("migrate", "snapshots").code
    before = rows_as_written(connection)
    listen(connection, [("ann", "t0", FIRST + timedelta(minutes=1))], {})

    done = segue("migrate", "snapshots", "--validate", "--json")

    assert (0, 1) == (done.code, done.json["caught_up"])
    assert 3 * (len(PLAYS) + 1) == done.json["elements"]["total"]
    assert before == rows_as_written(connection)
    assert True is segue("migrate", "snapshots", "--json").json["unchanged"]


def test_snapshots_of_others_stay(segue, snapshot, connection, heard) -> None:
    """The application's own snapshot of a day and range is adopted, whatever it says, and outlives everything."""
    connection.execute(
        "INSERT INTO listening_snapshots (user_id, snapshot_date, time_range, total_tracks_analyzed) VALUES (%s, %s, 'long_term', 42)",
        [user_id("ann"), FIRST.date()],
    )
    application = snapshot()

    done = segue("migrate", "snapshots", "--validate", "--json")
    listen(connection, [("ann", "t2", FIRST + timedelta(minutes=5))], {})
    again = segue("migrate", "snapshots", "--validate", "--json")

    due = len(reference(PLAYS, KNOWN))
    for result in (done, again):
        assert (0, due, due - 1) == (result.code, result.json["elements"]["linked"], _created(connection))
    assert due - 1 == done.json["created"]["listening_snapshots"]
    assert 0 == segue("validate", "snapshots").code
    assert 0 == segue("rollback").code
    assert application["public.listening_snapshots"] == snapshot()["public.listening_snapshots"]


def _created(connection: psycopg.Connection[Any]) -> int:
    return int(connection.execute("SELECT count(*) FROM listening_snapshots WHERE run_id = 1").fetchone()[0])


def test_conflicts_of_a_rollback(segue, connection, heard) -> None:
    """A snapshot that an insight refers to, and one that was edited, are conflicts: named, and kept unless forced."""
    assert 0 == segue("migrate", "snapshots").code
    used = add_insight(connection, "ann", FIRST.date(), "short_term")
    edited = connection.execute(
        "UPDATE listening_snapshots SET mood_patterns = '{}' WHERE user_id = %s AND snapshot_date = %s AND time_range = 'long_term'"
        " RETURNING id::text",
        [user_id("bob"), FIRST.date()],
    ).fetchone()[0]
    listen(connection, [("cat", "t2", FIRST + timedelta(minutes=5))], {})  # a late play is no edit

    planned = segue("rollback", "--dry-run", "--json")
    refused = segue("rollback", "--on-conflict", "abort")
    kept = segue("rollback", "--json")

    said = {used: "1 insights refer to this snapshot", edited: "the snapshot was edited since"}
    assert said == {item["key"]: item["problem"] for item in planned.json["conflicts"]}
    assert said == {item["key"]: item["problem"] for item in kept.json["conflicts"]}
    assert (5, 7) == (refused.code, kept.code)
    left = connection.execute("SELECT id::text, run_id FROM listening_snapshots").fetchall()
    assert {(used, None), (edited, None)} == set(left)


def test_a_forced_rollback(segue, snapshot, connection, heard) -> None:
    """Forced, the snapshots go; an insight loses its reference where the foreign key says so."""
    refer(connection, "SET NULL")
    assert 0 == segue("migrate", "snapshots").code
    add_insight(connection, "ann", FIRST.date(), "short_term")

    assert 0 == segue("rollback", "--on-conflict", "force").code

    assert (0, [(None,)]) == (
        len(stored(connection)),
        connection.execute("SELECT snapshot_id FROM generated_insights").fetchall(),
    )


def test_insights_of_a_day_that_is_gone(segue, connection, heard) -> None:
    """The snapshot that is due no longer stays as the application's own when an insight refers to it."""
    assert 0 == segue("migrate", "snapshots").code
    used = add_insight(connection, "cat", FIRST.date(), "short_term")
    connection.execute("DELETE FROM user_listening_history WHERE user_id = %s", [user_id("cat")])

    done = segue("migrate", "snapshots", "--validate", "--json")

    assert (0, 1) == (done.code, done.json["caught_up"])
    left = connection.execute(
        "SELECT id::text, run_id FROM listening_snapshots WHERE user_id = %s", [user_id("cat")]
    ).fetchall()
    assert [(used, None)] == left
    assert [] == connection.execute("SELECT key FROM segue.journal WHERE key = %s", [str(user_id("cat"))]).fetchall()


def test_an_insight_that_comes_at_this_moment(segue, connection, database_url, heard) -> None:
    """Where the look at insights is a moment old, the transaction fails as transient, to be run again."""
    refer(connection, "NO ACTION")
    assert 0 == segue("migrate", "snapshots").code
    connection.execute("DELETE FROM user_listening_history WHERE user_id = %s", [user_id("cat")])
    database = Database(database_url)

    with database.transaction(repeatable_read=True) as transaction:
        step = MIGRATION.open(transaction, {}, "public")
        add_insight(connection, "cat", FIRST.date(), "short_term")
        with pytest.raises(DatabaseError) as raised, transaction.savepoint():
            step.reconvert(transaction, Context(1, FIRST), [str(user_id("cat"))])
    database.close()

    assert raised.value.is_transient


def test_killed_and_run_again(segue, segue_process, connection, heard) -> None:
    """SIGKILL in the third chunk, then the same command: the state of one clean run."""
    assert 0 == segue("migrate", "snapshots", "-b", "1").code
    clean = image(connection)
    assert 0 == segue("rollback").code

    killed = segue_process("migrate", "snapshots", "-b", "1", env={"SEGUE_FAILPOINT": "after:snapshots.convert#3"})
    killed.communicate(timeout=60)
    half_done = json.loads(segue("status", "2", "--json").stdout)["runs"][0]["rows"]["processed"]
    resumed = segue("migrate", "snapshots", "-b", "1", "--validate", "--json")

    assert (-signal.SIGKILL, 2, 0, True) == (killed.returncode, half_done, resumed.code, resumed.json["resumed"])
    again = image(connection)
    for part in clean.keys() - {"runs", "segue.partitions"}:
        assert clean[part] == again[part]
    assert clean["runs"] == [run for run in again["runs"] if run[1] != "rolled_back"]
    assert sorted(2 * clean["segue.partitions"]) == again["segue.partitions"]


def test_missing_privileges_are_named(segue, connection, heard, database_url) -> None:
    """A role that may not read the plays or write the snapshots is refused before anything is written, with the GRANTs."""
    connection.execute("CREATE ROLE listener LOGIN")
    try:
        connection.execute("GRANT USAGE ON SCHEMA segue TO listener")
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA segue TO listener")
        connection.execute("GRANT SELECT ON users, audio_features, generated_insights, listening_snapshots TO listener")
        url = database_url.replace("postgres@", "listener@")

        refused = segue("migrate", "snapshots", "--dry-run", url=url)

        assert 5 == refused.code
        for grant in (
            "GRANT INSERT ON",
            "GRANT UPDATE ON",
            "GRANT DELETE ON",
            'GRANT SELECT ON "public"."user_listening_history"',
        ):
            assert grant in refused.stderr
    finally:
        connection.execute("DROP OWNED BY listener")
        connection.execute("DROP ROLE listener")
