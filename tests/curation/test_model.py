"""Any sequence of acts, undos and people's links against a model of a few dictionaries."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from service.curation import errors
from tags.normalise import normalise
from tests.curation.desk import Desk, song

NAMES = ["Hope", "HOPE", "Joy", "Xmas", "Christmas", " Noel"]
COLUMNS = ("name", "category", "color", "is_standard", "banned")
picks = st.integers(0, 5)
names = st.sampled_from(NAMES)


@dataclass
class Model:
    """What should be there; a link's value tells it from one that was made later."""

    tags: dict[str, dict[str, Any]] = field(default_factory=dict)
    synonyms: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    links: dict[tuple[int, str], int] = field(default_factory=dict)

    def owner(self, name: str) -> str | None:
        """Return the tag that a text leads to."""
        normal = normalise(name)
        named = [tag_id for tag_id, tag in self.tags.items() if normalise(tag["name"]) == normal]
        return named[0] if named else self.synonyms.get(normal)

    def songs(self, tag_id: str) -> set[int]:
        """Return the songs of a tag."""
        return {number for number, linked in self.links if linked == tag_id}

    def rename(self, tag_id: str, name: str, *, keep_old: bool) -> None:
        """A synonym may become the name, and the old name a synonym."""
        old, new = normalise(self.tags[tag_id]["name"]), normalise(name)
        self.tags[tag_id]["name"] = " ".join(name.split())
        self.synonyms.pop(new, None)
        if keep_old and old != new:
            self.synonyms[old] = tag_id

    def merge(self, source: str, target: str) -> Callable[["Model"], None]:
        """Everything leads to the target; returns what undoes it."""
        moved = {number: self.links.pop((number, source)) for number in self.songs(source)}
        double = {number for number in moved if (number, target) in self.links}
        self.links |= {(number, target): stamp for number, stamp in moved.items() if number not in double}
        words = [text for text, tag_id in self.synonyms.items() if tag_id == source]
        ids = [old for old, tag_id in self.redirects.items() if tag_id == source]
        tag = self.tags.pop(source)
        own = normalise(tag["name"])
        self.synonyms |= dict.fromkeys([*words, own], target)
        self.redirects |= dict.fromkeys([*ids, source], target)

        def undo(model: "Model") -> None:
            model.tags[source] = tag
            del model.redirects[source]
            if model.synonyms.get(own) == target:
                del model.synonyms[own]
            model.synonyms |= {text: source for text in words if model.synonyms.get(text) == target}
            model.redirects |= {old: source for old in ids if model.redirects.get(old) == target}
            for number, stamp in moved.items():
                if number in double and (number, target) in model.links:
                    model.links[number, source] = stamp
                elif number not in double and model.links.get((number, target)) == stamp:
                    model.links[number, source] = model.links.pop((number, target))

        return undo


class Curating(RuleBasedStateMachine):
    """Acts on a database and on the model."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        desk.clear()
        self.desk, self.model, self.stamp = desk, Model(), 0
        self.done: list[tuple[int, Callable[[Model], None]]] = []
        self.is_untouched = False  # by people since the last act

    def pick(self, number: int, *, banned: bool = False) -> str | None:
        """Return one of the tags."""
        ids = [tag_id for tag_id, tag in self.model.tags.items() if banned or not tag["banned"]]
        return ids[number % len(ids)] if ids else None

    def logged(self, log_id: int | None, undo: Callable[[Model], None]) -> None:
        """Remember an act that changed something."""
        if log_id is not None:
            self.done.append((log_id, undo))
            self.is_untouched = True

    def change(self, tag_id: str, log_id: int | None, **values: object) -> None:
        """Change the model's tag."""
        was = {name: self.model.tags[tag_id][name] for name in values}
        self.model.tags[tag_id] |= values
        self.logged(log_id, lambda model: model.tags[tag_id].update(was))

    @rule(name=names)
    def create(self, name: str) -> None:
        """A name is free or the act is refused."""
        if self.model.owner(name) is not None:
            with pytest.raises((errors.NameTaken, errors.NameIsSynonym)):
                self.desk.create(name)
            return
        done = self.desk.create(name)
        tag_id = done.tags[0].id
        look = {"category": "theme", "color": None, "is_standard": False, "banned": False}
        self.model.tags[tag_id] = {"name": " ".join(name.split()), **look}
        self.logged(done.log_id, lambda model: model.tags.pop(tag_id) and None)

    @rule(number=picks, name=names, keep_old=st.booleans())
    def rename(self, number: int, name: str, keep_old: bool) -> None:
        """The name is free, the tag's own, or the act is refused."""
        if (tag_id := self.pick(number)) is None:
            return
        if self.model.owner(name) not in {None, tag_id}:
            with pytest.raises((errors.NameTaken, errors.NameIsSynonym)):
                self.desk.rename(tag_id, name, keep_old=keep_old)
            return
        old, had = self.model.tags[tag_id]["name"], normalise(name) in self.model.synonyms
        done = self.desk.rename(tag_id, name, keep_old=keep_old)
        self.model.rename(tag_id, name, keep_old=keep_old)

        def undo(model: Model) -> None:
            new = normalise(model.tags[tag_id]["name"])
            model.rename(tag_id, old, keep_old=had)
            if had:
                model.synonyms[new] = tag_id

        self.logged(done.log_id, undo)

    @rule(number=picks, category=st.sampled_from(["theme", "mood"]), color=st.sampled_from([None, "#abcdef"]))
    def look(self, number: int, category: str, color: str | None) -> None:
        """Category, color and standing."""
        if (tag_id := self.pick(number)) is not None:
            self.change(tag_id, self.desk.recategorise(tag_id, category).log_id, category=category)
            self.change(tag_id, self.desk.recolour(tag_id, color).log_id, color=color)
            if color and category == "mood":
                self.change(tag_id, self.desk.promote(tag_id).log_id, is_standard=True)

    @rule(number=picks)
    def ban(self, number: int) -> None:
        """Hide one."""
        if number < 2 and (tag_id := self.pick(number)) is not None:
            self.change(tag_id, self.desk.ban(tag_id, "why").log_id, banned=True)

    @rule(number=picks, name=names, replace=st.booleans())
    def synonym(self, number: int, name: str, replace: bool) -> None:
        """A text leads nowhere yet, or is moved on demand, or the act is refused."""
        if (tag_id := self.pick(number)) is None:
            return
        text, owner = normalise(name), self.model.owner(name)
        is_name = owner is not None and normalise(self.model.tags[owner]["name"]) == text
        is_moved = owner is None or owner == tag_id or (replace and not self.model.tags[owner]["banned"])
        if is_name or not is_moved:
            with pytest.raises(errors.CurationError) as refused:
                self.desk.synonym(tag_id, name, replace=replace)
            assert refused.value.code in {
                "synonym_of_itself",
                "synonym_is_tag",
                "synonym_taken",
                "banned_tag",
                "name_banned",
            }
            return
        done = self.desk.synonym(tag_id, name, replace=replace)
        self.model.synonyms[text] = tag_id

        def undo(model: Model) -> None:
            del model.synonyms[text]
            if owner is not None:
                model.synonyms[text] = owner

        self.logged(done.log_id, undo)

    @rule(number=picks)
    def unsynonym(self, number: int) -> None:
        """Take one away."""
        own = [text for text, tag_id in self.model.synonyms.items() if not self.model.tags[tag_id]["banned"]]
        if own:
            text = own[number % len(own)]
            tag_id = self.model.synonyms.pop(text)
            done = self.desk.unsynonym(tag_id, text.upper())
            self.logged(done.log_id, lambda model: model.synonyms.update({text: tag_id}))

    @rule(first=picks, second=picks)
    def merge(self, first: int, second: int) -> None:
        """Any two tags."""
        source, target = self.pick(first), self.pick(second)
        if source is not None and source != target:
            done = self.desk.merge(source, target)
            self.logged(done.log_id, self.model.merge(source, target))

    @precondition(lambda self: self.done)
    @rule(number=st.integers(0, 3))
    def undo(self, number: int) -> None:
        """The latest act can always be undone; an earlier one is, or the state has moved on and nothing changes."""
        place = max(len(self.done) - 1 - number, 0)
        log_id, undo = self.done[place]
        is_latest = place == len(self.done) - 1 and self.is_untouched
        try:
            self.desk.undo(log_id)
        except (errors.MovedOn, errors.NameTaken, errors.NameIsSynonym, errors.TagInUse):
            assert not is_latest
        else:
            undo(self.model)
            del self.done[place]
            self.is_untouched = self.is_untouched and is_latest

    @rule(number=picks, songs=st.sets(st.integers(1, 4), min_size=1))
    def link(self, number: int, songs: set[int]) -> None:
        """People link songs."""
        if (tag_id := self.pick(number, banned=True)) is not None:
            for each in songs - self.model.songs(tag_id):
                self.stamp += 1
                self.desk.link(tag_id, each)
                self.model.links[each, tag_id] = self.stamp
                self.is_untouched = False

    @rule(number=picks, songs=st.sets(st.integers(1, 4), min_size=1))
    def unlink(self, number: int, songs: set[int]) -> None:
        """People take links away."""
        if (tag_id := self.pick(number, banned=True)) is not None:
            for each in songs & self.model.songs(tag_id):
                self.desk.unlink(tag_id, each)
                del self.model.links[each, tag_id]
                self.is_untouched = False

    @invariant()
    def database_is_as_the_model_says(self) -> None:
        """Tags, synonyms, redirects and links are equal; counts are exact; nothing leads to what is not there."""
        run = self.desk.connection.execute
        tags = run(
            "SELECT id::text, name, category, color, is_standard, EXISTS (SELECT FROM segue.banned_tags WHERE tag_id = id),"
            " normalized_name FROM tags"
        ).fetchall()
        assert {row[0]: dict(zip(COLUMNS, row[1:-1], strict=True)) for row in tags} == self.model.tags
        assert all(normalise(row[1]) == row[-1] for row in tags)
        assert dict(run("SELECT synonym, canonical_tag_id::text FROM tag_synonyms").fetchall()) == self.model.synonyms
        assert (
            dict(run("SELECT old_id::text, tag_id::text FROM segue.tag_redirects").fetchall()) == self.model.redirects
        )
        links = run("SELECT song_id::text, tag_id::text FROM song_tags").fetchall()
        assert {(song(number), tag_id) for number, tag_id in self.model.links} == set(links)
        assert [] == self.desk.wrong_counts()
        assert not {row[-1] for row in tags} & set(self.model.synonyms), "no chains"
        assert set(self.model.redirects.values()) <= set(self.model.tags)


def test_acts_and_undos_against_a_model(desk) -> None:
    """Hypothesis looks for a sequence after which database and model differ."""
    run_state_machine_as_test(
        lambda: Curating(desk),
        settings=settings(max_examples=40, stateful_step_count=30, suppress_health_check=list(HealthCheck)),
    )


def test_the_model_is_a_model() -> None:
    """Merging and undoing without anything between gives the same model."""
    model = Model({"a": {"name": "A"}, "b": {"name": "B"}}, {"x": "a"}, {}, {(1, "a"): 1, (1, "b"): 2, (2, "a"): 3})
    before = deepcopy(model)
    model.merge("a", "b")(model)
    assert before == model
