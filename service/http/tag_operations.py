"""Reading tags: suggestions, the popular ones, one, and all."""

from typing import Any, Final
from urllib.parse import quote as quoted

import msgspec

from cache import Loaded
from service.curation.errors import MergedTag, UnknownTag
from service.curation.reading import list_tags, read_tag
from service.curation.tag import CuratedTag
from service.freshness.served import tag_label
from service.http.answers import PARAMETERS, Answers
from service.http.autocomplete import PATH
from service.http.cursors import cursor_parameter, encoded
from service.http.operations import TAG_ID, Call, Operation, Reply
from service.http.parameters import text, whole
from service.http.problems import NOT_FOUND, UNAVAILABLE, Problem
from service.http.shapes import Suggestions, Tag, TagList, TagPage
from service.state import State
from service.suggest.tag import Tag as IndexedTag

_GROUP: Final = "Tags"
_PURPOSE: Final = "tags"

_EXAMPLE_TAG: Final[dict[str, Any]] = {
    "id": "0b8f6f3c-52d5-4a3e-9e0c-6d2f2f8f7a01",
    "name": "Holy Spirit",
    "normalized_name": "holy spirit",
    "category": "theme",
    "color": "#4a90d9",
    "usage_count": 1834,
    "is_standard": True,
    "synonyms": ["holy ghost", "paraclete"],
}
_EXAMPLE_ANSWER: Final[dict[str, Any]] = {
    "suggestions": [
        {
            "type": "words",
            "id": _EXAMPLE_TAG["id"],
            "name": "Holy Spirit",
            "category": "theme",
            "color": "#4a90d9",
            "usage_count": 1834,
            "antecedent": None,
            "match": [[0, 2], [5, 7]],
        }
    ],
    "create": {"name": "ho sp", "is_possible": True, "reason": None, "near": []},
}


def operations(answers: Answers, max_age: int) -> list[Operation]:
    """Return the operations; `max_age` is how many seconds others may keep their answers."""
    cached = {"cache-control": f"public, max-age={max_age}"}

    def autocomplete(call: Call) -> Reply:
        return Reply(answers.find(call.raw_query).body, headers=cached)

    def popular(call: Call) -> Reply:
        found = _index(call.state).popular(call.query["limit"], call.query["category"])
        return Reply(TagList(tuple(map(of_index, found))), headers=cached)

    def known_tag(call: Call) -> Reply | None:
        index = call.state.index
        found = index.get(call.path["id"]) if index else None
        return Reply(of_index(found), headers=cached) if found else None

    def tag(call: Call) -> Reply:
        found = call.state.cache.get_or_load("tags", call.path["id"], lambda: _read(call.state, call.path["id"]))
        if found is None:
            raise UnknownTag(call.path["id"])
        tag_id, body = found
        return Reply(body, headers={**cached, "content-location": f"/v1/tags/{tag_id}"})

    def page(call: Call) -> Reply:
        limit, category = call.query["limit"], call.query["category"]
        after = call.query["cursor"]
        with call.state.transaction() as transaction:
            found = list_tags(
                transaction,
                call.state.settings.schema,
                after=(after[0], after[1]) if after else None,
                limit=limit + 1,
                category=category,
            )
        shown, rest = found[:limit], found[limit:]
        following = encoded(_PURPOSE, shown[-1].normalized, shown[-1].id) if rest else None
        headers = {**cached}
        if following:
            chosen = f"&category={quoted(category)}" if category else ""
            headers["link"] = f'</v1/tags?cursor={following}&limit={limit}{chosen}>; rel="next"'
        return Reply(TagPage(tuple(map(of_curated, shown)), following), headers=headers)

    category = text("category", 50, "Only tags of this category.", example="theme")
    return [
        Operation(
            method="GET",
            path=PATH,
            name="autocomplete",
            group=_GROUP,
            summary="Suggest tags for what was typed so far",
            description=(
                "Bands, best first: exact, prefix, word, words (the beginnings of words in any order), synonym, "
                "initials, typo; inside a band the more used tag comes first. No tag comes twice."
            ),
            handle=autocomplete,
            is_blocking=False,
            parameters=PARAMETERS,
            answer=Suggestions,
            example=_EXAMPLE_ANSWER,
            policy="autocomplete",
        ),
        Operation(
            method="GET",
            path="/v1/tags/popular",
            name="popular_tags",
            group=_GROUP,
            summary="The most used tags",
            handle=popular,
            is_blocking=False,
            parameters=(whole("limit", 1, 100, 20, "How many at most."), category),
            answer=TagList,
            example={"tags": [_EXAMPLE_TAG]},
        ),
        Operation(
            method="GET",
            path="/v1/tags/{id}",
            name="tag",
            group=_GROUP,
            summary="One tag",
            description=(
                "The id of a merged tag still answers: with the tag that it became, whose address is in "
                "Content-Location."
            ),
            quick=known_tag,
            handle=tag,
            path_parameters=TAG_ID,
            answer=Tag,
            example=_EXAMPLE_TAG,
            problems=(NOT_FOUND,),
        ),
        Operation(
            method="GET",
            path="/v1/tags",
            name="tags",
            group=_GROUP,
            summary="All tags, page by page",
            description="In the order of their normalised names. `next`, also in the Link header, leads on.",
            handle=page,
            parameters=(
                cursor_parameter(_PURPOSE, str, str),
                whole("limit", 1, 1_000, 100, "Tags on a page."),
                category,
            ),
            answer=TagPage,
            example={"tags": [_EXAMPLE_TAG], "next": None},
        ),
    ]


def _read(state: State, asked_id: str) -> Loaded[tuple[str, bytes]]:
    """Read what became of a tag that the index does not have: its id now and its JSON, or nothing."""
    schema = state.settings.schema
    with state.transaction() as transaction:
        try:
            found = read_tag(transaction, schema, asked_id)
        except MergedTag as merged:
            # Not a redirect: a browser would keep it, and a merge can be undone.
            found = read_tag(transaction, schema, merged.merged_into)
        except UnknownTag:
            return Loaded(None, (tag_label(asked_id),))
    labels = (tag_label(asked_id), tag_label(found.id))
    if found.is_banned:
        return Loaded(None, labels)
    return Loaded((found.id, msgspec.json.encode(of_curated(found))), labels)


def of_index(tag: IndexedTag) -> Tag:
    """Return a tag of the index as it is written."""
    return Tag(
        tag.id, tag.name, tag.normalized, tag.category, tag.color, tag.usage_count, tag.is_standard, tag.synonyms
    )


def of_curated(tag: CuratedTag) -> Tag:
    """Return a tag of the database as it is written."""
    return Tag(
        tag.id, tag.name, tag.normalized, tag.category, tag.color, tag.usage_count, tag.is_standard, tag.synonyms
    )


def _index(state: State) -> Any:
    if state.index is None:
        raise Problem(UNAVAILABLE, "the index is not loaded yet", headers=[("retry-after", "1")])
    return state.index
