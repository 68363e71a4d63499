"""The sample hymns: real songs whose themes hold every kind of mess that a migration meets."""

from __future__ import annotations

import json
import re
import unicodedata
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rapidfuzz import fuzz

from tags.normalise import normalise
from tags.starter import load

FILE = Path(__file__).parents[2] / "docs" / "samples" / "hymns.jsonl"
HYMNS: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
ELEMENTS: list[str] = [e for hymn in HYMNS for e in hymn["themes"] or [] if e is not None]
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "hymns.segue.example")


MEANING = {normalise(name): tag.name for tag in load() for name in (tag.name, *tag.synonyms)}


def meanings(hymn: dict[str, Any]) -> list[str | None]:
    """Return the canonical name of each element, None for what is not in the vocabulary."""
    return [MEANING.get(normalise(element)) for element in hymn["themes"] or [] if element is not None]


def test_size() -> None:
    """There are at least 330 hymns, three to four themes each on average."""
    assert len(HYMNS) >= 330
    assert 3 <= sum(len(hymn["themes"] or []) for hymn in HYMNS) / len(HYMNS) <= 4


def test_shape() -> None:
    """Every line has id, title and themes (perhaps null), may have author, translator and year, and nothing else."""
    for hymn in HYMNS:
        assert {"id", "title", "themes"} <= set(hymn) <= {"id", "title", "author", "translator", "year", "themes"}
        assert hymn["themes"] is None or all(element is None or isinstance(element, str) for element in hymn["themes"])


def test_ids() -> None:
    """Ids are unique, and each is the uuid5 of its title, so they are the same whenever the file is made again."""
    assert [hymn["id"] for hymn in HYMNS] == [str(uuid.uuid5(NAMESPACE, hymn["title"])) for hymn in HYMNS]
    assert len({hymn["id"] for hymn in HYMNS}) == len(HYMNS)


def test_titles() -> None:
    """Titles are trimmed and unique, letter case and punctuation aside."""
    count = Counter(re.sub(r"\W+", " ", hymn["title"].casefold()).strip() for hymn in HYMNS)
    assert [title for title, times in count.items() if times > 1] == []
    assert all(hymn["title"] == hymn["title"].strip() != "" for hymn in HYMNS)


def test_public_domain() -> None:
    """Every year given lies before 1925, and most hymns have an author and a year."""
    assert [hymn["title"] for hymn in HYMNS if not 1500 <= hymn.get("year", 1719) < 1925] == []
    assert sum("author" in hymn for hymn in HYMNS) > 0.9 * len(HYMNS)
    assert sum("year" in hymn for hymn in HYMNS) > 0.7 * len(HYMNS)


def test_null_and_empty_arrays() -> None:
    """About five per cent of the hymns have no array at all, and about three per cent an empty one."""
    assert sum(hymn["themes"] is None for hymn in HYMNS) / len(HYMNS) == pytest.approx(0.05, abs=0.01)
    assert sum(hymn["themes"] == [] for hymn in HYMNS) / len(HYMNS) == pytest.approx(0.03, abs=0.01)


def test_null_elements() -> None:
    """Some arrays have null elements."""
    assert sum(element is None for hymn in HYMNS for element in hymn["themes"] or []) >= 3


@pytest.mark.parametrize("blank", ["", "  ", "\u00a0"])
def test_blank_elements(blank: str) -> None:
    """Empty, white and NBSP-only elements occur."""
    assert blank in ELEMENTS


def test_every_case() -> None:
    """One tag is written in capitals, in small letters and as a name."""
    assert {"CHRISTMAS", "christmas", "Christmas"} <= set(ELEMENTS)
    assert sum(element.isupper() and MEANING.get(normalise(element)) is not None for element in ELEMENTS) >= 20
    assert sum(element.islower() and MEANING.get(normalise(element)) is not None for element in ELEMENTS) >= 50


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"^ +\S", id="leading space"),
        pytest.param(r"\S +$", id="trailing space"),
        pytest.param(r"\S  +\S", id="double space"),
        pytest.param(r"\S.*\t|\t.*\S", id="tab"),
        pytest.param(r"\S\n", id="newline"),
        pytest.param("\u00a0.*\\S|\\S.*\u00a0", id="no-break space"),
        pytest.param("[\u200b\u200d\u2060]", id="zero width"),
        pytest.param("\ufeff", id="byte order mark"),
        pytest.param("[\uff21-\uff5a]", id="full width"),
        pytest.param("[\u0300-\u036f]", id="decomposed accent"),
        pytest.param("[äöüéèë]", id="composed accent"),
        pytest.param("’", id="curly apostrophe"),
        pytest.param("[\uac00-\ud7a3]", id="hangul"),
        pytest.param("[\u4e00-\u9fff]", id="han"),
        pytest.param("[\U0001f300-\U0001faff]", id="emoji"),
        pytest.param("\ufe0f", id="emoji with a variation selector"),
        pytest.param(r"\w, ?\w", id="comma"),
        pytest.param("\u0007", id="control character"),
    ],
)
def test_mess(pattern: str) -> None:
    """This kind of mess occurs."""
    assert [element for element in ELEMENTS if re.search(pattern, element)]


def test_messy_forms_of_known_tags() -> None:
    """Normalising turns NBSP, outer invisible characters, full-width letters and decomposed accents into known tags."""
    messy = [
        e for e in ELEMENTS if re.search("[\u00a0\u200b\u200d\u2060\ufeff\uff21-\uff5a\u0300-\u036f]", e) and e.strip()
    ]
    assert sum(normalise(element) in MEANING for element in messy) >= 20


def test_duplicates() -> None:
    """Some arrays hold the same text twice."""
    assert sum(max(Counter(hymn["themes"]).values()) > 1 for hymn in HYMNS if hymn["themes"]) >= 5


def test_synonyms_in_one_array() -> None:
    """Some arrays name one tag in several ways, which become one link."""
    merged = 0
    for hymn in HYMNS:
        texts = {normalise(e): MEANING.get(normalise(e)) for e in hymn["themes"] or [] if e is not None}
        merged += max(Counter(m for m in texts.values() if m).values(), default=0) > 1
    assert merged >= 20


def test_typos_are_left_to_review() -> None:
    """At least 30 different elements are no known name but nearly one, so that they come up as fuzzy suggestions."""
    typos = {
        e
        for e in ELEMENTS
        if normalise(e) not in MEANING and max(fuzz.ratio(normalise(e), known) for known in MEANING) >= 80
    }
    assert {"Chritmas", "Grce", "Thanksgivin"} <= typos
    assert len(typos) >= 30


def test_free_tags() -> None:
    """Tags that are no vocabulary occur, some of them often."""
    count = Counter(element for element in ELEMENTS if normalise(element) not in MEANING)
    assert {"Fanny Crosby", "4-part", "Sacred Harp", "Weihnachten", "성령", "圣诞"} <= set(count)
    assert count["Fanny Crosby"] >= 5


def test_too_long_elements() -> None:
    """A few elements exceed 50 characters however they are trimmed; one only because of its padding."""
    assert 3 <= sum(len(normalise(element)) > 50 for element in ELEMENTS) <= 8
    assert sum(len(element) > 50 >= len(normalise(element)) for element in ELEMENTS) == 1


def test_a_huge_array() -> None:
    """One hymn has more than 100 elements, all about a few tags."""
    [huge] = [hymn for hymn in HYMNS if len(hymn["themes"] or []) > 100]
    assert huge["title"] == "Amazing Grace"
    assert len(set(meanings(huge))) < 20


def test_no_text_postgres_refuses() -> None:
    """No string holds U+0000 or a lone surrogate, which no text column accepts."""
    assert not [e for e in ELEMENTS if re.search("[\0\ud800-\udfff]", e)]


def test_invisible_characters_are_escaped() -> None:
    """In the file itself invisible characters are written as escapes, so that a reader sees them."""
    text = FILE.read_text(encoding="utf-8")
    assert {unicodedata.category(c) for c in text if c not in " \n"} & {"Cc", "Cf", "Zs", "Zl", "Zp", "Mn"} == set()


@pytest.mark.parametrize(
    ("title", "tag"),
    [
        ("Silent Night", "Christmas"),
        ("Hark! The Herald Angels Sing", "Christmas"),
        ("Jesus Christ Is Risen Today", "Easter"),
        ("Bread of the World in Mercy Broken", "Communion"),
        ("Come, Holy Ghost, Our Souls Inspire", "Holy Spirit"),
        ("O Come, O Come, Emmanuel", "Advent"),
        ("When I Survey the Wondrous Cross", "Cross"),
        ("Come, Ye Thankful People, Come", "Harvest"),
    ],
)
def test_themes_fit(title: str, tag: str) -> None:
    """A hymn's themes are about that hymn."""
    [hymn] = [hymn for hymn in HYMNS if hymn["title"] == title]
    assert tag in meanings(hymn)


def test_known_tags_dominate() -> None:
    """At least two thirds of the elements are known tags, and three quarters of the vocabulary's tags are in use."""
    known = [MEANING[normalise(element)] for element in ELEMENTS if normalise(element) in MEANING]
    assert len(known) > len(ELEMENTS) * 2 / 3
    assert len(set(known)) > len(load()) * 3 / 4
