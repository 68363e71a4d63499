"""SIGKILL at every boundary of a cleanup, and of its undo: the same command again finishes, and nothing is ever half."""

import json
import os

import psycopg
import pytest

from tests.cleanup.portrait import leftovers, portrait
from tests.conftest import dump

#: Calls again from each half-done state; a state is what the database holds, leases and times aside.
TRIES_OF_A_STATE = 1

#: Every how many-th boundary of all is tried, between the named ones; 1 tries each (some 250, and minutes).
STEP = int(os.environ.get("SEGUE_TEST_KILL_STEP", "12"))

#: Where durable states begin, and where a statement is no part of a transaction.
POINTS = {
    "cleanup": (
        "after:cleanup.create_archive",
        "before:cleanup.see_all_rows",
        "after:cleanup.save_progress",
        "before:cleanup.mark_restore_point",
        "before:cleanup.lock_table",
        "after:cleanup.drop_column",
    ),
    "rollback": (
        "after:cleanup_undo.save_state#1",
        "before:cleanup_undo.fill_chunk",
        "after:cleanup_undo.alter_validity#1",
        "after:cleanup_undo.rename_column",
        "before:cleanup_undo.create_index#1",
        "after:cleanup_undo.create_index#1",
        "after:cleanup_undo.create_index#2",
        "before:cleanup.drop_archive",
        "after:cleanup_undo.save_state#3",
    ),
}

_TAGS = ("public.tags", "public.song_tags", "public.tag_synonyms")


def seen(connection: psycopg.Connection) -> tuple[str, list[str], object]:
    """Return where the cleanup stands, the table's columns as others see them, and the tags."""
    row = connection.execute("SELECT state FROM segue.cleanups").fetchone()
    columns = [name for name, *_ in portrait(connection)["columns"] if not name.startswith("segue_restoring_")]
    tables = dump(connection)
    return row[0] if row else "none", columns, {name: tables[name] for name in _TAGS}


def half_done(connection: psycopg.Connection) -> str:
    """Return what tells half-done states apart."""
    record = connection.execute(
        "SELECT state, cursor, is_copied, restore_point IS NULL, is_settled FROM segue.cleanups"
    ).fetchall()
    made = connection.execute(
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = 'songs'::regclass UNION ALL"
        " SELECT conname::text, convalidated FROM pg_constraint WHERE conrelid = 'songs'::regclass UNION ALL"
        " SELECT obj_description(to_regclass('by_theme')::oid, 'pg_class'), true ORDER BY 1"
    ).fetchall()
    return repr((record, made))


def archived(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """Return the archive's rows."""
    return connection.execute("SELECT key::text, value::text FROM segue.archive_1 ORDER BY 1").fetchall()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["cleanup", "rollback"])
def test_kill_at_every_boundary(command, rich, connection, database_url, copy_of, sweep, zygotes) -> None:
    """Killed at any boundary the column is whole or gone, never half; called again, all is as if nothing had happened."""
    assert 4 == zygotes[0].run(database_url, "migrate", "--workers", "1")[0]
    before, (_, columns, tags) = portrait(connection), seen(connection)
    due = connection.execute("SELECT id::text, themes::text FROM songs ORDER BY 1").fetchall()
    if command == "rollback":
        assert 0 == zygotes[0].run(database_url, "cleanup")[0]
    connection.close()
    without = [name for name in columns if name != "themes"]
    tries: dict[str, int] = {}

    def attempt(zygote, number: int) -> bool:
        named = POINTS[command]
        point = named[number - 1] if number <= len(named) else f"*#{1 + STEP * (number - len(named) - 1)}"
        with copy_of(database_url) as url:
            code, _, stderr = zygote.run(url, command, failpoint=point)
            assert code in {-9, 0}, stderr
            with psycopg.connect(url) as looking:
                state, found, kept = seen(looking)
                assert (tags, without if state in ("dropped", "restoring") else columns) == (kept, found)
                if found == columns:
                    assert before["rows"] == portrait(looking)["rows"]
                if state != "none" and state != "undone":
                    key = half_done(looking)
                    tries[key] = tries.get(key, 0) + 1
                    if tries[key] > TRIES_OF_A_STATE:
                        return code == -9
            if command == "cleanup":
                again = zygote.run(url, "cleanup", "--json", "--workers", "1")
                assert (0, "dropped") == (again[0], json.loads(again[1]).get("status")), again
                with psycopg.connect(url) as looking:
                    assert ("dropped", without, tags) == seen(looking)
                    assert due == archived(looking)
                    assert ["archive_1"] == leftovers(looking)
            elif state != "undone":
                assert 0 == zygote.run(url, "rollback")[0]
            with psycopg.connect(url) as looking:
                if command == "rollback":
                    assert before == portrait(looking)
                    assert ("undone", columns, tags) == seen(looking)
                    assert [] == leftovers(looking)
        return code == -9

    assert sweep(attempt) > len(POINTS[command]) + 150 // STEP
    assert len(tries) >= 4


def test_kill_while_people_write(rich, connection, database_url, zygotes) -> None:
    """What was written before and after a kill is in the archive and in the tags, counts included."""
    assert 4 == zygotes[0].run(database_url, "migrate", "--workers", "1")[0]
    songs = [key for (key,) in connection.execute("SELECT id::text FROM songs ORDER BY 1")]
    assert -9 == zygotes[0].run(database_url, "cleanup", failpoint="after:cleanup.copy_chunk")[0]
    connection.execute("UPDATE songs SET themes = '{First,Hope}' WHERE id = %s", [songs[0]])
    assert -9 == zygotes[0].run(database_url, "cleanup", failpoint="after:cleanup.note_caught_up")[0]
    assert -9 == zygotes[0].run(database_url, "cleanup", failpoint="before:cleanup.mark_restore_point")[0]
    connection.execute("UPDATE songs SET themes = '{Second}' WHERE id = %s", [songs[1]])
    assert -9 == zygotes[0].run(database_url, "cleanup", failpoint="before:cleanup.note_settled#2")[0]
    assert "themes" not in [name for name, *_ in portrait(connection)["columns"]]
    assert 0 == zygotes[0].run(database_url, "cleanup")[0]

    kept = dict(archived(connection))
    linked = connection.execute(
        "SELECT song_id::text, array_agg(normalized_name ORDER BY 1) FROM song_tags JOIN tags ON id = tag_id"
        " WHERE song_id::text = ANY(%s) GROUP BY 1 ORDER BY 1",
        [songs[:2]],
    ).fetchall()
    wrong = "SELECT name FROM tags WHERE usage_count <> (SELECT count(*) FROM song_tags WHERE tag_id = tags.id)"

    assert ["{First,Hope}", "{Second}"] == [kept[song] for song in songs[:2]]
    assert [(songs[0], ["first", "hope"]), (songs[1], ["second"])] == linked
    assert [] == connection.execute(wrong).fetchall()
