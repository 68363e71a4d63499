"""SIGKILL at every boundary of a migration: around every statement of a chunk, and at every COMMIT."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.crash.conftest import boundary
from tests.crash.state import SONGS, THEMES, checkpoints, image, legacy, made_links, require_checkpoints_agree, song_id
from tests.crash.zygote import SMALLEST_PARTITION, Zygote

MIGRATE = ("migrate", "--batch-size", "12", "--json", "--workers")

#: A resume at each half-done state is tried this often; a state is what the database holds, times and leases aside.
TRIES_OF_A_STATE = 2

#: Half-done states that a sweep meets at least: one a commit that changes something, but for two of the last ones, which
#: two threads make, so that one may hide the other's.
STATES = 11

#: Before and after every statement of the second chunk.
OF_A_CHUNK = [
    f"{side}:{name}#2"
    for name in ("runs.read_partition", "themes.convert", "themes.quarantine_elements", "runs.save_checkpoint")
    for side in ("before", "after")
]

#: Where two workers are killed: the sixth chunk is likely the other worker's.
POINTS = [
    "after:runs.save_plan",
    "after:themes.convert",
    "after:themes.convert#2",
    "before:runs.save_checkpoint#3",
    "after:runs.save_checkpoint#2",
    "after:runs.save_checkpoint#4",
    "after:runs.save_checkpoint#6",
    "after:constraints.create_index",
    "before:constraints.create_unique_index",
    "after:constraints.set_usage_counts",
]


def committed_chunks(stderr: str) -> int:
    """Return how many chunks a process said it committed."""
    return sum(json.loads(line)["event"] == "ChunkCommitted" for line in stderr.splitlines() if line.startswith("{"))


class Kills:
    """One migration, killed anywhere and run again, compared with one clean run.

    Args:
        template: URL of the database before the migration.
        arguments: of the migration.
        copy_of: the fixture.
        zygote: for the clean run.
        ignored: parts of the image that differ from one clean run to the next.
    """

    def __init__(
        self, template: str, arguments: tuple[str, ...], copy_of: Any, zygote: Zygote, ignored: tuple[str, ...] = ()
    ) -> None:
        self.ignored = ignored
        self.template, self.arguments, self.copy_of = template, arguments, copy_of
        self.tries: dict[str, int] = {}
        with copy_of(template) as url:
            clean = zygote.run(url, *arguments)
            assert 4 == clean[0], clean
            assert 0 == zygote.run(url, "validate")[0]
            with psycopg.connect(url) as connection:
                self.clean, self.legacy, self.links = image(connection), legacy(connection), made_links(connection)
                self.partitions = len(checkpoints(connection))
                self.chunks = sum(row.seq for row in checkpoints(connection))
        assert self.chunks == committed_chunks(clean[2])

    def attempt(self, zygote: Zygote, failpoint: str, *, tries: int = 1_000) -> bool:
        """Kill at a failpoint, look, run again and compare; return False when the process was not killed."""
        with self.copy_of(self.template) as url:
            code, _, stderr = zygote.run(url, *self.arguments, failpoint=failpoint)
            assert code in {-9, 4}, stderr
            with psycopg.connect(url) as connection:
                require_checkpoints_agree(connection, self.links)
                assert self.legacy == legacy(connection)
                chunks = sum(row.seq for row in checkpoints(connection))
                state = repr(image(connection))
            self.tries[state] = self.tries.get(state, 0) + 1
            if self.tries[state] <= tries:
                self._resume(zygote, url, chunks)
        return code == -9

    def _resume(self, zygote: Zygote, url: str, chunks: int) -> None:
        code, _, stderr = zygote.run(url, *self.arguments, "--validate")
        assert 4 == code, stderr
        # Every chunk is committed once: by the first process or by the second, never by both.
        with psycopg.connect(url) as connection:
            found = image(connection)
            assert sum(row.seq for row in checkpoints(connection)) - chunks == committed_chunks(stderr)
            for part in found.keys() - set(self.ignored):
                assert self.clean[part] == found[part]
            assert self.clean.keys() == found.keys()
            assert self.legacy == legacy(connection)


@pytest.mark.slow
@pytest.mark.timeout(1_200)  # some hundreds of processes: minutes where others use the machine too
def test_kill_at_every_boundary(songs, connection, database_url, copy_of, sweep, zygotes) -> None:
    """A migration killed at any boundary and run again ends as one clean run, and no chunk is committed twice."""
    songs(SONGS)
    connection.close()
    kills = Kills(database_url, (*MIGRATE, "1"), copy_of, zygotes[0])
    assert 3 == kills.chunks

    def attempt(zygote: Zygote, number: int) -> bool:
        tries = 1_000 if number <= len(OF_A_CHUNK) else TRIES_OF_A_STATE  # after every statement of a chunk it goes on
        return kills.attempt(zygote, boundary(number, *OF_A_CHUNK), tries=tries)

    assert sweep(attempt) > 35
    assert len(kills.tries) >= STATES


@pytest.mark.slow
@pytest.mark.timeout(1_200)  # some hundreds of processes: minutes where others use the machine too
def test_kill_at_every_boundary_of_a_live_load(songs, connection, database_url, copy_of, sweep, zygotes) -> None:
    """The same where users' own tags and links are in the way: nothing of theirs is lost or counted as the run's."""
    songs(SONGS)
    hope, grace = uuid.UUID(int=1), uuid.UUID(int=2)
    for tag, name in ((hope, "Hope"), (grace, "Grace")):
        connection.execute("INSERT INTO tags (id, name, normalized_name) VALUES (%s, %s, lower(%s))", [tag, name, name])
    for song, tag in ((8, hope), (4, grace), (12, grace), (1, grace)):
        connection.execute("INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s)", [song_id(song), tag])
    connection.close()
    kills = Kills(database_url, (*MIGRATE, "1", "--load", "live"), copy_of, zygotes[0])

    assert sweep(lambda zygote, number: kills.attempt(zygote, boundary(number, *OF_A_CHUNK), tries=1)) > 35
    assert len(kills.tries) >= STATES


@pytest.mark.slow
def test_kill_of_two_workers(songs, connection, database_url, copy_of, zygotes) -> None:
    """Two workers killed together leave two checkpoints that agree with their links, and go on from there."""
    songs([(song_id(number), THEMES[number % 8]) for number in range(1, 2 * SMALLEST_PARTITION + 1)])
    connection.close()
    arguments = ("migrate", "--batch-size", str(SMALLEST_PARTITION // 3), "--workers", "2")
    # Where the source is cut follows from a random sample, so two runs' partitions need not be the same.
    kills = Kills(database_url, arguments, copy_of, zygotes[0], ignored=("segue.partitions",))
    assert 2 + 2 == kills.partitions  # one for each worker, and a smaller one each for the end

    with ThreadPoolExecutor(len(zygotes)) as threads:
        halves = [
            threads.submit(lambda zygote, points: [kills.attempt(zygote, point) for point in points], zygote, points)
            for zygote, points in zip(zygotes, (POINTS[::2], POINTS[1::2]), strict=True)
        ]
        assert len(POINTS) * [True] == [was_killed for half in halves for was_killed in half.result()]
