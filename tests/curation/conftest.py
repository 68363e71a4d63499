"""A curator at work: every act in a transaction of its own, on a database with empty tables."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from sql.database import Database
from tests.conftest import Server
from tests.curation.desk import THEMES, Desk, song


@pytest.fixture(scope="session")
def shared(server: Server, template: str) -> Iterator[Desk]:
    """One database for all these tests: making one costs more than most of them."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE curation TEMPLATE {template}")
        database = Database(server.url("curation"))
        with psycopg.connect(server.url("curation"), autocommit=True) as connection:
            yield Desk(database, connection)
        database.close()
        admin.execute("DROP DATABASE curation WITH (FORCE)")


@pytest.fixture
def desk(shared: Desk) -> Desk:
    """A curator of the application in schema public, with nothing there yet."""
    shared.clear()
    return shared


@pytest.fixture
def own_desk(database_url: str, connection: psycopg.Connection) -> Iterator[Desk]:
    """The same on a database of the test's own, whose tables it may change."""
    database = Database(database_url)
    yield Desk(database, connection)
    database.close()


@pytest.fixture
def app(own_desk: Desk, songs: Callable[..., None]) -> Desk:
    """Songs with and without themes, and the people's tag `Our Theme` with a link to song 1."""
    songs([(song(number), themes) for number, themes in THEMES.items()])
    own_desk.make("Our Theme", links=(1,))
    return own_desk
