"""The words of a title are the same for a query, for the index and for PostgreSQL."""

from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.search import word_index
from service.search.texts import Texts
from service.search.words import TitleReader, pattern, words
from tests.search.world import TITLES

#: Letters with marks, ligatures, spaces of all kinds, joiners, digits, punctuation, and anything else.
CHARACTERS = st.one_of(
    st.sampled_from(
        "aZéßſΣςİı ﬁ½ａ ,.'’-—_/(){}[]^\\|*+?$#&@\t\n\x0b\x1c\x1f\x85\xa0\xad\u180e\u200b\u200d\u2009\u3000\ufeff0１٣क्षि한\u0301\u0308¨´"
    ),
    st.characters(exclude_categories=("Cs", "Cn", "Co"), exclude_characters="\0"),
)
TEXTS = st.text(CHARACTERS, max_size=25)


@given(st.lists(TEXTS, max_size=5))
def test_titles_are_read_like_queries(titles: list[str]) -> None:
    """The fast ways give the words that the slow one gives, also with parts that were read before."""
    reader = TitleReader()

    assert [words(title) for title in titles] == [
        [word.decode() for word in reader.words(title.encode())] for title in titles
    ]


@pytest.mark.parametrize("title", [title for title in TITLES if title is not None])
def test_known_titles_are_read_like_queries(title: str) -> None:
    """So do titles that are long or in other scripts."""
    assert words(title) == [word.decode() for word in TitleReader().words(title.encode())]


def test_words() -> None:
    """Letters, digits and marks make words; everything else parts them."""
    assert ["10", "000", "reasons", "bless", "the", "lord"] == words("10,000 Reasons (Bless the Lord)")
    assert ["don", "t", "stop"] == words("Don’t—Stop")
    assert ["नमस्ते", "प्रभु"] == words("नमस्ते प्रभु")
    assert ["strasse", "grace"] == words("STRASSE　Ｇｒａｃｅ")
    assert [] == words("!? … ♪")


@pytest.mark.system
def test_postgresql_sees_the_same_words(connection: psycopg.Connection[Any]) -> None:
    """A word's pattern matches exactly the titles in which the word begins a word."""

    @settings(max_examples=60)
    @given(st.lists(TEXTS, min_size=1, max_size=8), TEXTS)
    def run(titles: list[str], text: str) -> None:
        begins = {begin for word in [*words(text), *words(titles[0])] for begin in (word, word[:1])}
        for begin in begins:
            row = connection.execute(
                'SELECT array_agg(segue.normalise_tag(title) COLLATE "C" ~ %s ORDER BY place)'
                " FROM unnest(%s::text[]) WITH ORDINALITY AS t (title, place)",
                [pattern(begin), titles],
            ).fetchone()
            assert row is not None
            assert [any(word.startswith(begin) for word in words(title)) for title in titles] == row[0]

    run()


@pytest.mark.parametrize("many", [0, 2_048])
def test_beginnings_of_words(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The songs of a beginning are the same whether they are kept or found anew, first and second time."""
    monkeypatch.setattr(word_index, "_MANY", many)
    index = word_index.WordIndex(Texts.of([b"Grace upon grace", b"gra\xc3\xa7a", b"\0", b"", "ÅNGST g".encode()]))

    for _ in range(2):
        assert [{0, 1, 4}, {0, 1}, {0}, {1}, {4}, set(), {0}] == [
            set(index.beginning_with(text)) for text in ("g", "gra", "grac", "graç", "ång", "z", "upon")
        ]
