"""A cleanup that is refused names every reason with its next step, and changes nothing."""

import psycopg
import pytest

from tests.cleanup.portrait import leftovers, portrait
from tests.conftest import Command, dump
from tests.crash.state import SONGS, song_id

#: What depends on the column → what the reason and its next step say.
DEPENDENTS = {
    "CREATE VIEW shown AS SELECT id, themes FROM songs": ("view shown", "DROP VIEW shown"),
    "CREATE MATERIALIZED VIEW kept AS SELECT themes FROM songs": (
        "materialized view kept",
        "DROP MATERIALIZED VIEW kept",
    ),
    "CREATE INDEX wide ON songs (title, themes)": ("index public.wide", "DROP INDEX CONCURRENTLY public.wide"),
    "CREATE INDEX part ON songs (title) WHERE themes IS NOT NULL": ("index public.part", "public.part"),
    "ALTER TABLE songs ADD CONSTRAINT two CHECK (title <> themes[1])": ("two on public.songs", "DROP CONSTRAINT two"),
    "ALTER TABLE songs ADD COLUMN many int GENERATED ALWAYS AS (cardinality(themes)) STORED": (
        "public.songs.many",
        "ALTER TABLE",
    ),
    "CREATE TRIGGER told AFTER UPDATE OF themes ON songs FOR EACH ROW EXECUTE FUNCTION tell()": (
        "trigger told",
        "DROP TRIGGER told ON public.songs",
    ),
    "CREATE TRIGGER told AFTER INSERT ON songs FOR EACH ROW EXECUTE FUNCTION name_it()": (
        "whose text names the column",
        'DROP TRIGGER "told" ON public.songs',
    ),
    "CREATE POLICY mine ON songs USING (themes IS NOT NULL)": ("policy mine", "DROP POLICY mine ON public.songs"),
    "CREATE STATISTICS pair ON title, themes FROM songs": (
        "statistics object public.pair",
        "DROP STATISTICS public.pair",
    ),
    "CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(themes) FROM songs; END": (
        "function public.counted()",
        "DROP FUNCTION public.counted()",
    ),
}


@pytest.fixture
def migrated(songs, segue: Command, connection: psycopg.Connection) -> None:
    """Songs whose tags are made."""
    songs(SONGS)
    assert segue("migrate").code == 4


def whole(connection: psycopg.Connection) -> object:
    """Return everything that a refusal leaves as it was; of Segue's, events aside, everything."""
    found = dump(connection, schemas=("public", "segue"))
    return {
        name: table
        for name, table in found.items()
        if name not in ("segue.events", "sequences", "segue.runs", "segue.partitions")
    }


def test_everything_that_depends_on_the_column_is_named(migrated, segue: Command, connection) -> None:
    """Each kind of dependent is a reason with a next step of its own, and all are named at once."""
    for function in ("tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
                     "name_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM NEW.themes; RETURN NULL; END $$"):  # fmt: skip
        connection.execute(f"CREATE FUNCTION {function}")
    for statement in DEPENDENTS:
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    before = None
    for number, statement in enumerate(DEPENDENTS):
        connection.execute(statement.replace("told", f"told_{number}"))
    before = whole(connection), portrait(connection)
    for dry in ([], ["--dry-run"]):
        refused = segue("cleanup", *dry, "--json")
        reasons = refused.json["reasons"]

        assert (5, "refused") == (refused.code, refused.json["status"])
        assert before == (whole(connection), portrait(connection))
        for number, (statement, (problem, fix)) in enumerate(DEPENDENTS.items()):
            wanted = problem.replace("told", f"told_{number}"), fix.replace("told", f"told_{number}")
            assert any(wanted[0] in one["problem"] and wanted[1] in one["fix"] for one in reasons), statement
        assert len(DEPENDENTS) == len(reasons)
    for number, statement in reversed(list(enumerate(DEPENDENTS))):
        kind, name = statement.split()[1:3] if statement.startswith("CREATE") else ("", "")
        if kind in ("POLICY", "TRIGGER"):
            connection.execute(f"DROP {kind} {name}{f'_{number}' if kind == 'TRIGGER' else ''} ON songs")
        elif kind:
            connection.execute(f"DROP {'MATERIALIZED VIEW kept' if kind == 'MATERIALIZED' else f'{kind} {name}'}")
    connection.execute("ALTER TABLE songs DROP COLUMN many, DROP CONSTRAINT two")
    assert 0 == segue("cleanup").code


def test_what_the_tags_do_not_say_yet(migrated, segue: Command, connection: psycopg.Connection) -> None:
    """An edit since the run, or a link that is gone, refuses; `migrate` mends the one, an explicit wish the other."""
    connection.execute("UPDATE songs SET themes = '{Brandnew}' WHERE id = %s", [song_id(8)])
    before = whole(connection), portrait(connection)
    refused = segue("cleanup", "--json")
    after = whole(connection), portrait(connection)
    mended = segue("migrate").code
    connection.execute("DELETE FROM song_tags WHERE song_id = %s", [song_id(8)])
    again = segue("cleanup", "--json")

    assert (5, 5) == (refused.code, again.code)
    assert 4 == mended
    assert song_id(8) in refused.json["reasons"][0]["problem"]
    assert "segue migrate themes" in refused.json["reasons"][0]["fix"]
    assert before == after
    assert [] == leftovers(connection)
    connection.execute("INSERT INTO songs (id) VALUES (%s)", [song_id(77)])
    assert 0 == segue("cleanup", "--accept-differences").code
    assert [] == connection.execute("SELECT FROM song_tags WHERE song_id = %s", [song_id(8)]).fetchall()


def test_new_songs_without_themes_are_no_reason(migrated, segue: Command, connection: psycopg.Connection) -> None:
    """Songs that came and went since, and have no theme, do not keep the column."""
    connection.execute("INSERT INTO songs (id) VALUES (%s)", [song_id(77)])
    connection.execute("DELETE FROM songs WHERE id = %s", [song_id(1)])

    assert 0 == segue("cleanup").code
    assert 30 == connection.execute("SELECT count(*) FROM segue.archive_1").fetchone()[0]


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([], "segue migrate themes --dry-run"),
        ([("migrate", "--max-chunks", "0")], "segue resume 1"),
        ([("migrate", "--max-chunks", "0"), ("cancel", "1")], "segue rollback 1"),
        ([("migrate",), ("rollback",)], "segue migrate themes"),
    ],
)
def test_only_a_complete_run_counts(calls, said, songs, segue: Command, connection: psycopg.Connection) -> None:
    """Without a run, or with one that is unfinished, cancelled or rolled back, the next step is named."""
    songs(SONGS)
    for call in calls:
        segue(*call)
    refused = segue("cleanup")

    assert 5 == refused.code
    assert said in refused.stderr
    assert "themes" in [name for name, *_ in portrait(connection)["columns"]]


@pytest.mark.parametrize("name", ["node-persist", "snapshots"])
def test_migrations_without_a_column(name: str, segue: Command) -> None:
    """They say that there is nothing to drop."""
    refused = segue("cleanup", name)

    assert 5 == refused.code
    assert f"migration {name!r} has no legacy column" in refused.stderr


def test_missing_privileges(migrated, segue: Command, connection: psycopg.Connection, database_url: str) -> None:
    """A role that may migrate but not alter the table is told which grants are missing."""
    role = "segue_test_worker"
    connection.execute(
        f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} LOGIN; END IF; END $$"
    )
    for schema in ("public", "segue"):
        connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}")
    refused = segue("cleanup", "--json", url=database_url.replace("postgres@", f"{role}@"))

    assert 5 == refused.code
    assert [f"GRANT postgres TO {role}", f"GRANT CREATE ON SCHEMA segue TO {role}"] == [
        one["fix"].partition(": ")[2] for one in refused.json["reasons"]
    ]


def test_partitioned_tables_are_left_to_their_owner(segue: Command, connection: psycopg.Connection) -> None:
    """A partitioned table is refused with the statement to use by hand."""
    connection.execute("CREATE TABLE songs (id bigint PRIMARY KEY, themes text[]) PARTITION BY RANGE (id)")
    connection.execute("CREATE TABLE some_songs PARTITION OF songs DEFAULT")
    assert segue("migrate").code == 0
    refused = segue("cleanup")

    assert 5 == refused.code
    assert "ALTER TABLE public.songs DROP COLUMN themes" in refused.stderr


def test_a_table_in_use_is_waited_for_briefly(migrated, segue: Command, connection, database_url, monkeypatch) -> None:
    """While somebody keeps the table, nobody waits behind us for long, and the call says who and is resumable."""
    from migrator.cleanup import archive, dropping

    monkeypatch.setattr(dropping, "LOCK_WAIT_MS", 20)
    monkeypatch.setattr("migrator.retry.LONGEST_WAIT_SECONDS", 0.05)
    with psycopg.connect(database_url, application_name="a report") as reader:
        reader.execute("SELECT count(*) FROM songs")
        stopped = segue("cleanup", "--json")
        assert 6 == stopped.code, stopped
        assert "a report" in stopped.json["error"]
        assert "themes" in [name for name, *_ in portrait(connection)["columns"]]
        assert "is being archived" in segue("status").stdout
        assert "segue rollback gives it up" in segue("doctor").stdout
    assert archive.LOCK_WAIT_MS <= 200

    assert 0 == segue("cleanup").code


def test_a_cleanup_that_was_begun_is_given_up_by_rollback(migrated, segue: Command, connection, monkeypatch) -> None:
    """Rolling the run back takes away what an unfinished cleanup made."""
    from migrator.cleanup.dropping import Dropping
    from migrator.errors import Stopped

    def stop(self: Dropping) -> None:
        reason = "a test"
        raise Stopped(reason)

    before = portrait(connection)["rows"]
    monkeypatch.setattr(Dropping, "drop", stop)
    assert 6 == segue("cleanup").code
    assert leftovers(connection)

    assert 0 == segue("rollback").code
    assert [] == leftovers(connection)
    assert before == portrait(connection)["rows"]


def test_undo_names_what_is_in_its_way(migrated, segue: Command, connection: psycopg.Connection) -> None:
    """A column of that name, or an archive that is gone, is said before anything is changed."""
    segue("cleanup")
    connection.execute("ALTER TABLE songs ADD COLUMN themes text[]")
    taken = segue("rollback")
    connection.execute("ALTER TABLE songs DROP COLUMN themes; ALTER TABLE segue.archive_1 RENAME TO elsewhere")
    lost = segue("rollback")

    assert (5, 5) == (taken.code, lost.code)
    assert "has a column 'themes' again" in taken.stderr
    assert "segue.archive_1 is gone" in lost.stderr
    assert "cannot be brought back" in segue("doctor").stdout
