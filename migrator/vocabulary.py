"""The vocabulary: every distinct text of the source resolved once to a canonical tag."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from psycopg import sql as psql
from rapidfuzz import fuzz, process

from migrator.migration import Context
from sql.database import Transaction, compose
from tags import starter
from tags.normalise import forms, normalise

#: Texts fetched, normalised and sent at a time; bounds memory whatever the number of distinct texts.
PAGE_TEXTS = 5_000

#: Where `resolve` collects texts and words; a mirror's functions run the same queries over tables of their own.
_STAGE = {"texts": psql.Identifier("segue_texts"), "words": psql.Identifier("segue_words")}


#: From so many new tags on, plans that rest on the statistics of before may take minutes.
MANY_TAGS = 1_000


def resolve(
    transaction: Transaction,
    context: Context,
    pages: Iterable[list[tuple[str, int]]],
    fragments: Mapping[str, psql.Composable],
    *,
    is_alone: bool = False,
) -> None:
    """Resolve texts into the run's vocabulary, creating the tags and synonyms that they need.

    Order of resolution: an admin's decision, a tag of that normalised name, a synonym, a new tag of its own.
    Edit distance plays no part.

    Args:
        transaction: the caller's; everything happens in it.
        context: the run, which becomes the provenance of new tags.
        pages: distinct raw texts with their numbers of uses, some at a time; known texts are passed over.
        fragments: the names of `tags` and `tag_synonyms`.
        is_alone: the run has no vocabulary yet and nobody else resolves for it: it is saved without looking for others.
    """
    transaction.run("vocabulary.create_stage")
    transaction.run("vocabulary.create_words")
    transaction.run("vocabulary.empty_stage")
    has_empty = False
    for page in pages:
        transaction.copy_in("vocabulary.copy_texts", _rows(page))
        has_empty = has_empty or any(raw == "" for raw, _ in page)
    if not has_empty:  # it stands for NULL elements in the chunk's join
        transaction.copy_in("vocabulary.copy_texts", _rows([("", 0)]))
    fragments = {**fragments, **_STAGE}
    transaction.run("vocabulary.resolve_words", fragments, **starter_columns())
    created = transaction.run("vocabulary.create_tags", fragments, run_id=context.run_id, at=context.at)
    if is_alone and created >= MANY_TAGS:
        transaction.run("vocabulary.analyze_tags", fragments)
    transaction.run("vocabulary.create_synonyms", fragments, run_id=context.run_id, at=context.at)
    among = psql.SQL("") if is_alone else compose("vocabulary.among_others")
    transaction.run("vocabulary.save_vocabulary", {**fragments, "among_others": among}, run_id=context.run_id)


def _rows(texts: Iterable[tuple[str, int]]) -> Iterator[tuple[object, ...]]:
    for raw, uses in texts:
        yield raw, *forms(raw), uses


def starter_columns() -> dict[str, list[str | None]]:
    """Return the starter vocabulary as columns: every canonical name and synonym with its canonical form."""
    rows = [
        (normalise(text), tag.name, normalise(tag.name), tag.category, tag.color)
        for tag in starter.load()
        for text in (tag.name, *tag.synonyms)
    ]
    names = ("starter_texts", "starter_names", "starter_canonicals", "starter_categories", "starter_colors")
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


@dataclass(frozen=True)
class Suggestion:
    """A text that may be a misspelling of a known tag; only an admin can make it one.

    Attributes:
        normalized: the text's normal form.
        canonical: the tag's name.
        uses: how often the text occurs.
        similarity: 0 to 100, rapidfuzz's ratio.
        examples: up to three raw spellings.
    """

    normalized: str
    canonical: str
    uses: int
    similarity: float
    examples: tuple[str, ...]

    def __str__(self) -> str:
        spelled = ", ".join(repr(example) for example in self.examples)
        return f"{spelled} -> {self.canonical}? ({self.similarity:.0f} % alike, used {self.uses} x)"


#: New words compared with the known tags, most used first, and known tags compared with; bounds time.
MOST_WORDS, MOST_TAGS = 20_000, 2_000
#: Below this similarity, or under this length, a resemblance says nothing.
LEAST_SIMILARITY, LEAST_LENGTH = 85.0, 4


def suggest(
    transaction: Transaction, run_id: int, fragments: Mapping[str, psql.Composable], most: int | None = None
) -> list[Suggestion]:
    """Compare the run's new words with the known tags and return likely misspellings, most used first."""
    words = transaction.all("vocabulary.read_new_words", run_id=run_id, most=MOST_WORDS)
    new = {row["normalized"] for row in words}
    known = {normalise(tag.name): tag.name for tag in starter.load()}
    for row in transaction.all("vocabulary.read_tag_names", fragments, most=MOST_TAGS):
        known.setdefault(row["normalized_name"], row["name"])
    candidates = [name for name in known if name not in new and len(name) >= LEAST_LENGTH]
    found = []
    for row in words:
        if len(row["normalized"]) < LEAST_LENGTH:
            continue
        best = process.extractOne(row["normalized"], candidates, scorer=fuzz.ratio, score_cutoff=LEAST_SIMILARITY)
        if best is not None:
            found.append(
                Suggestion(row["normalized"], known[best[0]], int(row["uses"]), best[1], tuple(row["examples"]))
            )
        if most is not None and len(found) >= most:
            break
    return found
