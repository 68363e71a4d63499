"""The facets of a search: which tags and categories the songs found have, and on how many of them they are."""

from collections.abc import Callable, Iterator

import numpy as np

from service.search.counting import Counts, count_tags, highest, merged
from service.search.plan import Filter, Plan
from service.search.query import Facet, SearchQuery, TagCount
from service.search.tag_table import HIDDEN
from service.search.view import View


def count_facets(view: View, plan: Plan, query: SearchQuery) -> tuple[Facet, ...]:
    """Count what a query asks for; a disjunctive category in the songs that are found without its own tags."""
    if query.facets == 0:
        return ()
    asked = plan.found, tuple(plan.others.items()), query.facets, query.categories, query.disjunctive
    facets: tuple[Facet, ...] | None = view.kept.get(asked)
    if facets is None:
        found = list(_count(view, plan.found, query, lambda category: category not in plan.others))
        for own, others in plan.others.items():
            found += _count(view, others, query, own.__eq__)
        facets = tuple(sorted(found, key=lambda facet: facet.category))
        # All tags of very many songs are too much to keep.
        if query.facets is not None:
            view.kept.put(asked, facets)
    return facets


def _count(view: View, wanted: Filter, query: SearchQuery, is_counted: Callable[[str], bool]) -> Iterator[Facet]:
    found = view.find(wanted)
    tags, songs = merged(count_tags(view.base, found[0]), count_tags(view.delta, found[1]))
    category_of = view.tags.category_of.take(tags)
    for number in np.flatnonzero(np.bincount(category_of[category_of != HIDDEN])).tolist():
        category = view.tags.categories[number]
        if is_counted(category) and (not query.categories or category in query.categories):
            places = np.flatnonzero(category_of == number)
            both = zip(found, view.songs_in_category(number), strict=True)
            yield Facet(
                category=category,
                songs=sum(some.intersection_cardinality(its) for some, its in both),
                tag_count=len(places),
                tags=_shown(view, (tags.take(places), songs.take(places)), query.facets),
                is_disjunctive=category in query.disjunctive,
            )


def _shown(view: View, counts: Counts, top: int | None) -> tuple[TagCount, ...]:
    places = highest(counts, view.tags.ranks(counts[0]), top)
    shown = zip(counts[0][places].tolist(), counts[1][places].tolist(), strict=True)
    return ordered(TagCount(view.tags.label(tag), songs) for tag, songs in shown)


def ordered(counts: Iterator[TagCount]) -> tuple[TagCount, ...]:
    """Return a facet's tags as they are shown: those on the most songs first, equal ones by name."""
    return tuple(sorted(counts, key=lambda count: (-count.songs, count.tag.name, count.tag.id)))
