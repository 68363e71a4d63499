"""The starter vocabulary: what its data promises, and what its reader refuses."""

from __future__ import annotations

import colorsys
import re
import unicodedata
from collections import Counter
from dataclasses import FrozenInstanceError
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tags.normalise import normalise
from tags.starter import CATEGORIES, MAX_NAME_LENGTH, MalformedStarterError, StarterTag, load, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

TAGS = load()
HEADER = "canonical,category,color,synonym\n"
PRAISE = "Praise,theme,#17568c,Praises\n"


def names(tag: StarterTag) -> tuple[str, ...]:
    """Return the canonical name and the variations."""
    return (tag.name, *tag.synonyms)


def read(text: str) -> list[StarterTag]:
    """Parse a whole file."""
    return list(parse(text.encode().splitlines(keepends=True)))


def owner() -> dict[str, str]:
    """Return the canonical name of each normalised name."""
    return {normalise(name): tag.name for tag in TAGS for name in names(tag)}


def test_size() -> None:
    """The vocabulary has at least 50 canonical tags and 320 variations."""
    assert len(TAGS) >= 50
    assert sum(len(tag.synonyms) for tag in TAGS) >= 320


def test_categories() -> None:
    """The four categories are theme, occasion, liturgical and mood; each has at least 15 tags and no other exists."""
    count = Counter(tag.category for tag in TAGS)
    assert CATEGORIES == ("theme", "occasion", "liturgical", "mood")
    assert set(count) == set(CATEGORIES)
    assert min(count.values()) >= 15


def test_no_name_has_two_meanings() -> None:
    """The normal forms, which the database keeps unique, of all canonical names and variations differ."""
    count = Counter(normalise(name) for tag in TAGS for name in names(tag))
    assert [name for name, times in count.items() if times > 1] == []
    assert "" not in count


def test_names_fit_their_columns() -> None:
    """Every name is trimmed, printable and at most 50 characters long."""
    everything = [name for tag in TAGS for name in names(tag)]
    assert [
        name for name in everything if len(name) > MAX_NAME_LENGTH or not name.isprintable() or name != name.strip()
    ] == []


def test_names_are_composed() -> None:
    """Every name is stored in composed form (NFC)."""
    assert [name for tag in TAGS for name in names(tag) if not unicodedata.is_normalized("NFC", name)] == []


def test_both_apostrophes() -> None:
    """Every name with a straight apostrophe has its curly twin on the same tag, and the reverse."""
    for tag in TAGS:
        straight = {name for name in names(tag) if "'" in name}
        curly = {name for name in names(tag) if "’" in name}
        assert {name.replace("'", "’") for name in straight} == curly


def test_one_color_family_per_category() -> None:
    """Hues of one category lie within 40 degrees, and the categories' ranges do not overlap."""
    ranges = []
    for category in CATEGORIES:
        colors = [tag.color for tag in TAGS if tag.category == category]
        hues = [colorsys.rgb_to_hls(*(byte / 255 for byte in bytes.fromhex(color[1:])))[0] * 360 for color in colors]
        ranges.append((min(hues), max(hues)))
        assert max(hues) - min(hues) <= 40
    ranges.sort()
    assert all(left[1] < right[0] for left, right in pairwise(ranges))


def test_white_text_is_readable_on_every_color() -> None:
    """White on a tag's color reaches WCAG's AA contrast of 4.5."""

    def luminance(color: str) -> float:
        linear = [
            v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
            for v in (b / 255 for b in bytes.fromhex(color[1:]))
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert [tag for tag in TAGS if 1.05 / (luminance(tag.color) + 0.05) < 4.5] == []


def test_order_is_reviewable() -> None:
    """Tags stand by category, then alphabetically; variations alphabetically, so that a diff shows additions only."""
    assert [(tag.category, tag.name) for tag in TAGS] == sorted(
        ((tag.category, tag.name) for tag in TAGS),
        key=lambda pair: (CATEGORIES.index(pair[0]), pair[1].casefold()),
    )
    for tag in TAGS:
        plain = [name.casefold().replace("’", "'") for name in tag.synonyms]
        assert plain == sorted(plain)


@pytest.mark.parametrize(
    ("variation", "canonical"),
    [
        ("Xmas", "Christmas"),
        ("X-mas", "Christmas"),
        ("Noel", "Christmas"),
        ("Noël", "Christmas"),
        ("Nativity", "Christmas"),
        ("Chrismas", "Christmas"),
        ("Thanksgivng", "Thanksgiving"),
        ("Lord's Supper", "Communion"),
        ("Lord’s Supper", "Communion"),
        ("Holy Communion", "Communion"),
        ("Eucharist", "Communion"),
        ("Lord's Table", "Communion"),
        ("HolySpirit", "Holy Spirit"),
        ("Holy Ghost", "Holy Spirit"),
        ("Spirit of God", "Holy Spirit"),
        ("Resurrection Sunday", "Easter"),
        ("Christening", "Baptism"),
        ("Whitsun", "Pentecost"),
    ],
)
def test_known_variations(variation: str, canonical: str) -> None:
    """What worship planners type finds the tag that they mean."""
    assert owner()[normalise(variation)] == canonical


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Advent", "Christmas"),
        ("Christmas", "Christmas Eve"),
        ("Praise", "Worship"),
        ("Easter", "Resurrection"),
        ("Good Friday", "Cross"),
        ("Grace", "Mercy"),
        ("Faith", "Trust"),
        ("Gratitude", "Thanksgiving"),
        ("Love of God", "Love of Christ"),
        ("Trinity", "Trinity Sunday"),
        ("Watch Night", "New Year"),
        ("Repentance", "Confession"),
        ("Ascension", "Second Coming"),
    ],
)
def test_distinct_concepts(one: str, other: str) -> None:
    """Neighbouring concepts are tags of their own."""
    canonical = {tag.name for tag in TAGS}
    assert {one, other} <= canonical


@pytest.mark.parametrize(
    "word", ["pop", "happiness", "hymn", "song", "light", "remembrance", "Passion Sunday", "Spiritual"]
)
def test_ambiguous_words_are_nobodys_variation(word: str) -> None:
    """A word with several meanings, or with another one, is claimed by no tag."""
    assert normalise(word) not in owner()


def test_tags_are_frozen() -> None:
    """A loaded tag cannot be changed by its reader."""
    with pytest.raises(FrozenInstanceError):
        TAGS[0].name = "x"  # type: ignore[misc]


def test_rows_of_a_tag_become_one_value() -> None:
    """The rows of one tag are gathered in the file's order, and an empty synonym means none."""
    text = HEADER + PRAISE + "Praise,theme,#17568c,Praising\nHope,mood,#00573a,\n"
    assert read(text) == [
        StarterTag("Praise", "theme", "#17568c", ("Praises", "Praising")),
        StarterTag("Hope", "mood", "#00573a", ()),
    ]


def test_quoted_names_may_hold_commas() -> None:
    """The format is csv, so a name in quotes may contain a comma."""
    assert read(HEADER + 'Praise,theme,#17568c,"Praise, please"\n')[0].synonyms == ("Praise, please",)


def test_reading_streams() -> None:
    """A tag is yielded as soon as the next one begins, before the rest of the file is read."""

    def lines() -> Iterator[bytes]:
        yield from (HEADER.encode(), PRAISE.encode(), b"Hope,mood,#00573a,Hopes\n")
        pytest.fail("read ahead")

    assert next(parse(lines())).name == "Praise"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "header"),
        ("name,category,color,synonym\n", 1, "header"),
        ("\ufeff" + HEADER, 1, "header"),
        (HEADER + PRAISE + "Praise,theme,#17568c\n", 3, "expected 4 columns, found 3"),
        (HEADER + PRAISE + "\n", 3, "expected 4 columns, found 0"),
        (HEADER + ",theme,#17568c,Praises\n", 2, "empty"),
        (HEADER + "Praise,genre,#17568c,Praises\n", 2, "unknown category 'genre'"),
        (HEADER + "Praise,theme,#17568C,Praises\n", 2, "#rrggbb"),
        (HEADER + "Praise,theme,blue,Praises\n", 2, "#rrggbb"),
        (HEADER + "Praise,theme,#17568c, Praises\n", 2, "stray white space"),
        (HEADER + "Praise  God,theme,#17568c,Praises\n", 2, "stray white space"),
        (HEADER + f"Praise,theme,#17568c,{'x' * 51}\n", 2, "51 characters"),
        (HEADER + PRAISE + "Praise,theme,#17568d,Praising\n", 3, "one tag has one of each"),
        (HEADER + PRAISE + "Praise,mood,#17568c,Praising\n", 3, "one tag has one of each"),
        (HEADER + PRAISE + "Praise,theme,#17568c,\n", 3, "empty synonym"),
        (HEADER + "Praise,theme,#17568c,\n" + PRAISE, 3, "empty synonym"),
        (HEADER + PRAISE + "Praise,theme,#17568c,PRAISES\n", 3, "'PRAISES' already means 'Praise' since line 2"),
        (HEADER + "Praise,theme,#17568c,praise\n", 2, "'praise' already means 'Praise'"),
        (HEADER + PRAISE + "Worship,theme,#17568c,praises\n", 3, "already means 'Praise'"),
        (HEADER + PRAISE + "Worship,theme,#17568c,Praise\n", 3, "already means 'Praise'"),
        (HEADER + PRAISE + "Praises,theme,#17568c,\n", 3, "already means 'Praise'"),
        (HEADER + PRAISE + "Hope,mood,#00573a,\n" + "Praise,theme,#17568c,Praising\n", 4, "keep them together"),
        (HEADER + PRAISE + 'Praise,theme,#17568c,"Praising\n', 3, "not valid csv"),
    ],
)
def test_malformed_file(text: str, line: int, problem: str) -> None:
    """A malformed file is refused with the line and the problem."""
    with pytest.raises(MalformedStarterError, match=re.escape(problem)) as caught:
        read(text)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"starter.csv, line {line}: ")


def test_file_that_is_not_utf8() -> None:
    """Bytes that are not UTF-8 are refused with their line."""
    with pytest.raises(MalformedStarterError, match="not valid UTF-8") as caught:
        list(parse([HEADER.encode(), PRAISE.encode(), b"No\xebl,theme,#17568c,\n"]))
    assert caught.value.line == 3
