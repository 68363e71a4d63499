"""A query with its tags looked up: which songs it means, for the index and for SQL alike."""

from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Final

from service.search.query import Resolve, SearchQuery
from service.search.words import words


@dataclass(frozen=True, slots=True)
class Filter:
    """Which songs are meant.

    Attributes:
        wanted: ids of tags; empty asks for none.
        is_any: one of them is enough.
        unwanted: ids of tags that a song may not have.
        words: normalised; each begins a word of the title. None begins another one of them.
        is_impossible: no song is meant.
    """

    wanted: tuple[str, ...] = ()
    is_any: bool = False
    unwanted: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    is_impossible: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a query means.

    Attributes:
        found: the songs that it finds.
        others: by disjunctive category the songs that its tags are counted in, where those are others than `found`.
        unknown: what is no tag.
    """

    found: Filter
    others: dict[str, Filter]
    unknown: tuple[str, ...]


_NOTHING: Final = Filter(is_impossible=True)


def plan(query: SearchQuery, resolve: Resolve) -> Plan:
    """Look the tags of a query up."""
    meant = {text: resolve(text) for text in (*query.tags, *query.without)}
    unknown = tuple(text for text, tag in meant.items() if tag is None)
    wanted = {tag.id: tag.category for text in query.tags if (tag := meant[text]) is not None}
    is_any = query.match == "any"
    found = Filter(
        wanted=tuple(sorted(wanted)),
        is_any=is_any,
        unwanted=tuple(sorted({tag.id for text in query.without if (tag := meant[text]) is not None})),
        words=_longest(words(query.text)),
    )
    others = {
        category: replace(found, wanted=tuple(id_ for id_ in found.wanted if wanted[id_] != category))
        for category in query.disjunctive
        if category in wanted.values()
    }
    is_missing = any(meant[text] is None for text in query.tags)
    if is_missing and not is_any:
        return Plan(_NOTHING, dict.fromkeys(others, _NOTHING), unknown)
    if query.tags and not wanted:
        return Plan(_NOTHING, {}, unknown)
    return Plan(found, others, unknown)


def _longest(found: list[str]) -> tuple[str, ...]:
    """Leave out words that begin another one: what has that has them too."""
    ordered = sorted(set(found))
    return tuple(
        word for word, next_one in zip_longest(ordered, ordered[1:], fillvalue="") if not next_one.startswith(word)
    )
