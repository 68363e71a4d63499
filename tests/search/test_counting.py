"""Every way to count gives the same, whatever the sizes are."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from service.search import segment as segment_module
from service.search.counting import count_tags, highest, merged
from service.search.segment import Segment
from service.search.texts import Texts
from service.search.word_index import WordIndex


def make(songs: int, links: set[tuple[int, int]]) -> Segment:
    """Return a segment without titles."""
    titles = Texts.of([b""] * songs)
    pairs = np.array([(song << 32) | tag for song, tag in links], np.int64)
    return Segment(Texts.of(number.to_bytes(4, "big") for number in range(songs)), titles, WordIndex(titles), pairs)


@given(st.data())
def test_ways_to_count_agree(data: st.DataObject) -> None:
    """Walking rows, meeting bitmaps, counting the complement and sorting agree with a plain count."""
    songs = data.draw(st.integers(1, 60))
    tags = data.draw(st.sampled_from((1, 5, 100, 5_000)))
    links = data.draw(st.sets(st.tuples(st.integers(0, songs - 1), st.integers(0, tags - 1)), max_size=200))
    some = make(songs, links)
    found = data.draw(st.sets(st.integers(0, songs - 1)))
    expected = Counter(tag for song, tag in links if song in found)

    for cells_per_meeting in (0, 3, 10**9):
        counted, counts = count_tags(some, BitMap(found), cells_per_meeting)
        assert expected == dict(zip(counted.tolist(), counts.tolist(), strict=True))
        assert sorted(set(counted.tolist())) == counted.tolist()
    assert [sorted(tag for song, tag in links if song == number) for number in range(songs)] == [
        sorted(some.tags_of(number)) for number in range(songs)
    ]
    asked = data.draw(st.sets(st.integers(0, tags)))
    assert {song for song, tag in links if tag in asked} == set(some.songs_with_any(np.array(sorted(asked), np.int64)))


@pytest.mark.parametrize("hot", [1, 10_000])
def test_songs_with_a_tag(hot: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag's songs are the same whether its bitmap was made before or is made now."""
    monkeypatch.setattr(segment_module, "HOT", hot)
    links = {(song, tag) for song in range(100) for tag in range(1, 9, 2) if song % tag == 0}
    some = make(100, links)

    assert [{song for song, its in links if its == tag} for tag in range(10)] == [
        set(some.songs_with(tag)) for tag in range(10)
    ]


@given(st.lists(st.integers(1, 5), max_size=50), st.one_of(st.none(), st.integers(0, 60)), st.randoms())
def test_highest_counts(counts: list[int], top: int | None, random: object) -> None:
    """The highest are the highest; of equal ones those of the lowest rank."""
    ranks = list(range(len(counts)))
    random.shuffle(ranks)  # type: ignore[attr-defined]

    places = highest((np.arange(len(counts)), np.array(counts, np.int64)), np.array(ranks, np.int64), top)

    expected = sorted(range(len(counts)), key=lambda place: (-counts[place], ranks[place]))[:top]
    assert sorted(expected) == sorted(places.tolist())


def test_counts_are_added_up() -> None:
    """Tags of both, of one and of the other."""
    tags, counts = merged((np.array([1, 3]), np.array([10, 20])), (np.array([2, 3, 9]), np.array([1, 2, 3])))

    assert ([1, 2, 3, 9], [10, 1, 22, 3]) == (tags.tolist(), counts.tolist())
