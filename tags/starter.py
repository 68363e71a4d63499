"""The starter vocabulary: the standard tags of a church-music application and what people type for them.

The data is `starter.csv`, one row per variation, so that a review sees one added claim as one added line. A tag without
variations has one row whose synonym is empty. Variations are what normalisation cannot know: other words, other
languages' loans, nicknames, misspellings. Mere differences of case and spacing never belong in the file.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CATEGORIES = ("theme", "occasion", "liturgical", "mood")
COLUMNS = ["canonical", "category", "color", "synonym"]
MAX_NAME_LENGTH = 50  # characters, as in tags.name and tag_synonyms.synonym

_COLOR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class StarterTag:
    """One standard tag; `synonyms` in the file's order, without the name itself."""

    name: str
    category: str
    color: str
    synonyms: tuple[str, ...]


class MalformedStarterError(ValueError):
    """The starter vocabulary cannot be read; `line` counts from 1, the header included."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"starter.csv, line {line}: {problem}")
        self.line = line
        self.problem = problem


class _Row(NamedTuple):
    line: int
    name: str
    category: str
    color: str
    synonym: str


def load() -> tuple[StarterTag, ...]:
    """Return the vocabulary shipped with the package, in the file's order."""
    with resources.files("tags").joinpath("starter.csv").open("rb") as file:
        return tuple(parse(file))


def parse(lines: Iterable[bytes]) -> Iterator[StarterTag]:
    """Yield the tags of a UTF-8 csv as its lines arrive; raise MalformedStarterError at the first line that is wrong.

    Guaranteed for what is yielded: categories and colors are valid, names fit `MAX_NAME_LENGTH`, and no two names
    so far, canonical or not, are equal after case folding and white-space folding.
    """
    claims: dict[str, _Row] = {}
    for name, group in groupby(_read(lines), key=lambda row: row.name):
        first, *others = rows = list(group)
        earlier = claims.get(_fold(name))
        if earlier and earlier.name == name:
            raise MalformedStarterError(
                first.line, f"the rows of {name!r} began in line {earlier.line}; keep them together"
            )
        _claim(claims, name, first)
        for row in others:
            if (row.category, row.color) != (first.category, first.color):
                raise MalformedStarterError(
                    row.line,
                    f"{name!r} has another category or color than in line {first.line}; one tag has one of each",
                )
            if not (first.synonym and row.synonym):
                raise MalformedStarterError(row.line, f"a row with an empty synonym must be the only one of {name!r}")
        synonyms = tuple(row.synonym for row in rows if row.synonym)
        for row in rows:
            if row.synonym:
                _claim(claims, row.synonym, row)
        yield StarterTag(name, first.category, first.color, synonyms)


def _claim(claims: dict[str, _Row], name: str, row: _Row) -> None:
    """Record that `name` means the tag of `row`; nothing else in the file may say so."""
    key = _fold(name)
    if earlier := claims.get(key):
        raise MalformedStarterError(row.line, f"{name!r} already means {earlier.name!r} since line {earlier.line}")
    claims[key] = row


def _fold(name: str) -> str:
    return " ".join(name.casefold().split())


def _read(lines: Iterable[bytes]) -> Iterator[_Row]:
    """Check what one row can tell by itself."""
    reader = csv.reader(_decode(lines), strict=True)
    try:
        header = next(reader, None)
        if header != COLUMNS:
            raise MalformedStarterError(1, f"expected the header {','.join(COLUMNS)}, found {header}")
        for cells in reader:
            line = reader.line_num
            if len(cells) != len(COLUMNS):
                raise MalformedStarterError(line, f"expected {len(COLUMNS)} columns, found {len(cells)}")
            row = _Row(line, *cells)
            _check(row)
            yield row
    except csv.Error as error:
        raise MalformedStarterError(reader.line_num, f"not valid csv: {error}") from error


def _decode(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedStarterError(number, "not valid UTF-8") from error


def _check(row: _Row) -> None:
    if not row.name:
        raise MalformedStarterError(row.line, "the canonical name is empty")
    if row.category not in CATEGORIES:
        raise MalformedStarterError(
            row.line, f"unknown category {row.category!r}, expected one of {', '.join(CATEGORIES)}"
        )
    if not _COLOR.fullmatch(row.color):
        raise MalformedStarterError(row.line, f"color {row.color!r} is not of the form #rrggbb in lower case")
    for name in (row.name, row.synonym):
        if name != " ".join(name.split()):
            raise MalformedStarterError(row.line, f"{name!r} has stray white space")
        if len(name) > MAX_NAME_LENGTH:
            raise MalformedStarterError(row.line, f"{name!r} has {len(name)} characters, at most {MAX_NAME_LENGTH} fit")
