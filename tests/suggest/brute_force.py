"""What the index has to answer, written from the rules: every tag is looked at, nothing is remembered.

Shared with the index are only the folding of texts and the distance of rapidfuzz.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

from rapidfuzz.distance import OSA

from service.suggest.folding import HAS_CJK, fold, initials, runs, skeleton, starts
from service.suggest.query import Query
from service.suggest.tag import Tag
from tags.normalise import forms, normalise

#: A row of an answer: the tag's id, the band, the synonym that matched.
Row = tuple[str, str, str | None]

QUOTES = tuple('"“”„«»＂')


def rank(tag: Tag) -> tuple[int, str]:
    """Return what tags of one band are sorted by."""
    return -tag.usage_count, tag.normalized


def begins(folded: str, prefix: str) -> bool:
    """Some word of a text begins with the prefix, which may go on into the next words."""
    return any(folded.startswith(prefix, start) for start in starts(folded))


def has_words(folded: str, words: Sequence[str], whole: str | None = None) -> bool:
    """Each of the words begins another word of the text, and `whole` is all of yet another."""

    def assign(left: Sequence[str], free: Sequence[int]) -> bool:
        return not left or any(
            folded.startswith(left[0], start) and assign(left[1:], [other for other in free if other != start])
            for start in free
        )

    places = starts(folded)
    if whole is None:
        return assign(words, places)
    return any(
        assign(words, [other for other in places if other != start])
        for start in places
        if folded[start:] == whole or folded.startswith(whole + " ", start)
    )


def is_editable(word: str) -> bool:
    """Whether typing errors in the word are looked for."""
    return len(word) >= 2 and not HAS_CJK.search(word)


def corrections(word: str, folded: str, edits: int) -> set[str]:
    """What the text's words begin with, or for a short word what they are, that is so many edits from the word."""
    if len(word) < 4:
        return {run for run in runs(folded) if 2 <= len(run) and OSA.distance(word, run) <= edits}
    beginnings = {run[:size] for run in runs(folded) for size in range(1, len(run) + 1)}
    return {beginning for beginning in beginnings if OSA.distance(word, beginning) <= edits}


def has_corrected(folded: str, words: Sequence[str], place: int, edits: int) -> bool:
    """Whether the words are there when one of them is corrected."""
    word = words[place]
    if not is_editable(word) or (len(words) == 1 and len(word) < 4):
        return False
    others = [*words[:place], *words[place + 1 :]]
    return any(
        has_words(folded, others, meant) if len(word) < 4 else has_words(folded, [*others, meant])
        for meant in corrections(word, folded, edits)
    )


def spacings(text: str) -> set[str]:
    """The text with one space less, more, or in a neighbour's place."""
    if HAS_CJK.search(text):
        return set()
    found = set()
    for place in range(len(text)):
        before, letter, after = text[:place], text[place], text[place + 1 :]
        if letter == " ":
            found |= {before + after, before[:-1] + " " + before[-1:] + after, before + after[:1] + " " + after[1:]}
        else:
            found |= {before + " " + letter + after, before + " " + after}
    return {changed for changed in found if changed == " ".join(changed.split()) and changed != text}


def has_one_error(folded: str, text: str) -> bool:
    """Whether the text is there after one correction."""
    words = text.split()
    return any(begins(folded, changed) for changed in spacings(text)) or (
        len(words) <= 8 and any(has_corrected(folded, words, place, 1) for place in range(len(words)))
    )


def has_two_errors(folded: str, text: str) -> bool:
    """Whether the text is there after two corrections."""
    words = text.split()
    if len(words) > 8:
        return False
    if any(len(word) >= 8 and has_corrected(folded, words, place, 2) for place, word in enumerate(words)):
        return True
    long = [place for place, word in enumerate(words) if len(word) >= 4 and is_editable(word)]
    for pair in combinations(long, 2):
        others = [word for place, word in enumerate(words) if place not in pair]
        if has_words(folded, others) and all(
            any(begins(folded, meant) for meant in corrections(words[place], folded, 1)) for place in pair
        ):
            return True
    return False


def first_synonym(tag: Tag, matches: Callable[[str], bool]) -> str | None:
    """The shortest synonym that matches."""
    fitting = [
        (len(fold(synonym)), fold(synonym), number, synonym)
        for number, synonym in enumerate(tag.synonyms)
        if matches(fold(synonym))
    ]
    return min(fitting)[-1] if fitting else None


def resolve(tags: Iterable[Tag], text: str) -> Tag | None:
    """Return the tag that a text names."""
    ordered = sorted(tags, key=rank)
    wanted = normalise(text)
    for tag in ordered:
        if normalise(tag.name) == wanted:
            return tag
    for tag in ordered:
        if wanted in map(normalise, tag.synonyms):
            return tag
    return None


class BruteForce:
    """Answers queries about tags by id."""

    def __init__(self, tags: Mapping[str, Tag], companions: Mapping[str, Sequence[tuple[str, int]]]) -> None:
        self.tags = tags
        self.companions = companions

    def chosen(self, query: Query) -> list[Tag]:
        """Return the tags of the query's context."""
        found = [self.tags.get(item) or resolve(self.tags.values(), item) for item in query.context]
        return list({tag.id: tag for tag in found if tag}.values())

    def suggest(self, query: Query) -> tuple[list[Row], bool]:
        """The rows, and whether typing errors were looked for."""
        is_quoted = query.text.strip()[:1] in QUOTES
        text = fold(query.text.strip().strip("".join(QUOTES)) if is_quoted else query.text)
        if not text:
            return [], False
        chosen = self.chosen(query)
        affinity: dict[str, int] = {}
        for tag in chosen:
            for other, count in self.companions.get(tag.id, ()):
                affinity[other] = affinity.get(other, 0) + count
        left = sorted(
            (
                tag
                for tag in self.tags.values()
                if tag not in chosen and (query.category is None or tag.category == query.category)
            ),
            key=rank,
        )
        rows: list[Row] = []

        def take(
            band: str, matches: Callable[[Tag], bool], antecedent: Callable[[Tag], str | None] | None = None
        ) -> None:
            nonlocal left
            places = query.limit - len(rows)
            if places <= 0:
                return
            fitting = [tag for tag in left if matches(tag)]
            if affinity:
                fitting = sorted(fitting[: max(places, 4 * query.limit)], key=lambda tag: -affinity.get(tag.id, 0))
            rows.extend((tag.id, band, antecedent(tag) if antecedent else None) for tag in fitting[:places])
            left = [tag for tag in left if tag not in fitting]

        def name(tag: Tag) -> str:
            return fold(tag.name)

        take("exact", lambda tag: name(tag) == text and (is_quoted or tag.usage_count > 100))
        is_only = all(name(tag) == text for tag in left if name(tag).startswith(text))
        is_exact = is_only and any(name(tag) == text for tag in left)
        take("exact" if is_exact else "prefix", lambda tag: name(tag).startswith(text))
        take("word", lambda tag: begins(name(tag), text))
        words = text.split()
        if 2 <= len(words) <= 8:
            take("words", lambda tag: has_words(name(tag), words))

        def called(tag: Tag) -> str | None:
            return first_synonym(tag, lambda synonym: begins(synonym, text))

        take("synonym", lambda tag: called(tag) is not None, called)
        if len(words) == 1 and len(text) > 1:
            take("initials", lambda tag: " " in name(tag) and initials(name(tag)).startswith(text))
        is_known = any(
            text in map(fold, tag.synonyms) or (name(tag) == text and tag.usage_count > 100)
            for tag in self.tags.values()
        )
        is_common = any(self.tags[tag_id].usage_count > 100 for tag_id, _, _ in rows)
        if (
            is_quoted
            or is_known
            or is_common
            or len(rows) >= min(3 if len(words) == 1 else 1, query.limit)
            or not 4 <= len(text) <= 64
        ):
            return rows, False
        for has_error in (has_one_error, has_two_errors):
            if has_error is has_two_errors and (rows or len(text) < 8):
                break

            def meant(tag: Tag, has_error: Callable[[str, str], bool] = has_error) -> str | None:
                if has_error(name(tag), text):
                    return None
                return first_synonym(tag, lambda synonym: has_error(synonym, text))

            take(
                "typo",
                lambda tag, has_error=has_error, meant=meant: has_error(name(tag), text) or meant(tag) is not None,
                meant,
            )
        return rows, True

    def create(self, query: Query, *, is_fuzzy: bool) -> tuple[bool, list[str]] | None:
        """Whether the text may become a tag, and the ids of near-duplicates."""
        typed = query.text.strip()
        text = typed.strip("".join(QUOTES)) if typed[:1] in QUOTES else query.text
        _, normalized, problem = forms(text)
        if not normalized:
            return None
        folded = fold(text)
        ordered = sorted(self.tags.values(), key=rank)
        alike = [t for t in ordered if skeleton(folded) in (skeleton(fold(x)) for x in (t.name, *t.synonyms))]
        own = resolve(ordered, text)
        near = ([own] if own else []) + alike
        if is_fuzzy:
            near += [tag for tag in ordered if is_edited(folded, fold(tag.name))]
        return own is None and problem is None, list(dict.fromkeys(tag.id for tag in near))[:5]


def is_edited(text: str, name: str) -> bool:
    """A name differs from the text by one edit in one word, or by a space."""
    words, others = text.split(), name.split()
    if name in spacings(text):
        return True
    if len(words) != len(others) or len(words) > 8:
        return False
    for place, (word, other) in enumerate(zip(words, others, strict=True)):
        rest = words[:place] + words[place + 1 :] == others[:place] + others[place + 1 :]
        can_be = is_editable(word) and (len(word) >= 4 or len(words) > 1) and is_editable(other)
        if rest and can_be and OSA.distance(word, other) <= 1:
            return True
    return False
