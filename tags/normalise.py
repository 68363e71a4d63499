r"""What a tag is called: one spelling for display, one for comparison, and why a text cannot be a name at all.

`clean` gives the display form, `normalise` the form that is unique in `tags.normalized_name`. Both have a SQL twin in
`sql/functions/normalise.sql` (`segue.clean_tag`, `segue.normalise_tag`, `segue.tag_problem`), equal on every text.

- White space is Unicode's White_Space property, spelled out: `str.isspace` adds U+001C to U+001F, servers differ too.
- Zero-width characters go from both ends and from beside a space; inside a word they stay, because the joiners of
  an emoji family and of a Persian word carry meaning.
- Case folding is Unicode's full one (ß = ss, ς = σ), from our own table: no locale, no library version.
- A text longer than `LONGEST` after its white space is folded is left at that by both functions. It can never be a
  name, and canonical ordering takes quadratic time on a long run of combining marks: a server could not even cancel it.

Limit: NFKC follows the Unicode version of the running Python (3.11: 14) and of the server (PostgreSQL 15: 14, 18: 16).
Unicode never changes an assigned character's NFKC, so only a character that one side does not know yet can come out
differently. Tests leave out what the running Python calls unassigned (Cn), and what an older server does not know.
"""

import re
from typing import Final
from unicodedata import normalize

from tags.case_folding import FOLDINGS

NAME_LIMIT: Final = 50
"""The longest name, in code points of the longer of `clean` and `normalise`."""

LONGEST: Final = 1_000
"""The longest text that is normalised, in code points."""

SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
ZERO_WIDTH: Final = "\xad\u180e\u200b\u200c\u200d\u2060\ufeff"

# Possessive, and only from the start of a run: otherwise a megabyte of zero-width characters takes quadratic time.
_RUN: Final = re.compile(f"(?<![{ZERO_WIDTH}])[{ZERO_WIDTH}]*+[{SPACE}][{SPACE}{ZERO_WIDTH}]*+")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_CONTROL: Final = re.compile("[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")  # category Cc without its white space


def clean(raw: str) -> str:
    """Return the text as people see it: NFKC, trimmed, every inner run of white space one U+0020. Never raises."""
    if raw.isascii() and raw.isprintable():
        return " ".join(raw.split())
    text = raw if len(raw) <= LONGEST else _fold_space(raw)
    if len(text) > LONGEST:
        return text
    return _fold_space(normalize("NFKC", text))


def normalise(raw: str) -> str:
    """Return the text as tags are compared: `clean`, case folded, NFKC. A fixed point, also after `clean`."""
    return _fold_case(clean(raw))


def is_blank(raw: str) -> bool:
    """Tell whether nothing is left of the text: only white space and zero-width characters."""
    return clean(raw) == ""


def problem(raw: str) -> str | None:
    """Return why the text cannot become a tag, or None. A blank text has no problem: it is no tag."""
    return forms(raw)[2]


def forms(raw: str) -> tuple[str, str, str | None]:
    """Return `clean`, `normalise` and `problem` of a text at the price of little more than one of them."""
    cleaned = clean(raw)
    folded = _fold_case(cleaned)
    return cleaned, folded, _problem(raw, len(cleaned), len(folded))


def _problem(raw: str, *lengths: int) -> str | None:
    if not (raw.isascii() and raw.isprintable()):
        if found := _SURROGATE.search(raw):
            return f"lone surrogate U+{ord(found[0]):04X}"
        if found := _CONTROL.search(raw):
            return f"control character U+{ord(found[0]):04X}"
    return f"longer than {NAME_LIMIT} characters" if max(lengths) > NAME_LIMIT else None


def _fold_case(cleaned: str) -> str:
    if len(cleaned) > LONGEST:
        return cleaned
    if cleaned.isascii():
        return cleaned.lower()
    # A folded text needs no second look at its spaces: it has only those that it had before.
    return normalize("NFKC", cleaned.translate(FOLDINGS))


def _fold_space(text: str) -> str:
    return _RUN.sub(" ", text.strip(SPACE + ZERO_WIDTH))
