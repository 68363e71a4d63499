"""How many songs of a set have each tag, exactly: by the way that is cheapest for the set's size."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.search.bitmaps import numbers
from service.search.segment import Segment

#: Tags, and how many songs have each; a tag without a song is left out.
Counts = tuple[NDArray[np.int64], NDArray[np.int64]]

#: Meeting one tag's bitmap takes as long as walking over so many cells of rows.
CELLS_PER_MEETING: Final = 2_000


def count_tags(segment: Segment, found: BitMap, cells_per_meeting: int = CELLS_PER_MEETING) -> Counts:
    """Count the tags of some of a segment's songs.

    - More than half of all songs: the others are counted, and taken from what is known of all.
    - Few tags and many songs: the set meets each tag's bitmap.
    - Else all tags of the songs are walked over.
    """
    if 2 * len(found) > len(segment):
        others = count_tags(segment, segment.everything - found, cells_per_meeting)
        sizes = segment.tag_sizes.copy()
        sizes[np.searchsorted(segment.tags, others[0])] -= others[1]
        return _present(segment.tags, sizes)
    if len(segment.tags) * cells_per_meeting < len(found) * segment.row_width:
        met = map(found.intersection_cardinality, map(segment.songs_with, segment.tags.tolist()))
        return _present(segment.tags, np.fromiter(met, np.int64, len(segment.tags)))
    return _tally(segment.links_of(numbers(found)), segment.tag_limit)


def merged(one: Counts, other: Counts) -> Counts:
    """Add counts up."""
    if not len(one[0]) or not len(other[0]):
        return one if len(one[0]) else other
    tags = np.concatenate((one[0], other[0]))
    order = np.argsort(tags, kind="stable")
    tags = tags[order]
    firsts = np.flatnonzero(np.append(True, tags[1:] != tags[:-1]))
    return tags[firsts], np.add.reduceat(np.concatenate((one[1], other[1]))[order], firsts)


def highest(counts: Counts, ranks: NDArray[np.int64], top: int | None) -> NDArray[np.int64]:
    """Return the places of the `top` highest counts, in no order; of equal ones the lowest ranks."""
    if top is None or top >= len(ranks):
        return np.arange(len(ranks))
    if top == 0:
        return np.empty(0, np.int64)
    least = np.partition(counts[1], len(ranks) - top)[len(ranks) - top]
    above = np.flatnonzero(counts[1] > least)
    equal = np.flatnonzero(counts[1] == least)
    room = top - len(above)
    if room < len(equal):
        equal = equal[np.argpartition(ranks[equal], room - 1)[:room]]
    return np.concatenate((above, equal))


def _present(tags: NDArray[np.int64], counts: NDArray[np.int64]) -> Counts:
    places = np.flatnonzero(counts)
    return tags.take(places), counts.take(places)


def _tally(tags: NDArray[np.int32], limit: int) -> Counts:
    """Count tags below a limit; what is not below it is none."""
    if 4 * len(tags) > limit:
        counts = np.bincount(tags, minlength=limit)[:limit]
        present = np.flatnonzero(counts)
        return present, counts.take(present)
    # Few links to very many tags: sorting them costs less than a counter for each tag.
    ordered = np.sort(tags)
    ordered = ordered[: np.searchsorted(ordered, limit)]
    firsts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ordered) else np.empty(0, np.int64)
    return ordered[firsts].astype(np.int64), np.diff(np.append(firsts, len(ordered)))
