"""Machines that share one run: all of it is converted once, whoever is killed, stopped, refused or late."""

import os
import random
import signal
import time
from pathlib import Path

import psycopg
import pytest

from tests.crash.conftest import wait_until
from tests.crash.machines import Machine, shared_image
from tests.crash.state import THEMES, song_id

#: So many songs that three machines have something to do, and an order of magnitude more chunks than machines.
SONGS = [(song_id(number), THEMES[number % 8]) for number in range(1, 257)]
LEAD = ("migrate", "-b", "5", "--workers", "1", "--json")
JOIN = (*LEAD, "--join")
#: Sleeps beside the work, so that those who join find some.
SLOWLY = ("--nice", "6")
AT_WORK = "SELECT count(DISTINCT lease_token) FROM segue.partitions WHERE NOT is_done AND lease_token IS NOT NULL"


@pytest.fixture
def clean(songs, connection, database_url, copy_of, zygotes):
    """Fill the source and return the image of one uninterrupted run."""
    songs(SONGS)
    connection.close()
    with copy_of(database_url) as url:
        assert 4 == zygotes[0].run(url, *LEAD)[0]
        return shared_image(url)


@pytest.fixture
def look(database_url):
    """Return a function that asks the database for one value."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield lambda query, *values: (connection.execute(query, values).fetchone() or (None,))[0]


def three(start, look) -> list[Machine]:
    """Start a leader and two that join it, and wait until each of them has a partition."""
    leader = start("ann", *LEAD, *SLOWLY)
    wait_until(lambda: look("SELECT status = 'migrating' FROM segue.runs"), "the run is under way")
    machines = [leader, *(start(name, *JOIN) for name in ("bob", "cid"))]
    wait_until(lambda: look(AT_WORK) == 3 or not leader.is_running, "three are at work")
    return machines


def test_three_machines_share_a_run(clean, start, look, database_url, segue) -> None:
    """Each converts a part; status says who holds what; the result is that of one process, and all say so."""
    machines = three(start, look)
    (run,) = segue("status", "--json").json["runs"]
    assert ["ann", "bob", "cid"] == sorted(worker["holder"].partition("@")[0] for worker in run["workers"])
    assert ["ann"] == [worker["holder"].partition("@")[0] for worker in run["workers"] if worker["leads"]]
    held = [part["partition"] for worker in run["workers"] for part in worker["partitions"]]
    assert len(set(held)) == len(held) >= 3
    said = segue("status").stdout
    assert all(f"{name}@" in said for name in ("ann", "bob", "cid")), said

    ends = [machine.end() for machine in machines]
    assert [4, 4, 4] == [code for code, _, _ in ends], ends
    assert [False, True, True] == [body["joined"] for _, body, _ in ends]
    assert {("complete", len(SONGS), True)} == {
        (b["status"], b["rows"]["processed"], b["digest"]["equal"]) for _, b, _ in ends
    }
    assert clean == shared_image(database_url)
    assert look("SELECT count(*) FROM segue.events WHERE kind = 'cut'") >= 2
    assert look("SELECT count(*) FROM segue.events WHERE kind = 'join'") == 2


@pytest.mark.parametrize("seed", range(4))
def test_any_of_them_may_be_killed(seed, clean, start, look, database_url) -> None:
    """Kill -9 any of three, leader or not, at any time: the others go on, and the result is that of one process."""
    chance = random.Random(seed)
    machines = three(start, look)
    for _ in range(2):
        time.sleep(chance.uniform(0, 0.5))
        machines.pop(chance.randrange(len(machines))).kill()
        if chance.random() < 0.5:
            machines.append(start(f"dan{len(machines)}", *(JOIN if chance.random() < 0.5 else LEAD)))
    ends = [machine.end() for machine in machines]
    # One that comes late finds nothing to join, or is told who leads.
    assert {code for code, _, _ in ends} <= {4, 5}, ends
    assert 4 in {code for code, _, _ in ends}, ends
    assert clean == shared_image(database_url)


def test_the_dead_one_redoes_at_most_one_chunk(clean, start, look, database_url) -> None:
    """What a killed joiner had committed is kept: its partition goes on where its checkpoint stands."""
    machines = three(start, look)
    seq = look("SELECT sum(seq) FROM segue.partitions")
    machines[1].kill()
    ends = [machines[number].end() for number in (0, 2)]
    assert [4, 4] == [code for code, _, _ in ends], ends
    # Every chunk is at most five rows; a cut counts as one, and so does the empty chunk at a partition's end.
    partitions, cuts = (
        look(f"SELECT count(*) FROM segue.{name}") for name in ("partitions", "events WHERE kind = 'cut'")
    )
    assert look("SELECT sum(seq) FROM segue.partitions") <= len(SONGS) / 5 + 2 * partitions + cuts
    assert seq > 0
    assert clean == shared_image(database_url)


@pytest.mark.parametrize("point", ["after:runs.read_partition", "after:themes.convert"])
def test_a_superseded_joiner_cannot_commit(point, clean, start, look, database_url) -> None:
    """A joiner that slept through its lease loses its partition; its transaction fails, nothing is doubled."""
    leader = start("ann", *LEAD, *SLOWLY)
    wait_until(lambda: look("SELECT status = 'migrating' FROM segue.runs"), "the run is under way")
    joiner = start("bob", *JOIN, stop_at=(point, 3))
    wait_until(lambda: _state(joiner) == "T", "the joiner sleeps")
    before = look("SELECT row_count FROM segue.partitions ORDER BY ordinal DESC LIMIT 1")
    code, body, said = leader.end()
    assert (4, len(SONGS)) == (code, body["rows"]["processed"]), said
    assert look("SELECT row_count FROM segue.partitions WHERE ordinal = 1") > before
    os.kill(joiner.pid, signal.SIGCONT)
    code, _, said = joiner.end()
    # The run is complete when it wakes: its chunk fails, and it says how the run has ended; or that it was superseded.
    assert code in {4, 5}, said
    assert look("SELECT count(*) FROM segue.events WHERE kind = 'cut'") >= 1
    assert clean == shared_image(database_url)


def test_a_superseded_joiner_says_so(clean, start, look, database_url) -> None:
    """While the run goes on without it, a joiner that lost its partition ends with exit code 5 and commits nothing."""
    leader = start("ann", *LEAD, *SLOWLY, "--set", "nice=30")
    wait_until(lambda: look("SELECT status = 'migrating' FROM segue.runs"), "the run is under way")
    joiner = start("bob", *JOIN, stop_at=("after:themes.convert", 3))
    wait_until(lambda: _state(joiner) == "T", "the joiner sleeps")
    with psycopg.connect(database_url, autocommit=True) as rival:
        mine = "lease_token = (SELECT token FROM segue.workers)"
        taken = rival.execute(
            f"UPDATE segue.partitions SET lease_token = NULL WHERE {mine} RETURNING ordinal, row_count"
        ).fetchall()
        os.kill(joiner.pid, signal.SIGCONT)
        code, _, said = joiner.end()
        assert 5 == code, said
        assert "another worker has gone on from this checkpoint" in said
        rival.execute("UPDATE segue.runs SET controls = '{}'")
    assert taken
    assert 4 == leader.end()[0]
    assert clean == shared_image(database_url)


@pytest.mark.parametrize(("command", "state"), [("pause", "paused"), ("cancel", "cancelled")])
def test_pause_and_cancel_reach_a_joiner(command, state, clean, start, look, segue, database_url) -> None:
    """Each ends after its chunk with exit code 6, reports where the run came to rest, and nothing is committed after."""
    machines = three(start, look)
    before = look("SELECT sum(seq) FROM segue.partitions")
    assert 0 == segue(command, "1").code
    ends = [machine.end() for machine in machines]
    assert [6, 6, 6] == [code for code, _, _ in ends], ends
    assert {state} == {body["status"] for _, body, _ in ends}
    # Each at most the chunk under way, the one that reads the request, and what it did before the request was stored.
    assert look("SELECT sum(seq) FROM segue.partitions") <= before + 3 * 4
    request, closed = (
        look(f"SELECT at FROM segue.events WHERE {condition}")
        for condition in (f"kind = '{command}'", f"to_status = '{state}'")
    )
    assert (closed - request).total_seconds() < 5
    assert look("SELECT bool_and(checkpoint_at IS NULL OR checkpoint_at <= %s) FROM segue.partitions", closed)
    assert [None, command] == look(f"SELECT detail -> 'request' FROM segue.events WHERE kind = '{command}'")
    if state == "paused":
        assert 4 == segue("resume", "1").code
        assert clean == shared_image(database_url)


def test_who_leaves_is_replaced_and_who_leads_closes(clean, start, look, database_url) -> None:
    """A joiner's Ctrl-C takes only itself out, at once; the leader's pauses the run for all."""
    leader, joiner, other = three(start, look)
    joiner.send_signal(signal.SIGINT)
    code, body, said = joiner.end()
    assert (6, "migrating") == (code, body["status"]), said
    assert look("SELECT count(*) FROM segue.workers") == 1
    leader.send_signal(signal.SIGINT)
    assert [(6, "paused")] * 2 == [(code, body["status"]) for code, body, _ in (leader.end(), other.end())]
    code, _, said = start("eve", *LEAD).end()
    assert 4 == code, said
    assert clean == shared_image(database_url)


def test_the_quarantine_budget_is_shared(clean, start, look, database_url) -> None:
    """The leader stops the run when all machines together have put too much aside."""
    leader = start("ann", *LEAD, "--nice", "12", "--max-errors", "30")
    wait_until(lambda: look("SELECT status = 'migrating' FROM segue.runs"), "the run is under way")
    joiner = start("bob", *JOIN)
    ends = [leader.end(), joiner.end()]
    assert [6, 6] == [code for code, _, _ in ends], ends
    assert "max-errors" in ends[0][1]["error"]
    assert 30 < look("SELECT sum(quarantined_rows) FROM segue.partitions") < 100
    assert look("SELECT status FROM segue.runs") == "paused"


def test_who_may_not_join(clean, start, segue) -> None:
    """Without a run, beside one at rest, or with other settings a joiner is refused, and told what differs."""
    refused = segue("migrate", "--join")
    assert (5, True) == (refused.code, "there is no run of themes to join" in refused.stderr)
    for arguments in (("--fresh",), ("--dry-run",)):
        assert 2 == segue("migrate", "--join", *arguments).code
    assert 6 == segue("migrate", "-b", "5", "--max-chunks", "3").code
    refused = segue("migrate", "--join")
    assert (5, True) == (refused.code, "run 1 of themes is paused" in refused.stderr)

    leader = start("ann", *LEAD, stop_at=("after:themes.convert", 2))
    wait_until(lambda: _state(leader) == "T", "the leader is in the middle")
    refused = segue("migrate", "--join", "--split", ",")
    assert (5, True) == (refused.code, "split: the run has None, you gave ','" in refused.stderr), refused.stderr
    assert 5 == segue("--schema", "elsewhere", "migrate", "--join").code


def test_a_rollback_waits_for_joiners(clean, start, look, segue, database_url) -> None:
    """A run whose leader has died, but which has a joiner, is not rolled back under it."""
    leader = start("ann", *LEAD, "--nice", "30")
    wait_until(lambda: look("SELECT status = 'migrating' FROM segue.runs"), "the run is under way")
    joiner = start("bob", *JOIN, stop_at=("after:runs.read_partition", 2))
    wait_until(lambda: _state(joiner) == "T", "the joiner has a chunk under way")
    leader.kill()
    refused = segue("rollback", "1")
    assert (5, True) == (refused.code, "held by bob@" in refused.stderr), refused.stderr
    joiner.kill()
    wait_until(lambda: segue("rollback", "1").code == 0, "nobody holds the run")


def _state(machine: Machine) -> str:
    return Path(f"/proc/{machine.pid}/stat").read_text().rpartition(")")[2].split()[0]
