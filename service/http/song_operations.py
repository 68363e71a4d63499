"""Searching songs by their tags, with exact counts of what else there is."""

from typing import Any, Final

import msgspec

from cache import Loaded
from service.http import shapes
from service.http.operations import Call, Operation, Reply
from service.http.parameters import Parameter, choice, names, text, whole
from service.http.prepared import Fixed, Prepared
from service.http.problems import NOT_FOUND, Fault, Problem, invalid
from service.search import fallback
from service.search.query import BadCursor, BadQuery, SearchPage, SearchQuery
from service.state import State

_GROUP: Final = "Songs"
_KIND: Final = "search"

_EXAMPLE: Final[dict[str, Any]] = {
    "songs": [
        {
            "key": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            "title": "Come, Holy Ghost",
            "tags": [{"id": "0b8f6f3c-52d5-4a3e-9e0c-6d2f2f8f7a01", "name": "Holy Spirit", "category": "theme"}],
        }
    ],
    "total": 1,
    "next": None,
    "facets": [
        {
            "category": "theme",
            "songs": 1,
            "tag_count": 1,
            "tags": [{"id": "0b8f6f3c-52d5-4a3e-9e0c-6d2f2f8f7a01", "name": "Holy Spirit", "songs": 1}],
            "is_disjunctive": False,
        }
    ],
    "unknown": [],
}


def operations() -> list[Operation]:
    """Return the search."""
    cursor = Parameter(
        name="cursor",
        description="Where the page begins: `next` of the page before; missing for the first page.",
        read=str,
        schema={"type": "string", "minLength": 1, "maxLength": 1_500},
    )
    return [
        Operation(
            method="GET",
            path="/v1/songs/search",
            name="search_songs",
            group=_GROUP,
            summary="Find songs by their tags and title",
            description=(
                "Synonyms are understood. Facets count, exactly, the tags of all songs found, not of the page. A "
                "category in `disjunctive` is counted as if none of its tags were asked for."
            ),
            handle=_search,
            parameters=(
                names("tags", 20, "Tags that a song must have.", example="grace,Holy Spirit"),
                choice("match", ("all", "any"), "Whether a song must have all of `tags`, or any.", "all"),
                names("not", 20, "Tags that no song may have."),
                text("q", 200, "Every word must begin a word of the title."),
                cursor,
                whole("limit", 1, 100, 20, "Songs on a page."),
                whole("facets", 0, 100, 10, "Tags shown per category; 0 for no facets."),
                names("categories", 20, "The categories that are counted; all when missing."),
                names("disjunctive", 20, "Categories that are counted without their own filter."),
            ),
            answer=shapes.SongPage,
            example=_EXAMPLE,
            policy="search",
            problems=(NOT_FOUND,),
        )
    ]


def _search(call: Call) -> Reply:
    settings = call.state.settings
    if settings.songs is None:
        raise Problem(NOT_FOUND, "this server searches no songs; start it with --table")
    query = _query(call)
    headers = {"cache-control": f"public, max-age={settings.max_age}"}

    def load() -> "Loaded[Prepared]":
        body = msgspec.json.encode(_as_shown(_found(call.state, query)))
        return Loaded(Prepared(body, Fixed.of(headers)))

    try:
        answer = call.state.cache.get_or_load(_KIND, repr(query), load)
    except BadQuery as error:
        raise invalid(Fault(str(error), parameter="cursor" if isinstance(error, BadCursor) else None)) from None
    return Reply(answer, headers=headers)


def _found(state: State, query: SearchQuery) -> SearchPage:
    settings, songs, index = state.settings, state.songs, state.index
    assert settings.songs is not None, "_search looked"
    if songs is not None and index is not None:
        # A name or a synonym before an id, as in SQL.
        return songs.search(query, lambda text: index.resolve(text) or index.get(text.strip().lower()))
    with state.watching_database():
        return fallback.search(state.database, settings.schema, settings.songs, query)


def _query(call: Call) -> SearchQuery:
    given = call.query
    return SearchQuery(
        tags=given["tags"],
        match=given["match"],
        without=given["not"],
        text=given["q"] or "",
        cursor=given["cursor"],
        limit=given["limit"],
        facets=given["facets"],
        categories=given["categories"],
        disjunctive=given["disjunctive"],
    )


def _as_shown(page: SearchPage) -> shapes.SongPage:
    return shapes.SongPage(
        songs=tuple(
            shapes.Song(hit.key, hit.title, tuple(shapes.SongTag(tag.id, tag.name, tag.category) for tag in hit.tags))
            for hit in page.hits
        ),
        total=page.total,
        next=page.cursor,
        facets=tuple(
            shapes.Facet(
                facet.category,
                facet.songs,
                facet.tag_count,
                tuple(shapes.FacetTag(count.tag.id, count.tag.name, count.songs) for count in facet.tags),
                facet.is_disjunctive,
            )
            for facet in page.facets
        ),
        unknown=page.unknown,
    )
