r"""How texts are folded for matching: on top of `tags.normalise`, without accents, punctuation and apostrophes.

Keys, queries and highlighting all use `fold`, so what is typed and what is stored can only differ in what people type.

- Accents go (é = e), also where Unicode has no decomposition (ø = o, ł = l, æ = ae); vowel signs of Indic scripts and
  the voicing marks of kana stay, because without them a word is another word. Katakana is hiragana; widths are
  NFKC's work (ﾃｽﾄ = テスト = てすと).
- Punctuation and control characters separate words (Alpha-Omega = alpha omega, `blue_hair` = blue hair); apostrophes
  and invisible format characters vanish (God's = gods); symbols are letters (c++).
- A text that has nothing else keeps its punctuation (`!!!`).

Chinese, Japanese and Korean are written without spaces, so every one of their characters begins a word: that makes
prefixes of infixes.
"""

import re
from typing import Final
from unicodedata import category, normalize

from tags.normalise import LONGEST, normalise

#: What begins a word at every character, as ranges of code points. Multiples of 64, so that the first two bytes of
#: UTF-8 (the first two of three, or of four) tell them: `service.suggest.texts` looks at bytes.
CJK_RANGES: Final = ((0x3040, 0x30FF), (0x31C0, 0x31FF), (0x3400, 0x9FFF), (0xAC00, 0xD7BF), (0x20000, 0x33FFF))

_CJK_CLASS: Final = "".join(f"{chr(first)}-{chr(last)}" for first, last in CJK_RANGES)
UNREADABLE: Final = "\ufffd"
HAS_CJK: Final = re.compile(f"[{_CJK_CLASS}]")
_STARTS: Final = re.compile(f"(?:^|(?<= ))[^ ]|[{_CJK_CLASS}]|(?<=[{_CJK_CLASS}])[^ ]")
_RUN: Final = re.compile(f"[^ {_CJK_CLASS}]+")

_APOSTROPHES: Final = "'`´‘’‛′ʹʻʼʽˈ＇"
_LETTERS: Final = {
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "æ": "ae",
    "œ": "oe",
    "ı": "i",
    "ħ": "h",
    "ŧ": "t",
}
#: Marks that change how a letter sounds, not which it is: of Latin, Greek and Cyrillic; Hebrew and Arabic points.
_MARKS: Final = (
    (0x0300, 0x036F),
    (0x0591, 0x05C7),
    (0x0610, 0x061A),
    (0x064B, 0x065F),
    (0x0670, 0x0670),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xFE00, 0xFE0F),
    (0xFE20, 0xFE2F),
)
_LAST_ASSIGNED: Final = 0x20000  # no punctuation, control or format character that people use lies behind


def _table() -> dict[int, str | None]:
    table: dict[int, str | None] = {}
    for code in range(_LAST_ASSIGNED):
        kind = category(chr(code))
        if kind[0] in "PZ" or kind == "Cc":
            table[code] = " "
        elif kind in ("Cf", "Cs"):
            table[code] = None
    for first, last in _MARKS:
        table.update(dict.fromkeys(range(first, last + 1)))
    table.update({code: chr(code - 0x60) for code in range(0x30A1, 0x30F7)})
    table.update({ord(letter): plain for letter, plain in _LETTERS.items()})
    table.update(dict.fromkeys(map(ord, _APOSTROPHES)))
    table[0x0640] = None  # Arabic's tatweel only stretches
    return table


_TABLE: Final = _table()
_ASCII_TABLE: Final = {code: plain for code, plain in _TABLE.items() if code < 128}
#: For texts joined with NUL, which stays.
_JOINED_TABLE: Final = {code: plain for code, plain in _ASCII_TABLE.items() if code}
_UNREADABLE: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)))


def fold(text: str) -> str:
    """Return the text as it is matched: words of lower-case letters and digits, one space between. A fixed point."""
    if text.isascii() and len(text) <= LONGEST:
        folded = text.lower().translate(_ASCII_TABLE)
    else:
        folded = _plain(normalise(text))
    if "  " in folded or folded[:1] == " " or folded[-1:] == " ":
        folded = " ".join(folded.split())
    return folded or " ".join(normalise(text).translate(_UNREADABLE).split())


def fold_part(part: str) -> str:
    """Return what `fold` makes of a letter with its marks somewhere in a text: " " where words are separated."""
    return _plain(normalise(part)) if part.strip() else " "


def _plain(normalised: str) -> str:
    if normalised.isascii():
        return normalised.translate(_ASCII_TABLE)
    return normalize("NFC", normalize("NFD", normalised).translate(_TABLE))


def fold_all(names: list[str]) -> list[str]:
    """Return `fold` of each, fast if they are ASCII; the names hold no NUL. What folds to nothing is `UNREADABLE`."""
    joined = "\0".join(names)
    if not joined.isascii() or max(map(len, names), default=0) > LONGEST:
        return [fold(name) or UNREADABLE for name in names]
    folded = joined.lower().translate(_JOINED_TABLE)
    texts = folded.split("\0")
    if "  " in folded or " \0" in folded or "\0 " in folded or folded[:1] == " " or folded[-1:] == " ":
        texts = [" ".join(text.split()) for text in texts]
    return texts if all(texts) else [text or fold(name) or UNREADABLE for text, name in zip(texts, names, strict=True)]


def starts(folded: str) -> list[int]:
    """Return where the words of a folded text begin, as code points: after each space, and in CJK at each character."""
    return [found.start() for found in _STARTS.finditer(folded)]


def runs(folded: str) -> list[str]:
    """Return the words that can be misspelt: without CJK, where other mistakes are made than typing errors."""
    return _RUN.findall(folded)


def initials(folded: str) -> str:
    """Return the first character of each word between spaces."""
    return "".join(word[0] for word in folded.split(" ") if word)


_ENDING: Final = re.compile(rb"(?<=[^\0]{3})(?:ies|es|(?<!s)s|e|y)\Z")


def skeleton(folded: str) -> bytes:
    """Return what near-duplicates have in common: the text without spaces and without the ending of a plural.

    The ending (-ies, -es, -s, -e, -y) goes where three bytes are left, so that church = churches, mercy = mercies,
    grace = graces.
    """
    return _ENDING.sub(b"", folded.replace(" ", "").encode())
