"""The words of a title: the same in the index and in SQL."""

import re
from typing import Final

from tags.normalise import LONGEST, normalise

#: What parts words, as a character class of Python's and of PostgreSQL's regular expressions. Code points instead of
#: Unicode's categories: those depend on the locale and the version of either side. Everything that is no letter, digit
#: or mark in a normalised text of the usual scripts; a character that is not named here is part of a word.
SEPARATORS: Final = (
    r"\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00bf\u00d7\u00f7\u02c2-\u02c5\u02d2-\u02df\u037e\u0387"
    r"\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u05c6\u05f3\u05f4\u0600-\u060f\u061b-\u061f\u066a-\u066d\u06d4"
    r"\u0964\u0965\u0970\u0e2f\u0e4f\u0e5a\u0e5b\u104a-\u104f\u1361-\u1368\u17d4-\u17da\u1800-\u180a\u180e"
    r"\u2000-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\u303d\u30a0\u30fb\ufd3e\ufd3f\ufe00-\ufe6f"
    r"\ufeff-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffff\U0001d000-\U0001d2ff\U0001f000-\U0001faff"
)
_WORD: Final = re.compile(f"[^{SEPARATORS}]+")

#: ASCII: separators to spaces, capitals to small letters.
_FOLDED: Final = bytes(
    ord(character.lower()) if (character := chr(code)) and _WORD.fullmatch(character) and code else 32
    for code in range(256)
)

_MOST_KNOWN: Final = 100_000


def words(text: str) -> list[str]:
    """Return the words of a text, normalised, in order."""
    return _WORD.findall(normalise(text))


class TitleReader:
    """Parts very many titles in UTF-8 into words: the same as `words`, fast for ASCII and for words that return.

    No character has a say in the normal form of one beyond a space, so what stands between two spaces is normalised
    once. Only in a title that is longer than `LONGEST` would the whole be another text than its parts.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, list[bytes]] = {}

    def words(self, title: bytes) -> list[bytes]:
        """Return the words of a title, normalised, in order."""
        if len(title) > LONGEST:
            return _encoded(title)
        if title.isascii():
            return title.translate(_FOLDED).split()
        found: list[bytes] = []
        for part in title.split():
            known = self._known.get(part)
            if known is None:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                known = self._known[part] = _encoded(part)
            found += known
        return found


def _encoded(text: bytes) -> list[bytes]:
    return [word.encode() for word in words(text.decode())]


def pattern(word: str) -> str:
    """Return PostgreSQL's regular expression for a normalised title in which the word begins a word."""
    return f"(^|[{SEPARATORS}]){word}"
