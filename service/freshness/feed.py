"""What the index is fed with: all tags in one stream, some of them by id, and which of them go together."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql as psql

from service.suggest.index import TagIndex
from service.suggest.tag import Tag
from sql.database import Database, Fragments, Transaction, compose
from sql.errors import DatabaseError

if TYPE_CHECKING:
    from psycopg.abc import Query

#: Rows that arrive together; libpq older than 17 gives them one by one.
_ROWS_AT_A_TIME = 1_000 if psycopg.capabilities.has_stream_chunked() else 1

#: What tells which tags go together: so many links of the sample, tags of one song, companions of one tag.
SAMPLED_LINKS, TAGS_OF_A_SONG, COMPANIONS = 50_000, 30, 10
_CANCELLED = "57014"


def build_index(database: Database, schema: str, *, companions_seconds: float = 10.0) -> TagIndex:
    """Load everything and build the index; its version is the last change that it knows.

    Args:
        database: where the tags are.
        schema: the application's.
        companions_seconds: how long to look for tags that go together; when it takes longer the index does without,
            and 0 does not look.
    """
    # Read first: changes that come between this and the load are applied once more, which changes nothing.
    with database.transaction() as transaction:
        number = current_number(transaction)
    companions = find_companions(database, schema, companions_seconds) if companions_seconds else {}
    return TagIndex.build(load_tags(database, schema), number, companions)


def load_tags(database: Database, schema: str) -> Iterator[Tag]:
    """Yield all tags that are not banned, each with its synonyms, as of one instant; memory holds the synonyms only."""
    names = _names(schema)
    with database.transaction(repeatable_read=True) as transaction:
        synonyms = {row[0]: tuple(row[1]) for row in _stream(transaction, "tag_feed.list_synonyms", names)}
        for tag_id, name, normalized, category, color, count, is_standard in _stream(
            transaction, "tag_feed.list_tags", names
        ):
            yield Tag(tag_id, name, normalized, category, color, count, is_standard, synonyms.get(tag_id, ()))


def read_tags(database: Database, schema: str, ids: Iterable[str]) -> dict[str, Tag | None]:
    """Return tags by id as they are now; None for one that is gone or banned."""
    found: dict[str, Tag | None] = dict.fromkeys(ids)
    with database.transaction() as transaction:
        for row in transaction.all("tag_feed.read_tags", _names(schema), ids=list(found)):
            found[row["id"]] = Tag(**row | {"synonyms": tuple(row["synonyms"])})
    return found


def find_companions(database: Database, schema: str, seconds: float) -> Mapping[str, tuple[str, ...]]:
    """Return for each tag at most ten that are often on a song together with it, strongest first.

    They are a preference, not a promise, so a sample of the songs will do; nothing is returned when it takes longer
    than `seconds`.
    """
    same: dict[str, str] = {}
    try:
        with database.transaction() as transaction:
            transaction.run("tag_feed.bound_time", timeout=f"{round(seconds * 1_000)}ms")
            return {
                same.setdefault(row["tag_id"], row["tag_id"]): tuple(same.setdefault(id_, id_) for id_ in row["others"])
                for row in transaction.all(
                    "tag_feed.list_companions",
                    _names(schema),
                    most_links=SAMPLED_LINKS,
                    most_tags=TAGS_OF_A_SONG,
                    most_companions=COMPANIONS,
                )
            }
    except DatabaseError as error:
        if error.sqlstate != _CANCELLED:
            raise
        return {}


def current_number(transaction: Transaction) -> int:
    """Return the number of the newest change; whoever reads tags after this knows it and all before."""
    return int(transaction.one("outbox.read_state")["number"])


def _names(schema: str) -> Fragments:
    tables = {table: psql.Identifier(schema, table) for table in ("tags", "tag_synonyms", "song_tags")}
    return {**tables, "song_tags_name": psql.Literal(tables["song_tags"].as_string(None))}


def _stream(transaction: Transaction, name: str, names: Fragments, **values: object) -> Iterator[tuple[Any, ...]]:
    """Yield a named query's rows as tuples while the server still sends them."""
    query: Query = compose(name, names)
    with transaction.connection.cursor() as cursor:
        yield from cursor.stream(query, values, size=_ROWS_AT_A_TIME)
