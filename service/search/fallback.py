"""The same search from PostgreSQL alone: for a process whose index is not loaded, and to check the index against."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from psycopg import sql as psql

from service.search.facets import ordered
from service.search.plan import Filter, Plan, plan
from service.search.query import Facet, Hit, Resolve, SearchPage, SearchQuery, TagCount, TagLabel
from service.search.songs import Songs
from service.search.words import pattern
from service.settings import SongsTable
from sql.database import Database, Transaction, compose
from tags.normalise import normalise


def search(
    database: Database, schema: str, table: SongsTable, query: SearchQuery, resolve: Resolve | None = None
) -> SearchPage:
    """Return the page that a query asks for, as of one moment.

    It reads the songs that are found three times, and normalises the title of each song with the right tags when words
    are looked for: milliseconds for rare tags, seconds for words alone among a million songs.

    Args:
        database: where the songs are.
        schema: the application's.
        table: the songs'.
        query: the question.
        resolve: says what tag a text means; without it the database does.

    Raises:
        BadQuery: the cursor is none, or the query looks into titles and there are none.
        SongsUnreadable: the tables are not as they must be; see `Songs.find`.
        DatabaseError: the database refused or was lost.
    """
    with database.transaction(repeatable_read=True) as transaction:
        asked = _Asked(transaction, Songs.find(transaction, schema, table), query)
        after = asked.songs.check(query)
        meant = plan(query, resolve or asked.resolver())
        hits, last = asked.page(meant.found, after)
        return SearchPage(
            hits=hits,
            total=asked.total(meant.found),
            cursor=None if last is None else asked.songs.kind.cursor(asked.songs.kind.pack(last)),
            facets=asked.facets(meant),
            unknown=meant.unknown,
        )


class _Asked:
    """One query in one transaction."""

    def __init__(self, transaction: Transaction, songs: Songs, query: SearchQuery) -> None:
        self._transaction = transaction
        self.songs = songs
        self._query = query
        self._fragments = songs.fragments

    def resolver(self) -> Resolve:
        """Look all tags of the query up at once."""
        texts = list(dict.fromkeys((*self._query.tags, *self._query.without)))
        rows = self._transaction.all(
            "search.find_tags",
            self._fragments,
            normalized=[normalise(text) for text in texts],
            ids=[_uuid(text) for text in texts],
        )
        # The best meaning comes first.
        found = {row["place"]: row for row in reversed(rows)}
        meant = {texts[place - 1]: TagLabel(row["id"], row["name"], row["category"]) for place, row in found.items()}
        return meant.get

    def page(self, found: Filter, after: bytes | None) -> tuple[tuple[Hit, ...], str | None]:
        """Return the songs of a page, and the last one's key when there are more."""
        rows = self._run(
            "search.list_songs",
            found,
            after=None if after is None else self.songs.kind.show(after),
            limit=self._query.limit + 1,
        )
        hits = tuple(
            Hit(row["key"], row["title"], _by_name(TagLabel(*tag) for tag in row["tags"]))
            for row in rows[: self._query.limit]
        )
        return hits, hits[-1].key if len(rows) > self._query.limit else None

    def total(self, found: Filter) -> int:
        """Return how many songs there are."""
        return sum(row["total"] for row in self._run("search.count_songs", found))

    def facets(self, meant: Plan) -> tuple[Facet, ...]:
        """Return the counts that the query asks for."""
        if self._query.facets == 0:
            return ()
        facets = [facet for facet in self._count(meant.found) if facet.category not in meant.others]
        for category, found in meant.others.items():
            facets += [facet for facet in self._count(found) if facet.category == category]
        return tuple(sorted(facets, key=lambda facet: facet.category))

    def _count(self, found: Filter) -> Iterator[Facet]:
        rows = self._run("search.count_facets", found, categories=list(self._query.categories), top=self._query.facets)
        for whole in [row for row in rows if row["id"] is None]:
            tags = [row for row in rows if row["id"] is not None and row["category"] == whole["category"]]
            yield Facet(
                category=whole["category"],
                songs=whole["songs"],
                tag_count=tags[0]["tags"],
                tags=ordered(TagCount(TagLabel(tag["id"], tag["name"], tag["category"]), tag["songs"]) for tag in tags),
                is_disjunctive=whole["category"] in self._query.disjunctive,
            )

    def _run(self, name: str, found: Filter, **values: object) -> list[dict[str, Any]]:
        if found.is_impossible:
            return []
        conditions: list[psql.Composable] = [
            compose(f"search.{condition}", self._fragments)
            for condition, is_asked in (
                ("has_wanted", found.wanted),
                ("lacks_unwanted", found.unwanted),
                ("has_words", found.words),
            )
            if is_asked
        ]
        every = psql.SQL(" AND ").join(conditions or [psql.SQL("true")])
        matching = compose("search.matching", {**self._fragments, "conditions": every})
        return self._transaction.all(
            name,
            {**self._fragments, "matching": matching},
            needed=min(1, len(found.wanted)) if found.is_any else len(found.wanted),
            wanted=list(found.wanted),
            unwanted=list(found.unwanted),
            patterns=[pattern(word) for word in found.words],
            **values,
        )


def _by_name(tags: Iterable[TagLabel]) -> tuple[TagLabel, ...]:
    return tuple(sorted(tags, key=lambda tag: (tag.name, tag.id)))


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
