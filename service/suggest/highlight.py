"""Where in a name the query stands, in code points of the name as people see it."""

from collections.abc import Sequence
from typing import Final
from unicodedata import category

from rapidfuzz.distance import OSA

from service.suggest.folding import fold, fold_part, starts
from service.suggest.misspellings import INDEXED

#: [start, end) of what to highlight, in order.
Ranges = tuple[tuple[int, int], ...]

_VOICING: Final = "\uff9e\uff9f"  # half-width marks that belong to the kana before them
_FIRST_VOWEL_JAMO, _LAST_JAMO = 0x1160, 0x11FF


def highlight(name: str, marks: Sequence[str]) -> Ranges:
    """Return where the folded marks stand in the name, each at the beginning of another word, as far as they do."""
    if len(marks) == 1:
        mark = marks[0]
        size = len(mark)
        if name[:size].lower() == mark and (name.isascii() or not _continues(name[size : size + 1])):
            return ((0, size),)
        start = (name.lower() if name.isascii() else "").find(" " + mark) + 1
        if start:
            return ((start, start + size),)
    folded, begins, ends = fold_places(name)
    padded = " " + folded
    ranges: list[tuple[int, int]] = []
    used = set()
    for mark in sorted(marks, key=len, reverse=True):
        start = padded.find(" " + mark)
        while start >= 0 and start in used:
            start = padded.find(" " + mark, start + 1)
        if start < 0:
            # Not after a space: a word that begins at or after a CJK character.
            start = next((at for at in starts(folded) if at not in used and folded.startswith(mark, at)), -1)
        if start >= 0:
            used.add(start)
            ranges.append((begins[start], ends[start + len(mark) - 1]))
    return _merge(ranges)


def highlight_misspelt(name: str, words: Sequence[str]) -> Ranges:
    """Return where the name's words stand that are meant by the query's, of which some are misspelt."""
    folded, begins, ends = fold_places(name)
    padded = " " + folded
    ranges = []
    for word in words:
        start = padded.find(" " + word)
        if start >= 0:
            ranges.append((start, start + len(word)))
        else:
            ranges += _find_misspelt(folded, word)
    return _merge([(begins[start], ends[end - 1]) for start, end in ranges])


def _find_misspelt(folded: str, word: str) -> list[tuple[int, int]]:
    """Return the beginning of a word that is nearest to a misspelt one, if any is within two edits."""
    size = len(word)
    for edits in (1, 2):
        start = 0
        for other in folded.split(" "):
            least = len(other) if size < INDEXED else max(1, size - edits)
            for end in range(min(size + edits, len(other)), least - 1, -1):
                if OSA.distance(word, other[:end], score_cutoff=edits) <= edits:
                    return [(start, start + end)]
            start += len(other) + 1
    return []


def highlight_initials(name: str, count: int) -> Ranges:
    """Return where the first characters of the name's first words stand."""
    folded, begins, ends = fold_places(name)
    firsts = [place for place in range(len(folded)) if folded[place] != " " and folded[place - 1 : place] in ("", " ")]
    return _merge([(begins[place], ends[place]) for place in firsts[:count]])


def fold_places(name: str) -> tuple[str, Sequence[int], Sequence[int]]:
    """Return the folded name, and for each of its characters where what it was made of begins and ends.

    A letter is folded together with its marks. Where that is not how the whole name folds, which takes an odd name,
    nothing is returned.
    """
    if name.isascii() and len(whole := fold(name)) == len(name):
        return whole, range(len(name)), range(1, len(name) + 1)
    folded = ""
    begins: list[int] = []
    ends: list[int] = []
    begin = 0
    while begin < len(name):
        end = begin + 1
        while end < len(name) and _continues(name[end]):
            end += 1
        for letter in fold_part(name[begin:end]):
            if letter != " " or not folded.endswith(" "):
                folded += letter
                begins.append(begin)
                ends.append(end)
        begin = end
    skipped = len(folded) - len(folded.lstrip())
    folded = folded.strip()
    if folded != fold(name):
        return "", [], []
    return folded, begins[skipped : skipped + len(folded)], ends[skipped : skipped + len(folded)]


def _continues(letter: str) -> bool:
    return not letter.isascii() and (
        category(letter)[0] == "M" or letter in _VOICING or _FIRST_VOWEL_JAMO <= ord(letter) <= _LAST_JAMO
    )


def _merge(ranges: list[tuple[int, int]]) -> Ranges:
    """Put ranges in order, and those that touch or overlap together."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return tuple(merged)
