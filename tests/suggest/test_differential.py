"""The index answers what the rules say, through any sequence of changes, and touches the groups of what it changes."""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.suggest import keys, state
from service.suggest.index import TagIndex
from service.suggest.query import Answer, Query
from service.suggest.reader import tag_of
from service.suggest.tag import Tag
from tags.normalise import normalise
from tests.suggest.brute_force import BruteForce

WORDS = """
holy holly hole spirit sprit spirits of on god god's go h abcdefgh ab abcdefghij abcdxefgh abc acb praise prays
a ba bab abab baba ababa babab abababab bababababa blue-hair café cafe 聖霊 霊降臨 ﾃｽﾄ てすと聖 rock聖
на но любовь любви воскресение !!! ßa İb
""".split()  # noqa: SIM905 - read as words, not as a list of strings
rng = random.Random(1)
# Few words, so that texts meet: as prefixes, typing errors, duplicates.
TEXTS = [*WORDS, *(" ".join(rng.choices(WORDS[:-3], k=rng.choice((2, 2, 3)))) for _ in range(60))]
IDS = [f"00000000-0000-4000-8000-{number:012}" for number in range(9)]
CATEGORIES = ["theme", "mood"]
TAGS = st.tuples(
    st.sampled_from([*TEXTS, *map(str.title, TEXTS)]),
    st.sampled_from(CATEGORIES),
    st.sampled_from([0, 0, 1, 2, 50, 100, 101, 500]),
    st.lists(st.sampled_from(TEXTS), max_size=2, unique=True).map(tuple),
)
LETTERS = "aboé xв聖"


def mistype(text: str, at: int) -> str:
    """One typing error; which, follows from the number."""
    kind, letter, at = at % 4, LETTERS[at // 4 % len(LETTERS)], at // 4 // len(LETTERS) % max(1, len(text))
    return [
        text[:at] + text[at + 1 :],
        text[:at] + letter + text[at:],
        text[:at] + letter + text[at + 1 :],
        text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :],
    ][kind]


#: What somebody may type who wants a text.
TYPED: list[Callable[[str, int], str]] = [
    lambda text, _: text,
    lambda text, at: text[: 1 + at % 9],
    lambda text, at: " ".join(word[: 1 + at % 4] for word in reversed(text.split())),
    mistype,
    mistype,
    lambda text, at: mistype(text[: 4 + at % 5], at // 5),
    lambda text, at: mistype(mistype(text, at % 991), at // 991),
    lambda text, _: "".join(word[0] for word in text.split()),
    lambda text, _: f'"{text}"',
    lambda text, at: ["", " ", "-", '"', "\0", "!", "h s", "a" * 70, "a b a b a b a b a b", text.upper()][at % 10],
]


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Tag], list[dict[str, Tag | None]], list[Query], dict[str, Any]]:
    """Tags, batches of changes, queries that have something to do with them, and companions."""
    base: dict[str, Tag] = {}
    batches: list[dict[str, Tag | None]] = [{}, {}, {}]
    owners: dict[str, str] = {}
    texts = []
    for tag_id in IDS:
        for number, drawn in enumerate(draw(st.lists(TAGS, min_size=1, max_size=3))):
            name, category, usage, synonyms = drawn
            # Normalized names are unique in the table.
            if owners.setdefault(normalise(name), tag_id) != tag_id:
                continue
            tag = Tag(tag_id, name, normalise(name), category, None, usage, is_standard=False, synonyms=synonyms)
            texts += [name, *synonyms]
            if number:
                batches[draw(st.integers(0, 2))][tag_id] = tag
            else:
                base[tag_id] = tag
    for tag_id in draw(st.lists(st.sampled_from(IDS), max_size=3)):
        batches[draw(st.integers(0, 2))][tag_id] = None
    known = st.sampled_from(texts)
    queries = draw(
        st.lists(
            st.builds(
                Query,
                st.builds(
                    lambda typed, text, at: typed(text, at), st.sampled_from(TYPED), known, st.integers(0, 10**6)
                ),
                st.sampled_from([1, 2, 3, 10]),
                st.sampled_from([None, None, *CATEGORIES, "none"]),
                st.just(()) | st.lists(st.sampled_from(IDS) | known, max_size=2).map(tuple),
            ),
            min_size=5,
            max_size=12,
        )
    )
    companions = draw(
        st.dictionaries(
            st.sampled_from(IDS), st.lists(st.tuples(st.sampled_from(IDS), st.integers(1, 9)), max_size=4), max_size=4
        )
    )
    return base, batches, queries, companions


@pytest.fixture(params=["small", "as it is"], scope="module")
def sizes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Once with limits so small that some tags are enough to reach them: hot prefixes, steps of keys, layers."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "small":
            patch.setattr(keys, "HOT", 1)
            patch.setattr(keys, "_STEP", 3)
            patch.setattr(keys, "_SAMPLE_BYTES", 5)
            patch.setattr(state, "_LEVELS", (1, 3))
        yield


def compare(answer: Answer, query: Query, brute_force: BruteForce) -> None:
    """Require an answer to have the rows of the obvious code."""
    rows, is_fuzzy = brute_force.suggest(query)

    assert rows == [(s.tag.id, s.band, s.antecedent) for s in answer.suggestions], query
    assert [brute_force.tags[tag_id] for tag_id, _, _ in rows] == [s.tag for s in answer.suggestions]
    create = answer.create
    assert brute_force.create(query, is_fuzzy=is_fuzzy) == (
        (create.is_possible, [tag.id for tag in create.near]) if create else None
    ), query
    for suggestion in answer.suggestions:
        check_match(suggestion.antecedent or suggestion.tag.name, suggestion.match)


def check_match(shown: str, match: tuple[tuple[int, int], ...]) -> None:
    """Ranges are in order, apart, and within the text."""
    flat = [place for pair in match for place in pair]

    assert match, shown
    assert sorted(set(flat)) == flat
    assert 0 <= flat[0]
    assert flat[-1] <= len(shown)


@pytest.mark.untraced
@settings(max_examples=150)
@given(cases())
def test_answers_are_those_of_brute_force_and_groups_cover_what_changes(
    sizes: None, case: tuple[dict[str, Tag], list[dict[str, Tag | None]], list[Query], Mapping[str, Any]]
) -> None:
    """Whatever is applied, answers follow the rules; an answer of which no group is touched is still the same."""
    base, batches, queries, companions = case
    tags = dict(base)
    index = TagIndex.build(base.values(), 1, companions)
    answers: dict[Query, Answer] = {}
    for version, batch in enumerate([{}, *batches], 1):
        touched = index.apply(batch, version)
        for tag_id, tag in batch.items():
            tags.pop(tag_id, None)
            if tag:
                tags[tag_id] = tag
        brute_force = BruteForce(tags, companions)
        assert len(index) == len(tags)
        assert index.version == version
        for query in queries:
            answer = index.suggest(query)
            compare(answer, query, brute_force)
            looked = [(band, tag_of(match)) for band, match in index.look_up(query)]
            assert [(one.band, one.tag) for one in answer.suggestions] == looked
            before = answers.get(query)
            if before is not None and not touched.groups.intersection(before.groups):
                assert (before.suggestions, before.create, before.groups) == (
                    answer.suggestions,
                    answer.create,
                    answer.groups,
                )
            answers[query] = answer
