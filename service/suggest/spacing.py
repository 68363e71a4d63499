"""Typing errors with the space bar: a space that is missing, too many, or beside its place."""

from service.suggest.folding import HAS_CJK
from service.suggest.misspellings import Misspellings


def spacings(text: str, words: Misspellings) -> list[str]:
    """Return the texts that differ from a folded text by a space, as far as the words before a new space exist."""
    found: list[str] = []
    if not text.isascii() and HAS_CJK.search(text):
        return found
    parts = text.split()
    begin, before = 0, ""
    was_known = is_known = True  # whether all words before the one before this exist, and whether that does too
    for word in parts:
        if begin and was_known:
            found.append(text[: begin - 1] + text[begin:])
            if len(word) > 1 and before + word[0] in words:
                found.append(text[: begin - 1] + word[0] + " " + text[begin + 1 :])
            if len(before) > 1 and before[:-1] in words:
                found.append(text[: begin - 2] + " " + before[-1] + text[begin:])
        for size in words.sizes_of_words_in(word) if is_known else ():
            place = begin + size
            found.append(text[:place] + " " + text[place:])
            if size + 1 < len(word):
                found.append(text[:place] + " " + text[place + 1 :])
        if len(parts) > 1:
            was_known, is_known = is_known, is_known and word in words
        begin, before = begin + len(word) + 1, word
    return found
