"""The application's table of songs, looked up and checked, as fragments of the named queries."""

from dataclasses import dataclass
from typing import Any

from psycopg import sql as psql

from service.search.keys import KEY_KINDS, KeyKind
from service.search.query import BadQuery, SearchQuery
from service.settings import SongsTable
from sql.database import Fragments, Transaction, compose, literal_sql
from sql.errors import DatabaseError
from sql.schema.serving import CannotFollow, split_name


class SongsUnreadable(DatabaseError):
    """The songs cannot be searched as they are; the message names the table, the reason and what helps."""

    exit_code = 5


@dataclass(frozen=True)
class Songs:
    """Where the songs are.

    Attributes:
        name: of the table, quoted.
        kind: of its keys.
        has_title: whether there is a title to look into.
        fragments: names for the queries of `search.sql`.
    """

    name: str
    kind: KeyKind
    has_title: bool
    fragments: Fragments

    @classmethod
    def find(cls, transaction: Transaction, schema: str, table: SongsTable) -> "Songs":
        """Look the songs and their links up.

        Args:
            transaction: to look with.
            schema: the application's; home of the links and, unless it says otherwise, of the songs.
            table: the songs'.

        Raises:
            SongsUnreadable: a table or column is missing, may not be read, or has another type than is needed.
        """
        try:
            place = split_name(table.table, schema)
        except CannotFollow as error:
            raise SongsUnreadable(str(error)) from None
        names = [table.key] if table.title is None else [table.key, table.title]
        columns = _columns(transaction, *place, names, "name the table, its key and title column of your songs")
        link = _columns(transaction, schema, "song_tags", ["song_id"], "run `segue db upgrade`")["song_id"]
        key = columns[table.key]
        name = psql.Identifier(*place).as_string(None)
        kind = KEY_KINDS.get(key["type"])
        if kind is None:
            known = ", ".join(KEY_KINDS)
            raise SongsUnreadable(f"key column {table.key!r} of {name} is {key['type']}; it must be one of: {known}")
        if KEY_KINDS.get(link["type"]) is not kind:
            raise SongsUnreadable(
                f"song_tags.song_id is {link['type']} but key column {table.key!r} of {name} is {key['type']}, so no "
                "link can be of one of these songs; run the migration of their tags, or name the table that it read"
            )
        return cls(name, kind, table.title is not None, _fragments(schema, place, table, kind, key["collation"]))

    def check(self, query: SearchQuery) -> bytes | None:
        """Return the key after which the query's page begins.

        Raises:
            BadQuery: the cursor is none, or the query looks into titles and there are none.
        """
        if query.text.strip() and not self.has_title:
            raise BadQuery("these songs have no title, so no words can be looked for")
        return None if query.cursor is None else self.kind.after(query.cursor)


def _columns(transaction: Transaction, schema: str, table: str, names: list[str], help_: str) -> dict[str, Any]:
    quoted = psql.Identifier(schema, table).as_string(None)
    rows = transaction.all("search.describe_table", schema=schema, table=table)
    if not rows:
        raise SongsUnreadable(f"there is no table {quoted}; {help_}")
    columns = {row["name"]: row for row in rows}
    for name in names:
        if name not in columns:
            raise SongsUnreadable(f"{quoted} has no column {name!r}; it has {', '.join(columns)}; {help_}")
        if not columns[name]["is_readable"]:
            raise SongsUnreadable(f"no privilege to read {quoted}; as its owner: GRANT SELECT ON {quoted} TO the role")
    return columns


def _fragments(
    schema: str, place: tuple[str, str], table: SongsTable, kind: KeyKind, collation: str | None
) -> Fragments:
    key = psql.Identifier("song", table.key)
    link = psql.Identifier("link", "song_id")
    by_code_point = psql.SQL(' COLLATE "C"' if kind.name == "text" else "")
    return {
        "songs": psql.Identifier(*place),
        "key": key,
        "key_type": literal_sql(kind.name),
        "bytes_of_key": compose(f"search.bytes_of_{kind.name}", {"key": key}),
        "ordered_key": key + by_code_point,
        "ordered_found": psql.Identifier("found", "key") + by_code_point,
        "ordered_page": psql.Identifier("page", "key") + by_code_point,
        "title": compose("search.title", {"column": psql.Identifier("song", table.title)})
        if table.title is not None
        else compose("search.no_title"),
        # Two text columns may have different collations, of which a comparison needs one.
        "link_song": link + psql.SQL(f" COLLATE {collation}") if collation is not None else link,
        "tags": psql.Identifier(schema, "tags"),
        "song_tags": psql.Identifier(schema, "song_tags"),
        "tag_synonyms": psql.Identifier(schema, "tag_synonyms"),
        "category": compose("search.category"),
    }
