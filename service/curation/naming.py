"""What a name may be, and what it means already: names of tags, synonyms and banned names are one set."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from service.curation.errors import InvalidCategory, InvalidColor, InvalidName, NameBanned, NameIsSynonym, NameTaken
from service.curation.reading import names
from sql.database import Row, Transaction
from sql.errors import DatabaseError
from tags.normalise import forms
from tags.starter import CATEGORIES

_COLOR = re.compile(r"#[0-9a-f]{6}")

#: SQLSTATEs of a violated CHECK, and of a text that is too long for its column.
_REFUSED_VALUE = {"23514", "22001"}


@dataclass(frozen=True, slots=True)
class Name:
    """A text that can be a name: as people see it, and as names are compared."""

    cleaned: str
    normalized: str


def name_of(tag: Mapping[str, Any]) -> Name:
    """Return the name of a tag's row, or of its image."""
    return Name(tag["name"], tag["normalized"] if "normalized" in tag else tag["normalized_name"])


def parse_name(text: str) -> Name:
    """Return a text in both forms.

    Raises:
        InvalidName: it is blank, too long, or has characters that no name has.
    """
    cleaned, normalized, problem = forms(text)
    if problem is not None:
        raise InvalidName(text, problem)
    if not normalized:
        raise InvalidName(text, "it is blank")
    return Name(cleaned, normalized)


def require_free(transaction: Transaction, schema: str, name: Name, *, of_tag: str | None = None) -> list[Row]:
    """Refuse a name that another tag has, that is banned, or that is a synonym of another tag.

    Returns:
        The tag's own synonyms of that name, as `synonyms_of_text` does: no longer wanted once it is a tag's name.

    Raises:
        NameTaken, NameBanned, NameIsSynonym: who has it.
    """
    for row in meanings(transaction, schema, name):
        if row["tag_id"] == of_tag:
            continue
        if row["kind"] == "tag":
            raise NameTaken(name.cleaned, row["tag_id"], row["name"])
        raise NameBanned(name.cleaned, row["name"])
    synonyms = synonyms_of_text(transaction, schema, name)
    for row in synonyms:
        if row["tag_id"] != of_tag:
            raise NameIsSynonym(name.cleaned, row["tag_id"], row["name"])
    return synonyms


def delete_synonyms(transaction: Transaction, schema: str, synonyms: list[Row]) -> None:
    """Delete what `require_free` or `synonyms_of_text` returned."""
    for row in synonyms:
        transaction.run("curation.delete_synonym", names(schema), id=row["id"], tag_id=row["tag_id"])


def meanings(transaction: Transaction, schema: str, name: Name) -> list[Row]:
    """Return the tags and bans of a name: kind, tag_id, and the tag's name or the ban's reason."""
    return transaction.all("curation.find_name", names(schema), cleaned=name.cleaned, normalized=name.normalized)


def synonyms_of_text(transaction: Transaction, schema: str, name: Name) -> list[Row]:
    """Return the synonyms that a text is: id, image, and tag_id and name of the tag."""
    return transaction.all("curation.find_synonym", names(schema), normalized=name.normalized)


def parse_color(color: str | None) -> str | None:
    """Return a color in lower case.

    Raises:
        InvalidColor: it is not of the form #rrggbb.
    """
    if color is None:
        return None
    if not _COLOR.fullmatch(color.lower()):
        raise InvalidColor(color)
    return color.lower()


def require_category(transaction: Transaction, category: str) -> None:
    """Refuse a category that Segue's own table would; an application's table has its own rules, and says so itself.

    Raises:
        InvalidCategory: the ones that exist.
    """
    if transaction.one("curation.has_own_rules")["found"]:
        if not category.strip() or len(category) > 50 or "\0" in category:
            raise InvalidCategory(category, ())
    elif category not in CATEGORIES:
        raise InvalidCategory(category, CATEGORIES)


@contextmanager
def obeying_rules(transaction: Transaction, category: str) -> Iterator[None]:
    """Turn the table's refusal of a category into ours.

    Raises:
        InvalidCategory: the table of tags refuses it.
    """
    try:
        with transaction.savepoint():
            yield
    except DatabaseError as error:
        if error.sqlstate not in _REFUSED_VALUE:
            raise
        raise InvalidCategory(category, ()) from error
