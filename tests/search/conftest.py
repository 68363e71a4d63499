"""A table of songs in a fresh database."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from service.search.index import SongIndex
from service.settings import SongsTable
from sql.database import Database
from tests.search.world import State, World, prepare

KEYS = [UUID(int=number) for number in range(1, 31)]
JOY, PEACE, WAR = (UUID(int=number) for number in (101, 102, 103))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The test's database."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def world(connection: psycopg.Connection[Any]) -> World:
    """Thirty songs: all with Joy, every second one with Peace, every third one with War."""
    prepare(connection, "uuid")
    world = World(
        {key: f"Song number {key.int}" for key in KEYS},
        {JOY: State("Joy", "mood"), PEACE: State("Peace", "mood"), WAR: State("War", "theme")},
        {(key, tag) for key in KEYS for tag, every in ((JOY, 1), (PEACE, 2), (WAR, 3)) if key.int % every == 0},
        {"gladness": JOY},
    )
    world.write(connection)
    return world


@pytest.fixture
def index(database: Database, world: World) -> SongIndex:
    """An index of it."""
    return SongIndex.load(database, "public", SongsTable())
