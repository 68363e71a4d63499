"""An application with a table `users` of its own: themes migrate all the same, and the rest says what is missing."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from migrator.token_keys import VARIABLE, TokenKey
from sql.revision import LATEST
from sql.schema.catalog import definitions
from tests.conftest import Command, Result, dump

ALONE = Callable[..., Result]
REASON = "table public.users cannot be made or adopted: column id is bigint, not uuid"


@pytest.fixture
def app(bare_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The database of an application that has users and songs, which Segue has not seen yet."""
    with psycopg.connect(bare_url, autocommit=True) as connection:
        connection.execute(
            """
            CREATE TABLE users (id bigint PRIMARY KEY, login text NOT NULL);
            INSERT INTO users VALUES (1, 'ann');
            CREATE TABLE songs (id uuid PRIMARY KEY, title text, owner bigint REFERENCES users, themes text[]);
            INSERT INTO songs
            SELECT gen_random_uuid(), 'a song', 1, ARRAY['Hope', 'Night ' || n % 7] FROM generate_series(1, 50) AS n;
            """
        )
        yield connection


@pytest.fixture
def run(bare_url: str, segue: Command) -> Command:
    """Run the command line on the application's database."""

    def on_it(*arguments: str, env: dict[str, str] | None = None) -> Result:
        return segue(*arguments, env=env, url=bare_url)

    return on_it


def refusals(run: Command, store: str) -> list[Result]:
    """Run every command that needs the catalog."""
    return [
        run("migrate", "node-persist", "--source", store),
        run("migrate", "node-persist", "--source", store, "--dry-run", "--json"),
        run("migrate", "snapshots"),
        run("users", "export", "ann"),
        run("users", "erase", "ann", "--yes", "--json"),
        run("users", "erase", "1", "--dry-run"),
        run("keys", "rotate", env={VARIABLE: TokenKey.fresh().text}),
    ]


def test_upgrade_succeeds_and_says_what_was_left_out(app, run) -> None:
    """Exit 0; stderr names table, differences, who needs it and both ways out; stdout is as ever."""
    result = run("db", "upgrade")

    assert (0, True) == (result.code, result.stdout.endswith(f"schema at revision {LATEST}\n"))
    for part in (
        REASON,
        "column spotify_id (text) is missing",
        "column login is not null without a default",
        "no unique key on (spotify_id)",
        "`node-persist`, `snapshots`",
        "run again: segue db upgrade",
        "segue --schema NAME db upgrade",
    ):
        assert part in result.stderr
    assert "public.tracks" not in result.stderr


def test_themes_migrate_and_roll_back_beside_foreign_users(app, run) -> None:
    """End to end: dry run, run, validation, status, rollback; the application's tables are as they were."""
    before = dump(app)
    run("db", "upgrade")
    empty = dump(app)

    codes = [
        run(*words).code for words in (["migrate", "--dry-run"], ["migrate", "--validate"], ["validate"], ["status"])
    ]
    links = app.execute("SELECT count(*) FROM song_tags").fetchone()
    back = run("rollback")

    assert [0, 0, 0, 0] == codes
    assert (100,) == links
    assert 0 == back.code
    assert empty == dump(app)
    assert {table: empty[table] for table in before if table != "sequences"} == {
        table: image for table, image in before.items() if table != "sequences"
    }


def test_what_needs_the_catalog_refuses(app, run, tmp_path) -> None:
    """Exit 5 with the reason and the next step; nothing is changed, and no traceback is shown."""
    run("db", "upgrade")
    before = dump(app, schemas=("public", "segue"))

    results = refusals(run, str(tmp_path))

    assert [5] * len(results) == [result.code for result in results]
    for result in results:
        assert REASON in result.stderr
        assert "segue db upgrade" in result.stderr
        assert "Traceback" not in result.stderr
    assert REASON in json.loads(results[1].stdout)["error"]
    assert before == dump(app, schemas=("public", "segue"))


def test_catalog_comes_when_the_table_was_changed(app, run, tmp_path) -> None:
    """Before the next upgrade the refusal says that it is due; after it everything works, beside what themes made."""
    run("db", "upgrade")
    run("migrate")
    app.execute("ALTER TABLE users RENAME TO members")
    app.execute(definitions()["users"].format(schema="public"))

    early = refusals(run, str(tmp_path))
    upgraded = run("db", "upgrade")
    app.execute("INSERT INTO users (spotify_id) VALUES ('ann')")
    later = refusals(run, str(tmp_path))

    assert {5} == {result.code for result in early}
    assert all("next: segue db upgrade" in result.stderr for result in early)
    assert (0, "") == (upgraded.code, upgraded.stderr)
    assert not [result.stderr for result in later if "catalog" in result.stderr]
    assert 0 == later[2].code == later[3].code == later[4].code == later[6].code
    assert (100,) == app.execute("SELECT count(*) FROM song_tags").fetchone()
    assert 0 == run("rollback", "1").code


def test_another_schema_is_a_way_out(app, run, tmp_path) -> None:
    """As the message says: before the first run all of Segue's tables move; after it the other schema is refused."""
    app.execute("CREATE SCHEMA music; CREATE SCHEMA jazz")
    run("db", "upgrade")

    moved = run("--schema", "music", "db", "upgrade")
    users = run("--schema", "music", "users", "export", "nobody")
    themes = run("--schema", "music", "migrate", "--table", "public.songs")
    late = run("--schema", "jazz", "db", "upgrade")

    assert (0, "") == (moved.code, moved.stderr)
    assert (2, True) == (users.code, "no user named 'nobody'" in users.stderr)
    assert 0 == themes.code
    assert (100,) == app.execute("SELECT count(*) FROM music.song_tags").fetchone()
    assert (5, True) == (late.code, "give --schema music" in late.stderr)
