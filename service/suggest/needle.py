"""A query made ready: folded once, and what it asks for told apart."""

import re
from dataclasses import dataclass
from typing import Final

from service.suggest.folding import HAS_CJK, fold, skeleton

_QUOTES: Final = '"“”„«»＂'
_OPENING: Final = re.compile(f"\\s*[{_QUOTES}]")

#: With more words than this only their order as typed is looked for.
MOST_WORDS: Final = 8
#: Longer texts are not taken for misspelt.
LONGEST_TYPO: Final = 64


@dataclass(slots=True)
class Needle:
    """What is looked for; not changed once it is made.

    Attributes:
        typed: the text without its quotes.
        is_quoted: whether it is to be taken as it is written.
        text: folded.
        key: the same as UTF-8.
        words: between its spaces.
        skeleton: see `folding.skeleton`.
        edits: how many typing errors are forgiven.
    """

    typed: str
    is_quoted: bool
    text: str
    key: bytes
    words: list[str]
    skeleton: bytes
    edits: int

    @classmethod
    def of(cls, text: str) -> "Needle":
        """Read a query's text."""
        is_quoted = _OPENING.match(text) is not None
        typed = text.strip().strip(_QUOTES) if is_quoted else text
        folded = fold(typed)
        size = len(folded)
        edits = 0 if is_quoted or size > LONGEST_TYPO else (size >= 4) + (size >= 8)
        return cls(typed, is_quoted, folded, folded.encode(), folded.split(), skeleton(folded), edits)

    def is_editable(self, word: str) -> bool:
        """Tell whether a word may be misspelt: one letter cannot, and in CJK other mistakes are made."""
        return len(word) >= 2 and (word.isascii() or not HAS_CJK.search(word))
