"""`segue cleanup` archives and drops a legacy column, and `segue rollback` brings it back, all of it."""

import threading

import psycopg
import pytest

from tests.cleanup.portrait import leftovers, portrait
from tests.conftest import Command, dump
from tests.crash.conftest import wait_until
from tests.crash.state import song_id

IDS = [song_id(number) for number in range(1, 31)]


def events(connection: psycopg.Connection) -> list[str]:
    """Return the kinds of the events that are no change of a run's state."""
    return [kind for (kind,) in connection.execute("SELECT kind FROM segue.events WHERE kind <> 'status' ORDER BY id")]


def test_column_goes_and_comes_back_byte_for_byte(rich, segue: Command, connection: psycopg.Connection) -> None:
    """Values, type, default, storage, statistics, constraints, indexes, comments and privileges are as before."""
    assert segue("migrate").code == 4
    before, tags = portrait(connection), dump(connection)["public.song_tags"]

    dropped = segue("cleanup", "themes", "--json")
    assert 0 == dropped.code, dropped.stderr
    columns = [name for name, *_ in portrait(connection)["columns"]]
    archived = connection.execute("SELECT key::text, value::text FROM segue.archive_1 ORDER BY 1").fetchall()
    undone = segue("rollback", "--json")

    assert (0, "dropped", 0) == (dropped.code, dropped.json["status"], undone.code)
    assert ["edited", "id", "title"] == columns
    assert 30 == len(archived)
    assert {"cleanup": "cleanup", "rows": {"public.songs.themes": 30}, "status": "complete"} == {
        "cleanup": undone.json["undone"],
        "rows": undone.json["restored"],
        "status": undone.json["status"],
    }
    assert before == portrait(connection)
    assert tags == dump(connection)["public.song_tags"]
    assert [] == leftovers(connection)
    assert ["cleanup begun", "column dropped", "column restored"] == events(connection)
    assert 0 == segue("validate").code


def test_run_can_be_rolled_back_after_the_undo(rich, segue: Command, connection: psycopg.Connection) -> None:
    """The first rollback brings the column back, the second takes the run back; a cleanup can be done once more."""
    before, tables = portrait(connection), ("public.tags", "public.song_tags", "public.tag_synonyms")
    empty = {name: dump(connection)[name] for name in tables}
    segue("migrate")
    codes = [segue(*call).code for call in [("cleanup",), ("rollback",), ("cleanup",), ("rollback",), ("rollback",)]]

    assert [0, 0, 0, 0, 0] == codes
    assert before == portrait(connection)
    assert empty == {name: dump(connection)[name] for name in tables}
    assert "rolled_back" == segue("status", "--json").json["runs"][0]["status"]


def test_dry_runs_change_nothing(rich, segue: Command, connection: psycopg.Connection) -> None:
    """A dry cleanup, and a dry undo, show what they would do and leave every byte, events included."""
    segue("migrate")
    before = dump(connection, schemas=("public", "segue"))
    shown = segue("cleanup", "--dry-run", "--json")
    after = dump(connection, schemas=("public", "segue"))
    segue("cleanup")
    gone = dump(connection, schemas=("public", "segue"))
    undo = segue("rollback", "--dry-run", "--json")

    assert (0, "would drop", 30) == (shown.code, shown.json["status"], shown.json["rows_archived"])
    assert ["by_theme", "first_theme"] == shown.json["with_it"]["indexes"]
    assert {"few", "fewer"} <= set(shown.json["with_it"]["constraints"])
    assert before == after
    assert (0, {"public.songs.themes": 30}) == (undo.code, undo.json["restored"])
    assert gone == dump(connection, schemas=("public", "segue"))


def test_twice_is_once(rich, segue: Command, connection: psycopg.Connection) -> None:
    """A second cleanup says that there is nothing to do."""
    segue("migrate")
    segue("cleanup")
    before = dump(connection, schemas=("public", "segue"))
    again = segue("cleanup", "--json")

    assert (0, "dropped", True) == (again.code, again.json["status"], again.json["unchanged"])
    assert before == dump(connection, schemas=("public", "segue"))


def test_restore_point_is_in_the_log(rich, segue: Command, connection: psycopg.Connection) -> None:
    """The named restore point is made and reported."""
    segue("migrate")
    body = segue("cleanup", "--json").json
    stored = connection.execute("SELECT restore_point, restore_lsn::pg_lsn < pg_current_wal_lsn() FROM segue.cleanups")

    assert body["restore_point"].startswith("segue_cleanup_1_")
    assert (body["restore_point"], True) == stored.fetchone()
    assert [] == body["notes"]


def test_the_others_say_where_the_column_went(rich, segue: Command, connection: psycopg.Connection) -> None:
    """Status, doctor and the certificate still work; whatever needs the column refuses and names the way back."""
    segue("migrate")
    segue("cleanup")

    status, doctor = segue("status"), segue("doctor")
    assert (0, 0) == (status.code, doctor.code)
    for said in (status.stdout, doctor.stdout):
        assert "songs.themes was dropped" in said
        assert "segue rollback 1" in said
    assert 0 == segue("certificate", "1").code
    assert 0 == segue("quarantine", "list").code
    for call in (("validate",), ("migrate",), ("migrate", "-d"), ("quarantine", "retry"), ("vocabulary", "show")):
        refused = segue(*call)
        assert (call, 5) == (call, refused.code)
        assert "public.songs.themes was dropped by segue cleanup" in refused.stderr
        assert "segue rollback 1" in refused.stderr


def test_songs_made_and_deleted_while_it_was_away(rich, segue: Command, connection: psycopg.Connection) -> None:
    """New songs get the column's default, deleted ones stay deleted, and both are counted."""
    segue("migrate")
    segue("cleanup")
    new = song_id(99)
    connection.execute("INSERT INTO songs (id, title) VALUES (%s, 'new')", [new])
    connection.execute("DELETE FROM songs WHERE id = %s", [IDS[0]])
    undone = segue("rollback", "--json").json

    assert {"public.songs.themes": 29} == undone["restored"]
    assert (["100%", "new"],) == connection.execute("SELECT themes FROM songs WHERE id = %s", [new]).fetchone()
    said = [note.partition(";")[0] for note in undone["notes"]]
    assert ["1 rows were made since", "1 archived values have no row any more"] == said[1:]
    assert 4 == segue("migrate", "--validate").code


@pytest.mark.parametrize("key_type", ["bigint", 'varchar COLLATE "C"'])
@pytest.mark.parametrize("themes_type", ["varchar(40)[]", "jsonb"])
def test_other_keys_and_columns(key_type, themes_type, segue: Command, connection: psycopg.Connection) -> None:
    """Keys of other types and orders, and other column types; chunks of one row meet every boundary."""
    connection.execute(f'CREATE TABLE hymns (nr {key_type} PRIMARY KEY, "The Themes" {themes_type})')
    values = (
        ['["Grace", "1.0"]', "[]", None, '["Hope"]']
        if themes_type == "jsonb"
        else ["{Grace,1.0}", "{}", None, "{Hope}"]
    )
    for number, value in enumerate(values):
        connection.execute("INSERT INTO hymns VALUES (%s, %s)", [str(number), value])
    options = ("--table", "hymns", "--key", "nr", "--column", "The Themes")
    before = portrait(connection, "hymns", "nr")

    assert 0 == segue("migrate", *options).code
    assert 0 == segue("cleanup").code
    assert 0 == segue("rollback").code
    assert before == portrait(connection, "hymns", "nr")


def test_what_people_write_meanwhile_is_archived_and_tagged(rich, segue: Command, connection, database_url) -> None:
    """A writer edits, adds and deletes songs until the column is gone: archive and tags hold its last acknowledged word."""
    segue("migrate")
    acknowledged: dict[str, list[str]] = {}
    deleted: set[str] = set()

    def write() -> None:
        with psycopg.connect(database_url, autocommit=True) as writer:
            noting = "SELECT FROM pg_trigger WHERE tgname = 'segue_archive_1_edge'"
            wait_until(lambda: writer.execute(noting).fetchone() is not None, "the cleanup notes writes")
            for number in range(10_000):
                song, themes = IDS[number % 28], [f"word {number % 97}", "Grace"]
                try:
                    if number == 10:
                        writer.execute("DELETE FROM songs WHERE id = %s", [IDS[29]])
                        deleted.add(IDS[29])
                    writer.execute("UPDATE songs SET themes = %s WHERE id = %s", [themes, song])
                except psycopg.errors.UndefinedColumn:
                    return
                acknowledged[song] = themes

    thread = threading.Thread(target=write)
    thread.start()
    done = segue("cleanup", "--json")
    thread.join()
    assert acknowledged
    assert 0 == done.code, done.stderr
    assert done.json["caught_up"] > 0
    archived = dict(connection.execute("SELECT key::text, value FROM segue.archive_1").fetchall())
    tagged: dict[str, set[str]] = {}
    for song, tag in connection.execute(
        "SELECT song_id::text, normalized_name FROM song_tags JOIN tags ON id = tag_id"
    ):
        tagged.setdefault(song, set()).add(tag)

    assert acknowledged == {song: archived[song] for song in acknowledged}
    assert {song: {theme.lower() for theme in themes} for song, themes in acknowledged.items()} == {
        song: tagged[song] for song in acknowledged
    }
    assert not deleted & archived.keys()
    assert (
        []
        == connection.execute(
            "SELECT t.name FROM tags t WHERE usage_count <> (SELECT count(*) FROM song_tags l WHERE l.tag_id = t.id)"
        ).fetchall()
    )
    assert 0 == segue("rollback").code
    assert acknowledged == {
        song: themes
        for song, themes in connection.execute("SELECT id::text, themes FROM songs")
        if song in acknowledged
    }
    assert 0 == segue("validate").code
