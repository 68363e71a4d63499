"""Any songs, any schedule of runs, kills, dry runs, rollbacks and user edits: the guarantees hold after every step."""

import copy
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from psycopg import sql

from tags.normalise import normalise
from tests.properties.themes_model import DECISIONS, THEMES, Model, dump, segue

SONGS = st.integers(1, 9)
AT_REST = ("none", "complete", "rolled_back")


class ThemesMachine(RuleBasedStateMachine):
    """One database per example; `links` maps (song, tag) to its maker: a run's number, or None for a person."""

    def __init__(self, server: Any, template: str) -> None:
        super().__init__()
        self.server, self.name = server, f"machine_{os.getpid()}_{time.monotonic_ns()}"
        self.admin("CREATE DATABASE {} TEMPLATE {}", self.name, template)
        self.db = psycopg.connect(server.url(self.name), autocommit=True)
        self.model = Model()
        self.links: dict[tuple[int, str], int | None] = {}
        self.before: dict[int, Any] = {}  # run -> the application's schema when it began, until a user writes
        self.proven: dict[int, Model] = {}  # run -> what it was complete for
        self.has_deleted = False

    def teardown(self) -> None:
        """Drop the example's database."""
        self.db.close()
        self.admin("DROP DATABASE {} WITH (FORCE)", self.name)

    def admin(self, statement: str, *names: str) -> None:
        """Run a statement about whole databases."""
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as admin:
            admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def run(self, condition: str = "true") -> tuple[int, str]:
        """Return the latest run's number and status, or (0, "none")."""
        query = f"SELECT id, status FROM segue.runs WHERE {condition} ORDER BY id DESC LIMIT 1"
        return self.db.execute(query).fetchone() or (0, "none")

    def killed(self, nth: int, *arguments: str) -> None:
        """SIGKILL a child at its nth step (it may be done before), and wait until the server has noticed."""
        child = os.fork()
        if child == 0:
            os.environ["SEGUE_FAILPOINT"] = f"*#{nth}"
            try:
                os._exit(segue(*arguments)[0])
            finally:
                os._exit(99)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (-9, 0, 4, 5, 6, 7)
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        while self.db.execute(query).fetchone() != (0,):
            time.sleep(0.01)

    # -- commands

    @initialize(
        songs=st.dictionaries(SONGS, THEMES, min_size=2), load=st.sampled_from(["auto", "live"]), xmas=st.booleans()
    )
    def start(self, songs: Any, load: str, xmas: bool) -> None:
        """An application with songs, a tag and a synonym."""
        os.environ["DATABASE_URL"] = self.server.url(self.name)
        self.load = ("--load", load)
        self.db.execute("CREATE TABLE songs (id bigint PRIMARY KEY, title text, themes text[])")
        self.db.execute("INSERT INTO tags (name, normalized_name) VALUES ('Our Theme', 'our theme')")
        self.db.execute("INSERT INTO tag_synonyms (synonym, canonical_tag_id) SELECT 'Gladness', id FROM tags")
        if xmas:
            self.db.execute("INSERT INTO tags (name, normalized_name) VALUES ('Xmas', 'xmas')")
        self.model = Model({}, {"our theme", *(["xmas"] if xmas else [])}, {"gladness": "our theme"})
        for song, themes in songs.items():
            self.edit_song(song, themes)

    @rule(
        chunks=st.none() | st.integers(0, 4),
        batch=st.sampled_from([1, 2, 3, 1000]),
        kill=st.none() | st.integers(1, 90),
    )
    def migrate(self, chunks: int | None, batch: int, kill: int | None) -> None:
        """G1, G2, G5, G7: wherever it was stopped or killed before, a run ends in the state of a clean one."""
        last, status = self.run()
        picture = dump(self.db, "public")
        limit = ("--max-chunks", str(chunks)) if chunks is not None else ()
        arguments = ("migrate", "--json", "--batch-size", str(batch), *self.load, *limit)
        code, body = (None, None) if kill else segue(*arguments)
        if kill:
            self.killed(kill, *arguments)
        run, now = self.run()
        if run != last:
            self.before[run] = picture
        if kill and (run, now) == (last, status) == (run, "complete"):
            self.migrate(None, batch, None)  # whether it was brought up to date before it was killed, nobody knows
        elif kill and now == "complete":
            self.completed(run)
        elif not kill and status == "rolling_back":
            assert 5 == code, body
        elif code == 6:
            assert ("paused", True) == (now, chunks is not None)
        elif not kill:
            elements = self.model.elements()
            assert (4 if elements["quarantined"] else 0) == code, body
            is_same = status == "complete" and self.proven[last] == self.model
            assert (is_same, elements) == (body["unchanged"], body["elements"])
            if is_same:
                assert picture == dump(self.db, "public")
            else:
                self.completed(run)

    def completed(self, run: int) -> None:
        """Take note of what is due from here on, and have it proven."""
        others = {pair: owner for pair, owner in self.links.items() if owner != run}
        self.links = {**dict.fromkeys(self.model.links(), run), **others}
        self.proven[run] = copy.deepcopy(self.model)
        self.validate()

    @rule()
    def dry_run(self) -> None:
        """G3: a dry run leaves every byte of both schemas, and says what is due."""
        before = dump(self.db, "public", "segue")
        code, body = segue("migrate", "--dry-run", "--json", *self.load)
        assert (0, self.model.elements()) == (code, body["elements"])
        assert before == dump(self.db, "public", "segue")

    @rule(kill=st.none() | st.integers(1, 60))
    def rollback(self, kill: int | None) -> None:
        """G6: rollback removes what the run made and keeps what people did; without writes of theirs, byte for byte."""
        run, status = self.run("status <> 'rolled_back'")
        tags = self.db.execute("SELECT normalized_name, color FROM tags WHERE run_id = %s", [run]).fetchall()
        foreign = {tag for (_, tag), owner in self.links.items() if owner != run}
        has_conflicts = any(tag in foreign or color == "#123456" for tag, color in tags)
        if kill:
            self.killed(kill, "rollback")
        else:
            code, said = segue("rollback")
            assert (0 if status == "rolling_back" else 7 if has_conflicts else 0 if run else 5) in (code, 0), said
        if run and self.run(f"id = {run}")[1] == "rolled_back":
            self.links = {pair: owner for pair, owner in self.links.items() if owner != run}
            if run in self.before:
                assert self.before.pop(run) == dump(self.db, "public")

    @rule()
    def validate(self) -> None:
        """G5: a complete run of an unchanged source is proven equal; without a complete run it is refused."""
        run, status = self.run("status <> 'rolled_back'")
        code, said = segue("validate", "--json")
        if status != "complete":
            assert 5 == code
        elif self.proven[run].songs == self.model.songs:
            assert 0 == code, said

    @rule(decision=st.sampled_from(DECISIONS))
    def import_vocabulary(self, decision: tuple[str, str]) -> None:
        """Decisions count from the next run on, and are refused while one is unfinished."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "words.csv"
            file.write_text("raw,canonical\n{},{}\n".format(*decision), "utf-8")
            code, said = segue("vocabulary", "import", str(file))
        assert (0 if self.run()[1] in AT_REST else 5) == code, said
        if code == 0:
            query = "SELECT normalized, canonical_normalized FROM segue.decisions"
            self.model.decisions = dict(self.db.execute(query).fetchall())
            assert normalise(decision[1]) == self.model.tag_of(decision[0])

    # -- people

    def wrote(self) -> None:
        """Forget what a rollback would have to restore byte for byte."""
        self.before.clear()

    @rule(song=SONGS, themes=THEMES)
    def edit_song(self, song: int, themes: Any) -> None:
        """Add a song, or give one other themes."""
        upsert = "INSERT INTO songs VALUES (%s, 't', %s) ON CONFLICT (id) DO UPDATE SET themes = excluded.themes"
        self.db.execute(upsert, [song, themes])
        self.model.songs[song] = themes
        self.wrote()

    @rule(song=SONGS)
    def delete_song(self, song: int) -> None:
        """Delete a song with its links."""
        self.db.execute("DELETE FROM songs WHERE id = %s", [song])
        self.model.songs.pop(song, None)
        self.links = {pair: owner for pair, owner in self.links.items() if pair[0] != song}
        self.has_deleted = True
        self.wrote()

    @rule(nth=st.integers(0, 7), song=SONGS)
    def link_song(self, nth: int, song: int) -> None:
        """Add a tag to a song by hand, as the application does it."""
        tags = self.db.execute("SELECT id, normalized_name FROM tags ORDER BY 2").fetchall()
        identity, tag = tags[nth % len(tags)]
        query = "SELECT 1 FROM song_tags WHERE song_id::text = %s::text AND tag_id = %s"
        is_ready = "bigint" in str(self.db.execute("SELECT pg_typeof(song_id) FROM song_tags LIMIT 1").fetchone())
        if not is_ready or song not in self.model.songs or self.db.execute(query, [song, identity]).fetchone():
            return
        self.db.execute("INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s)", [song, identity])
        self.db.execute("UPDATE tags SET usage_count = usage_count + 1 WHERE id = %s", [identity])
        self.links[song, tag] = None
        self.wrote()

    @rule(nth=st.integers(0, 7))
    def edit_tag(self, nth: int) -> None:
        """Give a tag another color."""
        nth_tag = "SELECT id FROM tags ORDER BY normalized_name OFFSET %s LIMIT 1"
        self.db.execute(f"UPDATE tags SET color = '#123456' WHERE id = ({nth_tag})", [nth])
        self.wrote()

    @invariant()
    def others_links_stand(self) -> None:
        """G4: what people and earlier runs made is there at all times; at rest, exactly what is due is there."""
        run, status = self.run("status <> 'rolled_back'")
        joined = "song_tags l JOIN tags t ON t.id = l.tag_id JOIN songs s ON s.id::text = l.song_id::text"
        query = f"SELECT s.id, t.normalized_name, l.run_id FROM {joined}"
        stored = sorted(self.db.execute(query).fetchall(), key=str)
        due = sorted(((*pair, owner) for pair, owner in self.links.items()), key=str)
        at_work = () if status in AT_REST else (run,)
        assert [link for link in due if link[2] not in at_work] == [link for link in stored if link[2] not in at_work]
        links = "SELECT count(*) FROM song_tags WHERE tag_id = tags.id"
        wrong = self.db.execute(f"SELECT normalized_name FROM tags WHERE usage_count <> ({links})").fetchall()
        assert at_work or self.has_deleted or not wrong


@pytest.mark.slow
@pytest.mark.system
def test_any_schedule_keeps_every_guarantee(server, template, monkeypatch) -> None:
    """A random schedule of commands, kills and users keeps G1 to G7 after every step."""
    monkeypatch.setenv("DATABASE_URL", "")
    examples = settings(max_examples=25, stateful_step_count=12)
    run_state_machine_as_test(lambda: ThemesMachine(server, template), settings=examples)
