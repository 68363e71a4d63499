"""How others would do it, on the same data: one statement, SQLAlchemy Core, an ORM loop, and row by row."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import UUID, uuid4

from sqlalchemy import Column, Engine, ForeignKey, MetaData, Table, Uuid, create_engine, insert, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tags.normalise import normalise

if TYPE_CHECKING:
    import psycopg

_MAP: LiteralString = """
CREATE TEMP TABLE word ON COMMIT DROP AS
WITH text AS MATERIALIZED (SELECT DISTINCT unnest(themes) AS raw FROM songs)
SELECT raw, name
FROM (
    SELECT raw, lower(btrim(regexp_replace(normalize(raw, NFKC), '\\s+', ' ', 'g'))) AS name FROM text OFFSET 0
) AS word
WHERE name <> '';
ANALYZE word;
INSERT INTO tags (name, normalized_name) SELECT DISTINCT name, name FROM word ON CONFLICT DO NOTHING;
CREATE TEMP TABLE map ON COMMIT DROP AS
SELECT word.raw, tags.id AS tag_id FROM word JOIN tags ON tags.normalized_name = word.name;
ANALYZE map;
"""

_LOAD: LiteralString = """
INSERT INTO {links} (song_id, tag_id)
SELECT DISTINCT element.id, map.tag_id
FROM (SELECT id, unnest(themes) AS raw FROM songs) AS element JOIN map USING (raw)
"""


def one_shot(connection: "psycopg.Connection[Any]") -> float:
    """L*: one INSERT … SELECT into a bare heap, then primary key, index and foreign keys; one transaction."""
    connection.execute("CREATE TABLE links (LIKE song_tags INCLUDING DEFAULTS)")
    return _timed(
        connection,
        _MAP,
        _LOAD.format(links="links"),
        "ALTER TABLE links ADD PRIMARY KEY (song_id, tag_id)",
        "CREATE INDEX ON links (tag_id)",
        "ANALYZE links",
        "ALTER TABLE links ADD FOREIGN KEY (song_id) REFERENCES songs (id) ON DELETE CASCADE,"
        " ADD FOREIGN KEY (tag_id) REFERENCES tags (id) ON DELETE CASCADE",
    )


def one_shot_live(connection: "psycopg.Connection[Any]") -> float:
    """REF: one INSERT … SELECT in key order into a table that has its primary key and index; no foreign key."""
    connection.execute("CREATE TABLE links (LIKE song_tags INCLUDING DEFAULTS, PRIMARY KEY (song_id, tag_id))")
    connection.execute("CREATE INDEX ON links (tag_id)")
    return _timed(connection, _MAP, _LOAD.format(links="links") + "ORDER BY element.id, map.tag_id")


def _timed(connection: "psycopg.Connection[Any]", *statements: LiteralString) -> float:
    started = time.perf_counter()
    with connection.transaction():
        for statement in ("SET LOCAL jit = off; SET LOCAL work_mem = '64MB'", *statements):
            connection.execute(statement)
    return time.perf_counter() - started


_META = MetaData()
SONGS = Table("songs", _META, Column("id", Uuid, primary_key=True), Column("themes"))
TAGS = Table("tags", _META, Column("id", Uuid, primary_key=True), Column("name"), Column("normalized_name"))
LINKS = Table(
    "song_tags",
    _META,
    Column("song_id", Uuid, primary_key=True),
    Column("tag_id", ForeignKey("tags.id"), primary_key=True),
)


def core(url: str, songs: int, batch: int) -> float:
    """Insert with Core's executemany: a memo from raw text to tag, one commit a batch of songs."""
    engine = _engine(url)
    started = time.perf_counter()
    memo: dict[str, UUID | None] = {}
    known: dict[str, UUID] = {}

    def tag_of(raw: str, new: list[dict[str, object]]) -> UUID | None:
        if raw not in memo:
            name = normalise(raw)
            if name and name not in known:
                known[name] = uuid4()
                new.append({"id": known[name], "name": name, "normalized_name": name})
            memo[raw] = known.get(name)
        return memo[raw]

    for page in _pages(engine, songs, batch):
        new: list[dict[str, object]] = []
        links = [
            {"song_id": song, "tag_id": tag}
            for song, themes in page
            for tag in {tag_of(raw, new) for raw in themes or () if raw is not None}
            if tag is not None
        ]
        with engine.begin() as connection:
            if new:
                connection.execute(insert(TAGS), new)
            if links:
                connection.execute(insert(LINKS), links)
    seconds = time.perf_counter() - started
    engine.dispose()
    return seconds


class _Base(DeclarativeBase):
    """The ORM's tables."""


class Tag(_Base):
    """A tag as an application maps it."""

    __tablename__ = "tags"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    normalized_name: Mapped[str]


class Song(_Base):
    """A song with its tags."""

    __tablename__ = "songs"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]
    tags: Mapped[list[Tag]] = relationship(
        secondary=lambda: Table(
            "song_tags",
            _Base.metadata,
            Column("song_id", ForeignKey("songs.id"), primary_key=True),
            Column("tag_id", ForeignKey("tags.id"), primary_key=True),
        )
    )


def orm(url: str, songs: int) -> float:
    """Walk the songs with the ORM: get or create each tag, append it, commit every 1,000 songs."""
    engine = _engine(url)
    started = time.perf_counter()
    for page in _pages(engine, songs, 1_000):
        with Session(engine) as session:
            for key, themes in page:
                song = session.get_one(Song, key)
                for name in {normalise(raw) for raw in themes or () if raw is not None} - {""}:
                    tag = session.scalars(select(Tag).where(Tag.normalized_name == name)).one_or_none()
                    song.tags.append(tag or Tag(name=name, normalized_name=name))
            session.commit()
    seconds = time.perf_counter() - started
    engine.dispose()
    return seconds


def row_by_row(url: str, songs: int) -> float:
    """Do as the seed does: 100 songs a batch, statements for each theme, one commit a batch."""
    engine = _engine(url)
    started = time.perf_counter()
    make = text(
        "INSERT INTO tags (name, normalized_name) VALUES (:name, :name)"
        " ON CONFLICT (normalized_name) DO UPDATE SET name = tags.name RETURNING id"
    )
    link = text("INSERT INTO song_tags (song_id, tag_id) VALUES (:song, :tag) ON CONFLICT DO NOTHING")
    for page in _pages(engine, songs, 100):
        with engine.begin() as connection:
            for song, themes in page:
                for raw in themes or ():
                    if raw is not None and (name := normalise(raw)):
                        connection.execute(
                            link, {"song": song, "tag": connection.execute(make, {"name": name}).scalar_one()}
                        )
    seconds = time.perf_counter() - started
    engine.dispose()
    return seconds


#: Name, what to run, and the largest number of songs that it can finish in reasonable time.
PEERS: tuple[tuple[str, Callable[[str, int], float], int], ...] = (
    ("SQLAlchemy Core executemany, batches of 10,000", lambda url, songs: core(url, songs, 10_000), 10**9),
    ("SQLAlchemy Core executemany, batches of 1,000", lambda url, songs: core(url, songs, 1_000), 10**9),
    ("SQLAlchemy ORM, get or create, commit every 1,000", orm, 2_000),
    ("row by row, commit every 100 (the seed's shape)", row_by_row, 5_000),
)


def _engine(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))


def _pages(engine: Engine, songs: int, size: int) -> Iterator[list[tuple[UUID, list[str | None] | None]]]:
    after: UUID | None = None
    while songs > 0:
        query = select(SONGS.c.id, SONGS.c.themes).order_by(SONGS.c.id).limit(min(size, songs))
        with engine.connect() as connection:
            rows = connection.execute(query if after is None else query.where(SONGS.c.id > after))
            page = [(row[0], row[1]) for row in rows]
        if not page:
            return
        yield page
        after, songs = page[-1][0], songs - len(page)
