"""Whether a text may become a new tag, and which tags it may be a duplicate of."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from service.suggest.folding import HAS_CJK, fold, skeleton
from service.suggest.misspellings import INDEXED
from service.suggest.needle import MOST_WORDS, Needle
from service.suggest.query import Create
from service.suggest.reader import Match, Reader, order_of, tag_of
from service.suggest.tag import Tag
from tags.normalise import forms, normalise

#: So many near-duplicates are named.
_MOST_NEAR: Final = 5

IsBanned = Callable[[str], bool]


class Alike(NamedTuple):
    """A name or a synonym with the skeleton that was asked for.

    Attributes:
        match: its row.
        tag: the row's tag.
        text: the name or the synonym, as stored.
        folded: the same, folded.
    """

    match: Match
    tag: Tag
    text: str
    folded: str

    @property
    def is_name(self) -> bool:
        """Whether it is the tag's name."""
        return self.match[2] < 0


def find_alike(readers: Sequence[Reader], wanted: bytes) -> list[Alike]:
    """Return the names and synonyms that have a skeleton, those of the best tags first, whatever else a query wants."""
    found = []
    for reader in readers:
        for row, synonym in reader.layer.find_alike(wanted):
            if row not in reader.hidden:
                tag = reader.layer.rows.tag(row)
                text = tag.name if synonym < 0 else tag.synonyms[reader.layer.ordinals[synonym]]
                folded = fold(text)
                if skeleton(folded) == wanted:
                    found.append(Alike((reader, row, synonym, ()), tag, text, folded))
    if len(found) > 1:
        found.sort(key=lambda alike: order_of(alike.match))
    return found


def near_duplicates(readers: Sequence[Reader], text: str) -> tuple[Tag, ...]:
    """Return the tags of `find_alike` and then those of `find_edited`, however many match the text."""
    needle = Needle.of(text)
    if not needle.text:
        return ()
    alike = [alike.tag for alike in find_alike(readers, needle.skeleton)]
    return tuple({tag.id: tag for tag in (*alike, *find_edited(readers, needle))}.values())


def judge(needle: Needle, alike: Sequence[Alike], edited: Sequence[Tag], is_banned: IsBanned | None) -> Create | None:
    """Say whether the query may become a tag; None if it is blank.

    Args:
        needle: the query.
        alike: what `find_alike` found.
        edited: the tags of `find_edited`, if they were looked for.
        is_banned: tells of a normalized name whether it is banned.
    """
    name, normalized, reason = forms(needle.typed)
    if not normalized:
        return None
    own = find_own(alike, normalized)
    if own is not None:
        reason = f"there is a tag “{own.tag.name}” already" if own.is_name else f"it is a synonym of “{own.tag.name}”"
    elif reason is None and is_banned is not None and is_banned(normalized):
        reason = "the name is banned"
    if not alike and not edited:
        return Create(name, normalized, reason is None, reason, ())
    near = {tag.id: tag for tag in (*([own.tag] if own else ()), *(each.tag for each in alike), *edited)}
    return Create(name, normalized, reason is None, reason, tuple(near.values())[:_MOST_NEAR])


def find_own(alike: Sequence[Alike], normalized: str) -> Alike | None:
    """Return the name that normalises to a text, or else the synonym."""
    for each in alike:
        if each.is_name and is_named(each.tag, normalized):
            return each
    return next((each for each in alike if not each.is_name and normalise(each.text) == normalized), None)


def is_named(tag: Tag, normalized: str) -> bool:
    """Tell whether a normalized text is the tag's name."""
    return tag.normalized == normalized or normalise(tag.name) == normalized


def find_edited(readers: Sequence[Reader], needle: Needle) -> list[Tag]:
    """Return the tags whose name is the query but for one edit, best first."""
    found: dict[tuple[int, int], Match] = {}
    for number, reader in enumerate(readers):
        for text in _edited(reader, needle):
            for row in reader.layer.names.find(text.encode() + b"\0"):
                if row not in reader.hidden:
                    found[number, row] = reader, row, -1, ()
    return [tag_of(match) for match in sorted(found.values(), key=order_of)]


def _edited(reader: Reader, needle: Needle) -> Iterator[str]:
    """Yield the texts of known words that are one edit away from the query."""
    words = needle.words
    if len(needle.text) < INDEXED:
        return
    if len(words) <= MOST_WORDS:
        # A name needs all of its words; of those with CJK it is not known whether they exist.
        known = reader.layer.misspellings
        strange = [place for place, word in enumerate(words) if word not in known and not HAS_CJK.search(word)]
        for place, word in enumerate(words):
            if (
                not needle.is_editable(word)
                or (len(word) < INDEXED and len(words) == 1)
                or strange not in ([], [place])
            ):
                continue
            for other in reader.meant(word, 1)[1]:
                yield " ".join((*words[:place], other, *words[place + 1 :]))
    yield from reader.spacings(needle.text)
