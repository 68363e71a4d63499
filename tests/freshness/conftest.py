"""A followed database: triggers in place, and what the tests do with it."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from service.freshness.follower import Follower
from service.freshness.relay import Relay
from sql.database import Database
from sql.schema.serving import follow
from tests.freshness.serving import Observed, State, eventually


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The test's database."""
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def followed(database: Database) -> Database:
    """The test's database with its triggers."""
    follow(database, "public")
    return database


@pytest.fixture
def noted(connection: psycopg.Connection[Any]) -> Callable[[], list[tuple[str, set[str] | None]]]:
    """Return a function that takes what the triggers wrote out of the outbox, in the order written."""

    def take() -> list[tuple[str, set[str] | None]]:
        rows = connection.execute(
            "WITH taken AS (DELETE FROM segue.outbox RETURNING at, kind, keys) SELECT kind, keys FROM taken ORDER BY at"
        ).fetchall()
        return [(kind, None if keys is None else set(keys)) for kind, keys in rows]

    return take


@pytest.fixture
def add_tag(connection: psycopg.Connection[Any]) -> Callable[..., UUID]:
    """Return a function that adds a tag and gives its id."""

    def add(name: str, usage_count: int = 0) -> UUID:
        tag_id = uuid4()
        connection.execute(
            "INSERT INTO tags (id, name, normalized_name, usage_count) VALUES (%s, %s, %s, %s)",
            [tag_id, name, name.lower(), usage_count],
        )
        return tag_id

    return add


@pytest.fixture
def relay(followed: Database) -> Iterator[Relay]:
    """A relay at work."""
    with Relay(followed) as relay:
        yield relay


@pytest.fixture
def state() -> State:
    """What the follower keeps."""
    return State()


@pytest.fixture
def seen() -> Observed:
    """What the follower tells."""
    return Observed()


@pytest.fixture
def follower(relay: Relay, followed: Database, state: State, seen: Observed) -> Iterator[Follower]:
    """A follower at work, with its first index."""
    with Follower(followed, "public", state, observers=(seen,)) as follower:
        eventually(lambda: follower.staleness is not None)
        yield follower


@pytest.fixture
def role(connection: psycopg.Connection[Any], database_url: str) -> Iterator[tuple[str, str]]:
    """A role that may work with Segue's tables, and a URL to connect as it."""
    name = f"serving {uuid4().hex}"
    quoted = sql.Identifier(name).as_string(None)
    connection.execute(
        f"CREATE ROLE {quoted} LOGIN; GRANT USAGE ON SCHEMA segue TO {quoted};"
        f"GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON ALL TABLES IN SCHEMA segue TO {quoted};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {quoted}"
    )
    yield quoted, database_url.replace("postgres@", f"{name.replace(' ', '%20')}@")
    connection.execute(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")
