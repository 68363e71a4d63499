"""The HTTP interface in this process over a real database, and whole servers as processes."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from cache import Cache
from monitoring.exposition import Exposition
from monitoring.logs import server_logger
from monitoring.recorder import Recorder
from monitoring.shared_rows import SharedRows
from service.freshness.feed import build_index
from service.http.app import interface
from service.measures import Measures
from service.search.index import SongIndex
from service.server.process import cache_kinds
from service.settings import Settings
from service.state import State
from sql.database import Database
from tags.normalise import normalise
from tests.conftest import Server, _fresh
from tests.http.tokens import tokens
from tests.redis_server import redis_server

#: Name, category, uses, synonyms.
TAGS: tuple[tuple[str, str, int, tuple[str, ...]], ...] = (
    ("Grace", "theme", 500, ("mercy",)),
    ("Holy Spirit", "theme", 300, ("holy ghost", "paraclete")),
    ("Hope", "theme", 200, ()),
    ("Advent", "occasion", 150, ()),
    ("Easter", "occasion", 140, ("resurrection sunday",)),
    ("Kyrie", "liturgical", 80, ()),
    ("Joyful", "mood", 60, ()),
    ("聖霊", "theme", 20, ()),
    *((f"Tag {number:03}", "theme", 1, ()) for number in range(40)),
)


def fill(connection: psycopg.Connection[Any]) -> None:
    """Write the tags above and a few songs."""
    for name, category, uses, synonyms in TAGS:
        row = connection.execute(
            "INSERT INTO tags (name, normalized_name, category, color, usage_count) VALUES (%s, %s, %s, '#4a90d9', %s) RETURNING id",
            [name, normalise(name), category, uses],
        ).fetchone()
        assert row is not None
        for synonym in synonyms:
            connection.execute(
                "INSERT INTO tag_synonyms (synonym, canonical_tag_id) VALUES (%s, %s)", [synonym, row[0]]
            )
    connection.execute("CREATE TABLE songs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), title text)")
    connection.execute("INSERT INTO songs (title) SELECT 'Song ' || n FROM generate_series(1, 60) AS n")
    connection.execute(
        "INSERT INTO song_tags (song_id, tag_id) SELECT s.id, t.id FROM songs s JOIN tags t"
        " ON t.name IN ('Grace', 'Hope') OR (t.name = 'Advent' AND s.title LIKE '%5')"
    )


@dataclass(frozen=True)
class Got:
    """An answer; header names are in lower case, and one that came twice is parted by commas."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class _Headers:
    """As Granian gives them: text, names in lower case."""

    def __init__(self, given: dict[str, str]) -> None:
        self._given = [(name.lower(), value) for name, value in given.items()]

    def get(self, name: str) -> str | None:
        return dict(self._given).get(name)

    def items(self) -> list[tuple[str, str]]:
        return self._given


class _Scope:
    """A request as Granian gives it."""

    http_version, scheme, server = "1.1", "http", "198.51.100.1:80"

    def __init__(self, method: str, path: str, query: str, client: str, headers: dict[str, str]) -> None:
        self.method, self.path, self.query_string = method, path, query
        self.client = f"{client}:50000"
        self.headers = _Headers(headers)


class _Protocol:
    """Takes the answer as Granian does, but keeps it."""

    def __init__(self, body: bytes) -> None:
        self._pieces = [body[start : start + 10_000] for start in range(0, len(body), 10_000)]
        self.status: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.is_whole = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._pieces:
            yield self._pieces.pop(0)

    async def client_disconnect(self) -> None:
        await asyncio.Event().wait()

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.status, self.headers = status, headers

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body, self.is_whole = status, headers, body, True

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> "_Protocol":
        self.status, self.headers = status, headers
        return self

    async def send_bytes(self, data: bytes) -> None:
        self.body += data


class Inside:
    """The interface in this process.

    Attributes:
        state: of the process.
        log: what it has logged.
        access: its quotas.
    """

    def __init__(self, settings: Settings) -> None:
        rows, self.log = SharedRows(1), io.StringIO()
        measures = Measures(Recorder(rows.claim()))
        database = Database(settings.database_url)
        cache = Cache(cache_kinds(settings), on_load=measures.loaded)
        self.state = State(settings, database, cache, measures, server_logger(stream=self.log))
        self.state.index = build_index(database, settings.schema)
        if settings.songs is not None:
            self.state.songs = SongIndex.load(database, settings.schema, settings.songs)
        self.state.is_warm = True
        self._whole = interface(self.state, Exposition(rows, version="0", revision=""), "0.0.0")
        self.asgi = self._whole.asgi
        self.operations = self._whole.operations
        self._loop = asyncio.new_event_loop()

    def ask(
        self,
        method: str,
        target: str,
        *,
        query: bytes = b"",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        json_body: Any = None,
        client: str = "203.0.113.9",
    ) -> Got:
        """Send a request; the target's query is sent as it is written."""
        return self._loop.run_until_complete(self._ask(method, target, query, headers or {}, body, json_body, client))

    def ask_together(self, *targets: str) -> list[Got]:
        """Send several GETs at a time."""

        async def gather() -> list[Got]:
            return await asyncio.gather(
                *(self._ask("GET", target, b"", {}, None, None, "203.0.113.9") for target in targets)
            )

        return self._loop.run_until_complete(gather())

    async def _ask(
        self,
        method: str,
        target: str,
        query: bytes,
        headers: dict[str, str],
        body: bytes | None,
        json_body: Any,
        client: str,
    ) -> Got:
        path, _, typed = target.partition("?")
        sent = {"host": "test", **headers}
        if json_body is not None:
            body = json.dumps(json_body).encode()
            sent.setdefault("content-type", "application/json")
        if body is not None:
            sent.setdefault("content-length", str(len(body)))
        scope = _Scope(method, path, (query or typed.encode()).decode("utf-8", "surrogateescape"), client, sent)
        protocol = _Protocol(body or b"")
        await self._whole.app(scope, protocol)
        assert protocol.status is not None
        headers: dict[str, str] = {}
        for name, text in protocol.headers:
            assert name == name.lower()
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        if protocol.is_whole:
            headers.setdefault("content-length", str(len(protocol.body)))
        got = Got(protocol.status, headers, protocol.body)
        if got.status not in (204, 304) and method != "HEAD":
            assert str(len(got.body)) == headers["content-length"]
        return got

    def get(self, target: str, **further: Any) -> Got:
        """Send a GET."""
        return self.ask("GET", target, **further)

    def tag_id(self, name: str) -> str:
        """Return a tag's id."""
        assert self.state.index is not None
        found = self.state.index.resolve(name)
        assert found is not None
        return found.id

    def close(self) -> None:
        """Give back what it holds."""
        self._whole.threads.shutdown()
        self.state.cache.close()
        self.state.database.close()
        self._loop.close()


Make = Callable[..., Inside]


def _make(url: str) -> Iterator[Make]:
    made: list[Inside] = []

    def make(**further: Any) -> Inside:
        made.append(Inside(Settings(database_url=url, **further)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def filled_url(server: Server, template: str) -> Iterator[str]:
    """A database with the tags above, for all tests of a module that do not change it."""
    for url in _fresh(server, template):
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection)
        yield url


@pytest.fixture
def inside(filled_url: str) -> Iterator[Make]:
    """Return a function that makes the interface with some settings; its index is loaded, nothing follows changes."""
    yield from _make(filled_url)


@pytest.fixture(scope="module")
def served(filled_url: str) -> Iterator[Inside]:
    """The interface with its defaults, for all tests of a module that leave it as it is."""
    for make in _make(filled_url):
        yield make()


@pytest.fixture
def alone(database_url: str, connection: psycopg.Connection[Any]) -> Iterator[Inside]:
    """The interface with its defaults and a database of its own, to be changed."""
    fill(connection)
    for make in _make(database_url):
        yield make()


@pytest.fixture(scope="module")
def known_tokens(filled_url: str) -> dict[str, str]:
    """Tokens in every state; see tokens.py."""
    with psycopg.connect(filled_url, autocommit=True) as connection:
        return tokens(connection)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis for the module."""
    with redis_server() as url:
        yield url
