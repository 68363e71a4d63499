"""From a query to an answer."""

import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from service.suggest.creating import IsBanned, find_edited, judge
from service.suggest.explain import explain
from service.suggest.finding import Affinity, Finder
from service.suggest.groups import groups_of
from service.suggest.highlight import Ranges, highlight, highlight_initials, highlight_misspelt
from service.suggest.lookup import resolve
from service.suggest.needle import Needle
from service.suggest.query import Answer, Query, Suggestion
from service.suggest.state import Companions, State
from service.suggest.tag import Tag

#: A companion without a count weighs by its place among so many.
_PLACES: Final = 100


def answer(state: State, query: Query, is_banned: IsBanned | None = None) -> Answer:
    """Answer a query.

    Args:
        state: of the index.
        query: the query.
        is_banned: tells of a normalized name whether it is banned.

    Raises:
        ValueError: the limit is below 1.
    """
    clock = time.perf_counter
    begun = clock()
    looked = look_up(state, query)
    finder, needle = looked.finder, looked.needle
    if finder is None:
        return Answer((), judge(needle, (), (), is_banned), (), state.version, {"normalize": clock() - begun})
    stages = {"normalize": looked.folded_at - begun, "index": looked.written_at - looked.folded_at}
    edited: list[Tag] = []
    if finder.is_fuzzy:
        edited = find_edited(finder.readers, needle)
        stages["fuzzy"] = clock() - looked.written_at
    suggestions = tuple(_suggestions(finder, needle, is_explained=query.explain))
    groups = groups_of(needle, query.context, has_initials=finder.has_initials, is_fuzzy=finder.is_fuzzy)
    return Answer(suggestions, judge(needle, finder.alike, edited, is_banned), groups, state.version, stages)


class Looked(NamedTuple):
    """What looking a query up gave.

    Attributes:
        needle: the query made ready.
        finder: with what was found; None for a blank text.
        folded_at, written_at: when the needle was ready, and when all bands but typing errors were looked through.
    """

    needle: Needle
    finder: Finder | None
    folded_at: float
    written_at: float


def look_up(state: State, query: Query) -> Looked:
    """Find the rows of an answer, all bands; nothing of them is read that the ranking does not need.

    Raises:
        ValueError: the limit is below 1.
    """
    if query.limit < 1:
        raise ValueError(f"limit is {query.limit}; ask for at least 1 suggestion")
    needle = Needle.of(query.text)
    folded = time.perf_counter()
    if not needle.text:
        return Looked(needle, None, folded, folded)
    readers = state.readers(query.category)
    affinity: Affinity = {}
    if query.context:
        chosen = _chosen(state, query.context)
        for reader in readers:
            reader.taken.update(row for tag in chosen if (row := reader.layer.rows.find(tag.id)) is not None)
        affinity = _affinity(chosen, state.companions)
    finder = Finder(readers, needle, query.limit, affinity)
    finder.find_written()
    written = time.perf_counter()
    if finder.may_be_typo:
        finder.find_typos()
    return Looked(needle, finder, folded, written)


def _suggestions(finder: Finder, needle: Needle, *, is_explained: bool) -> Iterator[Suggestion]:
    text, size = needle.text, len(needle.text)
    begun: Ranges = ((0, size),)
    for band, (reader, row, synonym, marks) in finder.found:
        tag = reader.layer.rows.tag(row)
        antecedent = None if synonym < 0 else tag.synonyms[reader.layer.ordinals[synonym]]
        shown = antecedent or tag.name
        if band == "prefix" and shown[:size].lower() == text and shown.isascii():
            ranges = begun  # as `highlight` says, at a fifth of the price
        elif band == "initials":
            ranges = highlight_initials(shown, size)
        elif marks:
            ranges = highlight(shown, marks)
        else:
            ranges = highlight_misspelt(shown, needle.words)
        why = None
        if is_explained:
            together = finder.affinity.get(tag.id)
            why = explain(band, text, tag, antecedent, together[1] if together else None)
        yield Suggestion(tag, band, antecedent, ranges, why)


def _chosen(state: State, context: Iterable[str]) -> list[Tag]:
    chosen = (state.get(item) or resolve(state, item) for item in context)
    return list({tag.id: tag for tag in chosen if tag is not None}.values())


def _affinity(chosen: Iterable[Tag], companions: Companions) -> Affinity:
    """Add up what goes with the chosen tags."""
    weights: dict[str, tuple[int, str]] = {}
    strongest: dict[str, int] = {}
    for tag in chosen:
        for place, companion in enumerate(companions.get(tag.id, ())):
            other, weight = (companion, max(1, _PLACES - place)) if isinstance(companion, str) else companion
            total, name = weights.get(other, (0, tag.name))
            if weight > strongest.get(other, 0):
                strongest[other], name = weight, tag.name
            weights[other] = total + weight, name
    return weights
