"""The life of a mirror: installed before the first chunk, kept, switched, and gone with rollback and cancel."""

import threading
import uuid
from typing import Any

import psycopg
import pytest

from sql.database import Database
from sql.schema import downgrade
from tests.crash.conftest import copy_of, wait_until, zygotes  # noqa: F401 - fixtures
from tests.crash.state import SONGS
from tests.crash.test_kill_migrate import MIGRATE, Kills
from tests.mirror.test_forward import FORWARD, HOPE, late, tags_of

#: Every so manieth boundary of a run is one to be killed at; another remainder finds others.
STRIDE = 29


def triggers(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the names of the mirror's triggers and functions."""
    return [
        name
        for (name,) in connection.execute(
            "SELECT tgname::text FROM pg_trigger WHERE tgname LIKE '%mirror%' AND NOT tgisinternal"
            " UNION ALL SELECT proname FROM pg_proc WHERE proname LIKE 'mirror%' ORDER BY 1"
        ).fetchall()
    ]


ALL = ["mirror_note", "mirror_resolve", "mirror_settle", "mirror_settle"]
ALL += [f"segue_mirror_{event}" for event in ("delete", "insert", "truncate", "update")]


def test_rollback_leaves_no_trace(songs, segue, connection, snapshot) -> None:
    """Without users' writes the application's tables are byte for byte what they were, and the triggers are gone."""
    songs(HOPE, key_type="bigint")
    before = snapshot()
    assert 0 == segue(*FORWARD).code
    assert ALL == triggers(connection)
    events = connection.execute("SELECT detail FROM segue.events WHERE kind = 'mirror'").fetchall()
    assert 0 == segue("rollback").code
    assert ([], before) == (triggers(connection), snapshot())
    assert [] == connection.execute("SELECT 1 FROM segue.mirror_pending").fetchall()
    assert "forward" in str(events)


def test_chunks_are_shorter(songs, segue, connection) -> None:
    """While a mirror is on, chunks hold their rows against users: the first is no large one."""
    songs(HOPE, key_type="bigint")
    connection.execute("INSERT INTO songs SELECT n, 't', '{Hope}' FROM generate_series(31, 6000) AS n")
    assert 0 == segue(*FORWARD).code
    assert 2 <= connection.execute("SELECT sum(seq) FROM segue.partitions").fetchone()[0]
    assert 0 == segue("migrate", "--fresh", "--mirror", "off").code
    assert (1,) == connection.execute("SELECT sum(seq) FROM segue.partitions WHERE run_id = 2").fetchone()


def test_rollback_after_users_writes(songs, segue, connection) -> None:
    """What users wrote stays in the legacy arrays; everything that followed from it in the tags goes."""
    songs(HOPE, key_type="bigint")
    segue(*FORWARD)
    connection.execute("INSERT INTO songs VALUES (99, 't', '{Quite New}')")
    assert 0 == segue("rollback").code
    for table in ("song_tags", "tags", "tag_synonyms", "segue.quarantine", "segue.vocabulary"):
        assert (0,) == connection.execute(f"SELECT count(*) FROM {table}").fetchone(), table
    assert (["Quite New"],) == connection.execute("SELECT themes FROM songs WHERE id = 99").fetchone()


def test_switched_on_later_and_off(songs, segue, connection) -> None:
    """A run that was loaded fast gets its mirror when it is complete; `off` takes it away, and nothing says nothing."""
    songs(HOPE, key_type="bigint")
    assert 0 == segue("migrate").code
    assert [] == triggers(connection)
    connection.execute("UPDATE songs SET themes = '{Before}' WHERE id = 1")
    body = segue(*FORWARD, "--json").json
    assert (False, 1, "forward") == (body["unchanged"], body["caught_up"], body["mirror"])
    connection.execute("UPDATE songs SET themes = '{After}' WHERE id = 2")
    assert ({"before"}, {"after"}) == (tags_of(connection, 1), tags_of(connection, 2))

    assert 0 == segue("migrate").code
    assert ALL == triggers(connection)
    assert segue("migrate", "--json").json["unchanged"]
    assert "off" == segue("migrate", "--mirror", "off", "--json").json["mirror"]
    assert [] == triggers(connection)
    connection.execute("UPDATE songs SET themes = '{Unseen}' WHERE id = 3")
    assert {"hope", "theme 0"} == tags_of(connection, 3)


def test_a_downgrade_takes_it_away(songs, segue, connection, database_url) -> None:
    """Taking the schema back drops the triggers first, so that the application goes on."""
    songs(HOPE, key_type="bigint")
    assert 0 == segue(*FORWARD).code
    database = Database(database_url)
    downgrade(database, revision="0005")
    database.close()
    assert [] == triggers(connection)
    connection.execute("UPDATE songs SET themes = '{After}' WHERE id = 2")


def test_a_fresh_run_takes_the_mirror_over(songs, segue, connection) -> None:
    """After `--fresh` the mirror works for the new run, without being asked for again."""
    songs(HOPE, key_type="bigint")
    segue(*FORWARD)
    assert 0 == segue("migrate", "--fresh").code
    connection.execute("UPDATE songs SET themes = '{After}' WHERE id = 2")
    assert {"after"} == tags_of(connection, 2)
    query = "SELECT DISTINCT run_id FROM song_tags WHERE song_id = 2"
    assert [(2,)] == connection.execute(query).fetchall()


def test_another_source_leaves_it_alone(songs, segue, connection) -> None:
    """A run of another table, without a mirror, does not end the mirror of this one."""
    songs(HOPE, key_type="bigint")
    songs([(100, ["Grace"])], key_type="bigint", table="other")
    segue(*FORWARD)
    # With it, the links belong to the songs, and another table's run is refused.
    connection.execute("ALTER TABLE song_tags DROP CONSTRAINT song_tags_song_id_fkey")
    assert 6 == segue("migrate", "--table", "other", "--max-chunks", "0").code
    assert ALL == triggers(connection)
    connection.execute("UPDATE songs SET themes = '{After}' WHERE id = 2")
    assert {"after"} == tags_of(connection, 2)


@pytest.mark.parametrize("is_live", [True, False])
def test_cancel_takes_it_away(is_live, songs, segue, connection, segue_process) -> None:
    """A cancelled run mirrors nothing any more, whether it was at work or at rest."""
    songs(HOPE, key_type="bigint")
    if is_live:
        process = segue_process(*FORWARD, "--batch-size", "1", "--nice", "20")
        wait_until(lambda: connection.execute("SELECT 1 FROM segue.partitions WHERE seq > 1").fetchone(), "two chunks")
        assert ALL == triggers(connection)
        segue("cancel", "1")
        process.communicate(timeout=60)
    else:
        assert 6 == segue(*FORWARD, "--max-chunks", "1", "--batch-size", "3").code
        assert 0 == segue("cancel", "1").code
    assert [] == triggers(connection)
    assert 0 == segue("rollback").code


def test_what_is_refused(songs, segue, connection, database_url) -> None:
    """A load without keys, a migration without a mirror, a role that may not: said before anything is done."""
    songs(HOPE, key_type="bigint")
    said = segue(*FORWARD, "--load", "fresh")
    assert (2, True) == (said.code, "--load live" in said.stderr)
    said = segue("migrate", "snapshots", "--mirror", "forward")
    assert (2, True) == (said.code, "no mirror" in said.stderr)
    role = f"weak_{uuid.uuid4().hex[:8]}"
    connection.execute(
        f"CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA segue TO {role}; GRANT SELECT ON songs TO {role}"
    )
    connection.execute(
        f"GRANT ALL ON ALL TABLES IN SCHEMA segue TO {role}; GRANT ALL ON tags, song_tags, tag_synonyms TO {role}"
    )
    try:
        said = segue(*FORWARD, url=database_url.replace("postgres@", f"{role}@"))
    finally:
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert (5, True) == (said.code, "GRANT TRIGGER, UPDATE ON" in said.stderr)
    assert [] == triggers(connection)
    assert 0 == segue("migrate", "--load", "fresh", "--max-chunks", "0").code % 6
    said = segue("migrate", "--load", "fresh", "--mirror", "forward")
    assert (5, True) == (said.code, "let it complete" in said.stderr)


def test_a_chunk_waits_for_nobody_but_at_the_start(songs, segue_process, connection, database_url) -> None:
    """A user holds a song and removes its tags meanwhile: others are converted, and what was removed does not come back."""
    songs(HOPE, key_type="bigint")
    with psycopg.connect(database_url) as user:
        user.execute("UPDATE songs SET themes = '{}' WHERE id = 20")
        process = segue_process(*FORWARD, "--batch-size", "30", "--json")
        # The triggers wait for the user's transaction; then the rest goes on.
        wait_until(
            lambda: connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone(),
            "Segue waits for the user",
        )
        user.commit()
        wait_until(lambda: triggers(connection) == ALL, "the mirror is there")
        user.execute("UPDATE songs SET themes = '{Joy}' WHERE id = 25")
        threading.Event().wait(0.3)
        user.commit()
    _, err = process.communicate(timeout=60)
    assert 0 == process.returncode, err
    assert (set(), {"joy"}, []) == (tags_of(connection, 20), tags_of(connection, 25), late(connection))


@pytest.mark.slow
def test_kill_and_run_again(songs, connection, database_url, copy_of, zygotes) -> None:  # noqa: F811
    """Killed at boundaries all over, a mirrored run ends as one clean run."""
    songs(SONGS)
    connection.close()
    kills = Kills(database_url, (*MIGRATE, "1", "--mirror", "forward"), copy_of, zygotes[0])
    number = 1
    while kills.attempt(zygotes[0], f"*#{number}", tries=1):
        number += STRIDE
    assert number > 200
