"""Any schedule of commands, kills and users' writes with a mirror: a complete run agrees after every single write."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from tests.properties.test_themes_machine import SONGS, ThemesMachine
from tests.properties.themes_model import THEMES, segue


class MirrorMachine(ThemesMachine):
    """The state machine of the migration; in a complete run, links follow at once what users write."""

    import_vocabulary = None  # decisions count from the next `migrate` on

    @initialize(songs=st.dictionaries(SONGS, THEMES, min_size=2), xmas=st.booleans())
    def start(self, songs: Any, xmas: bool) -> None:
        """An application with songs, a tag and a synonym; usage counts are settled by commands, not by users."""
        super().start(songs, "live", xmas)
        self.load = ("--mirror", "forward")
        self.has_deleted = True

    def follow(self) -> None:
        """After a write: what the mirror has made of it, proven."""
        run, status = self.run()
        if status == "complete":
            others = {pair: owner for pair, owner in self.links.items() if owner != run}
            self.links = {**dict.fromkeys(self.model.links(), run), **others}
            self.validate()

    @rule(song=SONGS, themes=THEMES)
    def edit_song(self, song: int, themes: Any) -> None:
        """Add a song, or give one other themes."""
        super().edit_song(song, themes)
        self.follow()

    @rule(song=SONGS)
    def delete_song(self, song: int) -> None:
        """Delete a song with its links."""
        super().delete_song(song)
        self.follow()

    @rule()
    def validate(self) -> None:
        """A complete run is equal whatever was written since; nothing came late."""
        if self.run("status <> 'rolled_back'")[1] == "complete":
            assert [] == self.db.execute("SELECT * FROM segue.mirror_late").fetchall()
            code, said = segue("validate", "--json")
            assert 0 == code, said


@pytest.mark.slow
@pytest.mark.system
def test_any_schedule_with_a_mirror(server, template, monkeypatch) -> None:
    """A random schedule of commands, kills and users keeps every guarantee, and the mirror agrees after each write."""
    monkeypatch.setenv("DATABASE_URL", "")
    examples = settings(max_examples=6, stateful_step_count=12)
    run_state_machine_as_test(lambda: MirrorMachine(server, template), settings=examples)
