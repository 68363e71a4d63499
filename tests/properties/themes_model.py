"""What the property tests share: nasty theme texts, and a model of what a run makes of them."""

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from hypothesis import strategies as st

from tags import starter
from tags.normalise import normalise, problem

BASE = ["Hope", "Grace", "Xmas", "Praise the Lord", "Pop", "Our Theme", "gladness", "noël", "Straße", "ǰ" * 26]
VARIANTS = [
    str,
    str.upper,
    str.lower,
    lambda text: f"  {text}\u200b ",
    lambda text: text.replace(" ", " \u3000"),
    lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    lambda text: text.replace("ë", "e\u0308").replace("ǰ", "J\u030c"),
]
NASTY = [
    "",
    " \t",
    "\u200b",
    "x" * 51,
    "y" * 1200,
    "bad\x07bell",
    "ß" * 26,
    "a,b",
    "{}",
    '"',
    "NULL",
    "100%",
    "\\",
    "🎵",
]
TEXTS = st.builds(lambda text, vary: vary(text), st.sampled_from(BASE), st.sampled_from(VARIANTS)) | st.sampled_from(
    NASTY
)
THEMES = st.none() | st.lists(st.none() | TEXTS, max_size=5)
#: Texts and the tags that an admin may decide for them.
DECISIONS = [("pop", "Grace"), ("pop", "Pop"), ("our theme", "Peace"), ("x" * 51, "Long One"), ("straße", "Hope")]

_STANDARD = {normalise(text): normalise(tag.name) for tag in starter.load() for text in (tag.name, *tag.synonyms)}


@dataclass
class Model:
    """Songs with their themes, the application's own words, and an admin's decisions."""

    songs: dict[int, list[str | None] | None] = field(default_factory=dict)
    own_tags: set[str] = field(default_factory=set)
    own_synonyms: Mapping[str, str] = field(default_factory=dict)
    decisions: dict[str, str] = field(default_factory=dict)

    def tag_of(self, text: str | None) -> str | None:
        """Return the tag due for a text: '' when it is blank, None when it belongs in quarantine."""
        normal = normalise(text or "")
        if normal in self.decisions:
            return self.decisions[normal]
        if text is None or not normal:
            return ""
        if problem(text) is not None:
            return None
        return normal if normal in self.own_tags else self.own_synonyms.get(normal, _STANDARD.get(normal, normal))

    def links(self) -> set[tuple[int, str]]:
        """Return the links due, as (song, normalised tag name)."""
        found = {(song, self.tag_of(text)) for song, themes in self.songs.items() for text in themes or ()}
        return {(song, tag) for song, tag in found if tag}

    def elements(self) -> dict[str, int]:
        """Return the accounting due for all elements."""
        tags = [self.tag_of(text) for themes in self.songs.values() for text in themes or ()]
        linked = len(self.links())
        return {
            "total": len(tags),
            "linked": linked,
            "merged": sum(map(bool, tags)) - linked,
            "blank": tags.count(""),
            "quarantined": tags.count(None),
        }


def dump(db: psycopg.Connection[Any], *schemas: str) -> dict[str, Any]:
    """Return rows, column types, constraints and indexes of every table, and the sequences."""
    tables = "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY(%s)"
    each = """
        SELECT
            array_agg(t::text ORDER BY t::text COLLATE "C"),
            (SELECT array_agg(format_type(atttypid, atttypmod) ORDER BY attnum)
                FROM pg_attribute WHERE attrelid = '{0}'::regclass AND attnum > 0),
            (SELECT array_agg(conname || convalidated || pg_get_constraintdef(oid) ORDER BY conname)
                FROM pg_constraint WHERE conrelid = '{0}'::regclass),
            (SELECT array_agg(pg_get_indexdef(indexrelid) ORDER BY 1) FROM pg_index WHERE indrelid = '{0}'::regclass)
        FROM {0} AS t"""
    found = {
        name: db.execute(each.format(name)).fetchall() for (name,) in db.execute(tables, [list(schemas)]).fetchall()
    }
    query = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = ANY(%s) ORDER BY 1"
    return {**found, "sequences": db.execute(query, [list(schemas)]).fetchall()}


def segue(*arguments: str) -> tuple[int, Any]:
    """Run a command; return its exit code and its JSON, or what it said."""
    from migrator.cli import segue as group

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            group.main(list(arguments), prog_name="segue")
        except SystemExit as end:
            code = int(end.code or 0)
    lines = out.getvalue().strip().splitlines()
    return code, json.loads(lines[-1]) if "--json" in arguments and lines else err.getvalue()
