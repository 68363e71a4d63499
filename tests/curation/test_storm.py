"""Counts stay exact while an application links and unlinks songs and curators merge and undo at the same time."""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import psycopg
import pytest

from service.curation import acts
from service.curation.errors import CurationError, NameTaken, TagBusy

TAGS = 6
SECONDS = 3.0


@dataclass
class Storm:
    """Threads of an application, each with a connection of its own, until the curator has finished."""

    url: str
    tags: list[str]
    ended: threading.Event = field(default_factory=threading.Event)
    done: Counter[str] = field(default_factory=Counter)
    failed: list[BaseException] = field(default_factory=list)

    def run(self, action, seed: int) -> None:
        """Do an action again and again; a tag that was merged meanwhile and a link that is there are no failures."""
        chance = random.Random(seed)
        try:
            with psycopg.connect(self.url, autocommit=True) as connection:
                while not self.ended.is_set():
                    try:
                        with connection.transaction():
                            action(connection, chance, self.tags)
                        self.done[action.__name__] += 1
                    except (psycopg.errors.ForeignKeyViolation, psycopg.errors.UniqueViolation):
                        self.done["refused"] += 1
        except psycopg.Error as error:
            self.failed.append(error)


def count(connection, tag: str, by: int) -> int:
    """Change a tag's count; return how many tags there were to change."""
    return connection.execute("UPDATE tags SET usage_count = usage_count + %s WHERE id = %s", [by, tag]).rowcount


def song(chance: random.Random, group: int) -> str:
    """Return one of thirty songs; applications of different habits have different ones."""
    return f"00000000-0000-0000-0000-{group:04d}{chance.randrange(30):08d}"


LINK = "INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s)"


def link_then_count(connection, chance, tags) -> None:
    """The usual application, which learns from an error that the link or no tag is there."""
    tag = chance.choice(tags)
    connection.execute(LINK, [song(chance, 1), tag])
    count(connection, tag, 1)


def count_then_link(connection, chance, tags) -> None:
    """One that counts first."""
    tag = chance.choice(tags)
    if (
        count(connection, tag, 1)
        and not connection.execute(f"{LINK} ON CONFLICT DO NOTHING", [song(chance, 2), tag]).rowcount
    ):
        count(connection, tag, -1)


def link_several(connection, chance, tags) -> None:
    """One that saves a song with several tags at once, always in one order of its own."""
    link = "INSERT INTO song_tags (song_id, tag_id) SELECT %s, id FROM tags WHERE id = %s FOR KEY SHARE ON CONFLICT DO NOTHING"
    for tag in sorted(chance.sample(tags, 3), key=lambda tag: tag[::-1]):
        if connection.execute(link, [song(chance, 3), tag]).rowcount:
            count(connection, tag, 1)


def unlink(connection, chance, tags) -> None:
    """One that takes links away."""
    tag, unlinked = chance.choice(tags), song(chance, chance.choice([1, 3]))
    if connection.execute("DELETE FROM song_tags WHERE song_id = %s AND tag_id = %s", [unlinked, tag]).rowcount:
        count(connection, tag, -1)


def test_counts_are_exact_in_a_storm(own_desk, database_url) -> None:
    """Whatever the application's order of statements, it never meets a deadlock, and no count is ever off by one."""
    desk = own_desk
    storm = Storm(database_url, [desk.make(f"tag {number}", links=(number, 99)) for number in range(TAGS)])
    actions = [link_then_count, link_then_count, count_then_link, link_several, unlink, unlink]
    threads = [threading.Thread(target=storm.run, args=(action, seed)) for seed, action in enumerate(actions)]
    for thread in threads:
        thread.start()
    chance, merges, outcome = random.Random(7), [], Counter()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and not storm.failed:
        try:
            if merges and (len(merges) == TAGS - 1 or chance.random() < 0.5):
                desk.undo(merges[-1])
                merges.pop()
                outcome["undone"] += 1
            else:
                merges.append(desk.merge(*chance.sample(storm.tags, 2)).log_id)
                outcome["merged"] += 1
        except TagBusy:
            outcome["busy"] += 1
        except CurationError:  # the two were chosen blindly: one is gone
            outcome["refused"] += 1
    storm.ended.set()
    for thread in threads:
        thread.join()

    assert [] == storm.failed
    assert ([], 0) == (desk.wrong_counts(), desk.orphans())
    while merges:
        desk.undo(merges.pop())
    assert ([], 0) == (desk.wrong_counts(), desk.orphans())
    assert TAGS == len(storm.tags) == desk.connection.execute("SELECT count(*) FROM tags").fetchone()[0]
    assert outcome["merged"] >= 5
    assert outcome["undone"] >= 5
    assert outcome["busy"] <= outcome["merged"]
    assert all(storm.done[action.__name__] > 20 for action in actions)


def test_curators_take_turns(desk) -> None:
    """While one acts, another one waits, and is told when that takes too long; the application goes on."""
    hope = desk.make("Hope")
    impatient = desk.database.waiting_at_most(100)
    with desk.database.transaction() as transaction:
        acts.recolour(transaction, desk.curator, hope, "#000001")
        with pytest.raises(TagBusy), impatient.transaction() as other:
            acts.create(other, desk.curator, "Joy")
        desk.connection.execute("INSERT INTO tags (name, normalized_name) VALUES ('Grace', 'grace')")


@pytest.mark.parametrize("act", ["create", "rename", "synonym"])
def test_a_name_that_the_application_takes_at_this_moment(desk, act) -> None:
    """The act waits for the application's transaction and then says whose the name is."""
    hope = desk.make("Hope")
    args = {"create": ["Joy"], "rename": [hope, "Joy"], "synonym": [hope, "Joy"]}
    table = ("tag_synonyms", "synonym, canonical_tag_id", f"'joy', '{hope}'")
    if act != "synonym":
        table = ("tags", "name, normalized_name", "'Joy', 'joy'")
    failed: list[BaseException] = []

    def run() -> None:
        try:
            getattr(desk, act)(*args[act])
        except CurationError as error:
            failed.append(error)

    with psycopg.connect(str(desk.database)) as rival:
        rival.execute("INSERT INTO {} ({}) VALUES ({})".format(*table))
        thread = threading.Thread(target=run)
        thread.start()
        while not desk.connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'transactionid'"
        ).fetchall():
            assert thread.is_alive()
        rival.commit()
        thread.join()

    assert [TagBusy if act == "synonym" else NameTaken] == [type(error) for error in failed]


def test_a_lock_that_is_never_had(desk) -> None:
    """A merge gives up after a bounded time, without a trace."""
    hope, joy = desk.make("Hope", links=(1,)), desk.make("Joy")
    before = desk.state()
    with psycopg.connect(str(desk.database)) as rival:
        rival.execute("SELECT 1 FROM tags WHERE id = %s FOR UPDATE", [joy])
        with pytest.raises(TagBusy, match="lock timeout"):
            desk.merge(hope, joy)

    assert before == desk.state()
