"""Random edits on both sides, in several sessions: arrays and tags are what a plain model says, also after a rollback."""

from dataclasses import dataclass, field
from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tags.normalise import normalise
from tests.mirror.test_both import BOTH, tag, unwritten
from tests.mirror.test_forward import late
from tests.properties.themes_model import THEMES, Model

SONGS = st.integers(1, 2)
TAGS = st.sampled_from(["Hope", "Grace", "Christmas"])
LISTS = st.lists(st.sampled_from(["Hope", " HOPE", "grace", "xmas", "", None]), max_size=4) | THEMES
EDITS = (
    st.tuples(st.sampled_from(["link", "unlink"]), SONGS, TAGS)
    | st.tuples(st.just("set"), SONGS, LISTS)
    | st.tuples(st.just("unlink nth"), SONGS, st.integers(0, 3))
    | st.tuples(st.just("again"), SONGS, st.none())
)
ALONE = st.tuples(st.sampled_from(["delete tag", "rename tag"]), TAGS)
TRANSACTIONS = st.tuples(
    st.integers(0, 2), st.lists(EDITS, min_size=3, max_size=6) | ALONE, st.sampled_from([False, False, False, True])
)


@dataclass
class Sides:
    """What is due: the legacy arrays; links are what these mean; `people` are the pairs that people linked."""

    model: Model = field(default_factory=Model)
    people: set[tuple[int, str]] = field(default_factory=set)

    def tags(self, song: int) -> set[str]:
        """Return the tags of a song."""
        return {name for number, name in self.model.links() if number == song}


class Editing:
    """One transaction of a person's, and what it makes of the model if it commits."""

    def __init__(self, connection: psycopg.Connection[Any], sides: Sides) -> None:
        self.db, self.sides = connection, sides
        self.arrays = dict(sides.model.songs)
        self.links = sides.model.links()  # as the transaction sees them: array edits show at the commit
        self.noted: dict[tuple[int, str], str] = {}
        self.people = set(sides.people)

    def edit(self, kind: str, song: int, what: Any) -> None:
        """Do one edit, in the database and here."""
        if kind == "set":
            self.db.execute("UPDATE songs SET themes = %s WHERE id = %s", [what, song])
            self.arrays[song] = what
        elif kind == "again":
            self.db.execute("DELETE FROM songs WHERE id = %s", [song])
            self.db.execute("INSERT INTO songs VALUES (%s, 't', %s)", [song, self.arrays[song]])
            self.links = {pair for pair in self.links if pair[0] != song}
            self.people = {pair for pair in self.people if pair[0] != song}
        elif kind == "link":
            identity = tag(self.db, what)
            query = "INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s) ON CONFLICT DO NOTHING"
            if self.db.execute(query, [song, identity]).rowcount:
                self._note(song, normalise(what), "linked")
        else:
            there = sorted(name for number, name in self.links if number == song)
            name = normalise(what) if kind == "unlink" else there[what % len(there)] if there else ""
            query = "DELETE FROM song_tags USING tags WHERE id = tag_id AND song_id = %s AND normalized_name = %s"
            assert ((song, name) in self.links) == bool(self.db.execute(query, [song, name]).rowcount)
            if (song, name) in self.links:
                self._note(song, name, "unlinked")

    def _note(self, song: int, name: str, edit: str) -> None:
        assert (edit == "linked") == ((song, name) not in self.links)
        self.noted[song, name] = edit
        if edit == "linked":
            self.links.add((song, name))
            self.people.add((song, name))
        else:
            self.links.discard((song, name))
            self.people.discard((song, name))

    def of_tag(self, kind: str, name: str) -> None:
        """Delete or rename a tag."""
        old, new = normalise(name), f"Not {name}"
        if kind == "delete tag":
            self.db.execute("DELETE FROM tags WHERE normalized_name = %s", [old])
            self._respell(old, None)
            self.people = {pair for pair in self.people if pair[1] != old}
        elif old != "christmas":  # its synonyms would go on meaning it
            query = (
                "UPDATE tags SET name = %s, normalized_name = %s WHERE normalized_name = %s"
                " AND NOT EXISTS (SELECT FROM tags WHERE normalized_name = %s)"
            )
            if self.db.execute(query, [new, normalise(new), old, normalise(new)]).rowcount:
                self._respell(old, new)
                self.people = {(song, normalise(new) if name == old else name) for song, name in self.people}

    def _respell(self, old: str, new: str | None, only: int | None = None) -> None:
        """Spell the elements that mean a tag anew, or take them away."""
        for song, themes in self.arrays.items():
            if themes is not None and only in (None, song):
                means = [(text, self.sides.model.tag_of(text) == old) for text in themes]
                self.arrays[song] = [new if is_it else text for text, is_it in means if new is not None or not is_it]

    def commit(self) -> None:
        """Take the edits of links into the arrays, and forget what is no more."""
        tag_of = self.sides.model.tag_of
        for (song, name), edit in sorted(self.noted.items()):
            if edit == "unlinked":
                self._respell(name, None, song)
        names = dict(self.db.execute("SELECT normalized_name, name FROM tags").fetchall())
        for (song, name), edit in sorted(self.noted.items(), key=lambda item: names.get(item[0][1], "")):
            if edit == "linked" and name not in map(tag_of, self.arrays[song] or ()):
                self.arrays[song] = [*(self.arrays[song] or ()), names[name]]
        self.sides.model.songs = self.arrays
        links = self.sides.model.links()
        self.sides.people = {pair for pair in self.people if pair in links}


def agree(connection: psycopg.Connection[Any], sides: Sides) -> None:
    """Compare everything."""
    assert sides.model.songs == dict(connection.execute("SELECT id, themes FROM songs").fetchall())
    query = "SELECT song_id, normalized_name, l.run_id IS NULL FROM song_tags l JOIN tags t ON t.id = tag_id"
    stored = {(song, name): is_people for song, name, is_people in connection.execute(query).fetchall()}
    assert sides.model.links() == set(stored)
    assert sides.people == {pair for pair, is_people in stored.items() if is_people}
    assert ([], []) == (late(connection), unwritten(connection))


def test_any_edits_on_both_sides(songs, segue, connection, database_url) -> None:
    """Whatever is edited where, both sides say the same after every commit, and a rollback loses none of it."""
    songs([(song, ["Hope"]) for song in (1, 2)], key_type="bigint")
    assert 0 == segue(*BOTH).code
    sides = Sides(Model({song: ["Hope"] for song in (1, 2)}))
    sessions = [psycopg.connect(database_url, autocommit=True) for _ in range(3)]

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(TRANSACTIONS, min_size=5, max_size=8))
    def edit(transactions: list[Any]) -> None:
        for number, edits, is_undone in transactions:
            session = sessions[number]
            editing = Editing(session, sides)
            with session.transaction(force_rollback=is_undone):
                if isinstance(edits, tuple):
                    editing.of_tag(*edits)
                else:
                    for one in edits:
                        editing.edit(*one)
                if not is_undone:
                    editing.commit()
            agree(connection, sides)

    edit()
    assert 0 == segue("validate").code
    before = dict(sides.model.songs)
    assert segue("rollback").code in (0, 7)
    assert before == dict(connection.execute("SELECT id, themes FROM songs").fetchall())
    query = "SELECT song_id, normalized_name FROM song_tags JOIN tags ON id = tag_id"
    assert sides.people == set(connection.execute(query).fetchall())
    for session in sessions:
        session.close()
