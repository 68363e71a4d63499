"""Small worlds of songs and tags: in memory, where a search is a few lines of set algebra, and in a database."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import psycopg
from hypothesis import strategies as st

from service.search.query import Facet, Hit, SearchPage, SearchQuery, TagCount, TagLabel
from service.search.words import words
from tags.normalise import normalise

CATEGORIES = ("theme", "mood", "Zeit", "été")
NAMES = ("Joy", "Peace", "joyful", "Ångst", "Ἰησοῦς", "a b", "Ω", "ΣΊΣΥΦΟΣ", "Straße", "Psalm 23")
SPELLINGS = ("joy", "JOY", " peace ", "strasse", "a  b", "glad", "GLAD", "shalom", "Gloria", "nobody", "ω", "σίσυφος")
TITLES = (
    None,
    "",
    "Amazing Grace",
    "amazing grace, amazing LOVE",
    "10,000 Reasons (Bless the Lord)",
    "Don't—stop",
    "STRASSE und Straße",
    "Ｇｒａｃｅ　ｕｐｏｎ grace",
    "Благодать и любовь",
    "नमस्ते प्रभु",
    "주님의 은혜",
    "gr\u00adace\u200bful ﬁre",
    "_a_b",
    "x" * 1_200 + " Grace",
)
TEXTS = (
    "",
    "  ",
    "!?",
    "gr",
    "GRACE",
    "grace ama",
    "love grace",
    "10",
    "str",
    "don t",
    "благ",
    "प्र",
    "은",
    "zzz",
    "fi",
    "b a",
)

SPACE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
KEYS: dict[str, tuple[Any, ...]] = {
    "uuid": (*(uuid5(SPACE, str(n)) for n in range(12)), UUID(int=0), UUID(int=2**128 - 1), UUID(int=1 << 8)),
    "bigint": (0, 1, -1, 2, 10, 255, 256, -256, 2**63 - 1, -(2**63), 7, 8, 9),
    "text": ("", "a", "B", "b", "ä", "aa", "a b", "Z", "é", "e\u0301", "\U0001f600", "\uffff", "10", "9", "%"),
}


@dataclass
class State:
    """A tag."""

    name: str
    category: str
    is_banned: bool = False


@dataclass
class World:
    """Songs by key, tags by id, and what joins them."""

    songs: dict[Any, str | None] = field(default_factory=dict)
    tags: dict[UUID, State] = field(default_factory=dict)
    links: set[tuple[Any, UUID]] = field(default_factory=set)
    synonyms: dict[str, UUID] = field(default_factory=dict)

    def resolve(self, text: str) -> TagLabel | None:
        """Return the tag that a text means."""
        normalized = normalise(text)
        by_name = [tag for tag, state in self.tags.items() if normalise(state.name) == normalized]
        by_synonym = [
            self.synonyms[spelling] for spelling in sorted(self.synonyms) if normalise(spelling) == normalized
        ]
        by_id = [tag for tag in self.tags if str(tag) == text]
        return next((self.label(tag) for tag in by_name + by_synonym + by_id if not self.tags[tag].is_banned), None)

    def label(self, tag: UUID) -> TagLabel:
        """Return what a tag looks like."""
        return TagLabel(str(tag), self.tags[tag].name, self.tags[tag].category)

    def tags_of(self, key: Any) -> list[UUID]:
        """Return a song's tags that may be shown."""
        return [tag for tag in self.tags if (key, tag) in self.links and not self.tags[tag].is_banned]

    def find(self, query: SearchQuery, *, passed_over: str | None = None) -> list[Any]:
        """Return the keys of the songs that are meant, in order; `passed_over` is a category whose tags do not count."""
        wanted = [self.resolve(text) for text in query.tags]
        if query.tags and (not any(wanted) or (query.match == "all" and None in wanted)):
            return []
        asked = {UUID(tag.id) for tag in wanted if tag and tag.category != passed_over}
        unwanted = {UUID(tag.id) for text in query.without if (tag := self.resolve(text))}
        found = []
        for key in sorted(self.songs):
            its = {tag for tag in self.tags if (key, tag) in self.links}
            fits = not asked or (asked <= its if query.match == "all" else bool(asked & its))
            title = words(self.songs[key] or "")
            begins = all(any(word.startswith(begin) for word in title) for begin in words(query.text))
            if fits and begins and not unwanted & its:
                found.append(key)
        return found

    def pages(self, query: SearchQuery) -> list[SearchPage]:
        """Return all pages of a query, with any text for a cursor that leads on."""
        found = self.find(query)
        hits = [
            Hit(
                str(key),
                self.songs[key],
                tuple(sorted(map(self.label, self.tags_of(key)), key=lambda t: (t.name, t.id))),
            )
            for key in found
        ]
        unknown = tuple(text for text in dict.fromkeys((*query.tags, *query.without)) if self.resolve(text) is None)
        starts = range(0, max(len(hits), 1), query.limit)
        return [
            SearchPage(
                tuple(hits[start : start + query.limit]),
                len(hits),
                "more" if start + query.limit < len(hits) else None,
                self._facets(query),
                unknown,
            )
            for start in starts
        ]

    def _facets(self, query: SearchQuery) -> tuple[Facet, ...]:
        facets = []
        for category in sorted({state.category for state in self.tags.values()}):
            is_disjunctive = category in query.disjunctive
            found = self.find(query, passed_over=category if is_disjunctive else None)
            counts = Counter(tag for key in found for tag in self.tags_of(key) if self.tags[tag].category == category)
            if not counts or query.facets == 0 or (query.categories and category not in query.categories):
                continue
            highest = sorted(counts, key=lambda tag: (-counts[tag], tag.bytes))[: query.facets]
            rows = [TagCount(self.label(tag), counts[tag]) for tag in highest]
            facets.append(
                Facet(
                    category,
                    sum(any(self.tags[tag].category == category for tag in self.tags_of(key)) for key in found),
                    len(counts),
                    tuple(sorted(rows, key=lambda row: (-row.songs, row.tag.name, row.tag.id))),
                    is_disjunctive,
                )
            )
        return tuple(facets)

    def write(self, connection: psycopg.Connection[Any]) -> None:
        """Make the database hold this world and nothing else."""
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM song_tags; DELETE FROM segue.banned_tags; DELETE FROM tags; DELETE FROM songs")
            cursor.executemany("INSERT INTO songs (id, title) VALUES (%s, %s)", list(self.songs.items()))
            cursor.executemany(
                "INSERT INTO tags (id, name, normalized_name, category) VALUES (%s, %s, %s, %s)",
                [(tag, state.name, normalise(state.name), state.category) for tag, state in self.tags.items()],
            )
            cursor.executemany(
                "INSERT INTO tag_synonyms (synonym, canonical_tag_id) VALUES (%s, %s)", list(self.synonyms.items())
            )
            cursor.executemany(
                "INSERT INTO segue.banned_tags (tag_id, normalized_name, reason, actor) VALUES (%s, %s, 'r', 'a')",
                [(tag, normalise(state.name)) for tag, state in self.tags.items() if state.is_banned],
            )
            cursor.executemany("INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s)", list(self.links))


def foreign_collation(connection: psycopg.Connection[Any]) -> str:
    """Return a collation that is another than the database's; one that orders otherwise than by code point if it can."""
    for name in ("und-x-icu", "en_US.utf8", "C.utf8"):
        with suppress(psycopg.Error):
            connection.execute(f"SELECT 'a' < 'b' COLLATE \"{name}\"")
            return name
    return "POSIX"


def prepare(connection: psycopg.Connection[Any], key_type: str) -> None:
    """Make the table of songs with keys of a type, and fit the links to it, but for a text's collation."""
    collation = f'COLLATE "{foreign_collation(connection)}"' if key_type == "text" else ""
    connection.execute(f"CREATE TABLE songs (id {key_type} {collation} PRIMARY KEY, title text)")
    connection.execute("ALTER TABLE song_tags DROP CONSTRAINT song_tags_pkey")
    connection.execute(f"ALTER TABLE song_tags ALTER COLUMN song_id TYPE {key_type} USING song_id::text::{key_type}")
    connection.execute("ALTER TABLE song_tags ADD PRIMARY KEY (song_id, tag_id)")
    connection.execute("ALTER TABLE tags DROP CONSTRAINT tags_category_check")


@st.composite
def tag_states(draw: st.DrawFn, names: tuple[str, ...]) -> dict[UUID, State]:
    """Draw tags with some of the names."""
    return {
        uuid5(SPACE, name): State(name, draw(st.sampled_from(CATEGORIES)), draw(st.integers(0, 5)) == 0)
        for name in draw(st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=len(names)))
    }


@st.composite
def worlds(draw: st.DrawFn, key_type: str) -> World:
    """Draw a world whose last keys and names are not used, so that something is left to come."""
    keys = KEYS[key_type][:-3]
    songs = draw(st.dictionaries(st.sampled_from(keys), st.sampled_from(TITLES), max_size=len(keys)))
    tags = draw(tag_states(NAMES[:-2]))
    # One of them is of no song: an application need not guard its links.
    pairs = st.tuples(st.sampled_from([*songs, keys[0]]), st.sampled_from(sorted(tags)))
    links = draw(st.sets(pairs, max_size=40))
    synonyms = draw(st.dictionaries(st.sampled_from(SPELLINGS), st.sampled_from(sorted(tags)), max_size=4))
    return World(songs, tags, links, synonyms)


@st.composite
def changed(draw: st.DrawFn, world: World, key_type: str) -> tuple[World, set[Any], set[UUID]]:
    """Draw a later state of a world, with the keys and ids of what changed."""
    songs, links = dict(world.songs), set(world.links)
    tags = {tag: State(**vars(state)) for tag, state in world.tags.items()}
    changed_tags = draw(tag_states(NAMES)) if draw(st.booleans()) else {}
    tags.update(changed_tags)
    keys = draw(st.sets(st.sampled_from(KEYS[key_type]), max_size=6))
    for key in keys:
        links = {link for link in links if link[0] != key}
        if draw(st.booleans()):
            songs[key] = draw(st.sampled_from(TITLES))
            links |= {(key, tag) for tag in draw(st.sets(st.sampled_from(sorted(tags)), max_size=4))}
        else:
            songs.pop(key, None)
    return World(songs, tags, links, world.synonyms), keys, set(changed_tags)


@st.composite
def queries(draw: st.DrawFn) -> SearchQuery:
    """Draw a question."""
    texts = st.sampled_from([*NAMES, *SPELLINGS, *(str(uuid5(SPACE, name)) for name in NAMES), "no such tag", ""])
    return SearchQuery(
        tags=tuple(draw(st.lists(texts, max_size=4))),
        match=draw(st.sampled_from(("all", "any", "any"))),
        without=tuple(draw(st.lists(texts, max_size=2))),
        text=draw(st.sampled_from(TEXTS)) if draw(st.booleans()) else "",
        limit=draw(st.integers(1, 6)),
        facets=draw(st.sampled_from((None, 0, 1, 2, 10))),
        categories=tuple(draw(st.lists(st.sampled_from((*CATEGORIES, "none")), max_size=2, unique=True))),
        disjunctive=tuple(draw(st.lists(st.sampled_from((*CATEGORIES, "none")), max_size=3, unique=True))),
    )
