"""Which answers a change may change: the groups that answers belong to, and those that a tag touches.

- `p:TEXT`: answers that need a word that begins with TEXT. Every band but the last two does, for each word of the
  query; the longest is taken.
- `i:TEXT`: answers that looked for names whose initials begin with TEXT.
- `d:TEXT`: answers that say whether a text of this skeleton may become a tag.
- `t:ID`, and `d:TEXT` again: answers with a tag already chosen, by its id or its name.
- `fuzzy`: answers that looked for typing errors, which any tag may be the remedy of.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from service.suggest.folding import fold, initials, skeleton, starts
from service.suggest.needle import Needle
from service.suggest.tag import Tag

FUZZY: Final = "fuzzy"


def groups_of(needle: Needle, context: Iterable[str], *, has_initials: bool, is_fuzzy: bool) -> tuple[str, ...]:
    """Return the groups of an answer.

    Args:
        needle: the query.
        context: the chosen tags as the query names them.
        has_initials: whether initials were looked at.
        is_fuzzy: whether typing errors were.
    """
    words = needle.words
    groups = ["p:" + (words[0] if len(words) == 1 else max(words, key=len)), "d:" + needle.skeleton.decode()]
    for item in context:
        groups += ("t:" + item, _duplicates(fold(item)))
    if has_initials:
        groups.append("i:" + needle.text)
    if is_fuzzy:
        groups.append(FUZZY)
    return tuple(groups)


def groups_of_name(name: str) -> tuple[str, ...]:
    """Return the groups of answers that say whether the name may become a tag; to touch when it is banned or freed."""
    return (_duplicates(fold(name)),)


def touched_by(tag: Tag) -> Iterator[str]:
    """Yield the groups that a tag touches when it comes, changes or goes; some twice."""
    yield FUZZY
    yield "t:" + tag.id
    own = fold(tag.name)
    letters = initials(own)
    for end in range(2, len(letters) + 1):
        yield "i:" + letters[:end]
    yield _duplicates(fold(tag.normalized))
    for folded in (own, *map(fold, tag.synonyms)):
        yield _duplicates(folded)
        for start in starts(folded):
            space = folded.find(" ", start)
            stop = space if space >= 0 else len(folded)
            for end in range(start + 1, stop + 1):
                yield "p:" + folded[start:end]


def _duplicates(folded: str) -> str:
    return "d:" + skeleton(folded).decode()
