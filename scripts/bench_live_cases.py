"""The cases of `scripts/bench live`: each in a fresh copy of a template, with users at work where it says so."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, LiteralString

import psycopg
from bench_cases import Samples, check, one, segue
from bench_data import ROOT, SEGUE, Bench, WrongResult
from bench_live_users import Songs, Window, users_at_work, write
from bench_peers import one_shot_live

from tests.storm.writers import Writers

REF = "REF: one statement, keys live"
LIVE = "segue live, --workers 2"

_COMMITTED: LiteralString = "SELECT coalesce(sum(row_count), 0), coalesce(sum(seq), 0) FROM segue.partitions"
_POLL_SECONDS = 0.002


def before_it(case: str) -> str:
    """Return the name of what a case's writes are compared with."""
    return f"{case}: before it"


class LiveSamples(Samples):
    """Samples, and windows of users' writes by case."""

    def __init__(self) -> None:
        super().__init__()
        self.windows: dict[str, list[Window]] = {}

    def add_window(self, case: str, window: Window) -> None:
        """Take in what users' writes took."""
        self.windows.setdefault(case, []).append(window)
        self.add(case, window.p99)

    def add_fact(self, name: str, value: float) -> None:
        """Take in a figure that is no time."""
        self.facts.setdefault(name, []).append(value)


def migrate_under_users(
    bench: Bench, samples: LiveSamples, template: str, case: str, quiet_seconds: float, *arguments: str
) -> None:
    """Measure users' writes before a migration and during it; what they wrote must be in the tags at the end."""
    with bench.copy(template) as database, users_at_work(bench.url(database), len(samples.windows)) as users:
        time.sleep(min(0.5, quiet_seconds))
        quiet = time.time()
        time.sleep(quiet_seconds)
        started = time.time()
        check(segue(bench, database, "migrate", *arguments))
        ended = time.time()
        users.stop()
        begun = one(bench, database, "SELECT extract(epoch FROM created_at)::float8 FROM segue.runs")
        samples.add_window(before_it(case), users.window(quiet, started))
        samples.add_window(case, users.window(begun, ended))
        if "--mirror" in arguments:
            samples.add_fact("late", one(bench, database, "SELECT count(*) FROM segue.mirror_late"))
            segue(bench, database, "validate")
        else:
            check(segue(bench, database, "migrate"))


def write_one_by_one(bench: Bench, samples: LiveSamples, template: str, blocks: int, size: int) -> None:
    """Measure one user's writes with and without a mirror, in blocks that alternate; the tags must follow all."""
    rng = random.Random(len(samples.whole))
    found: dict[tuple[str, bool], list[float]] = {}
    with bench.copy(template) as database, bench.connect(database) as user, bench.connect(database) as owner:
        check(segue(bench, database, "migrate", "--mirror", "forward"))
        # Autovacuum comes at either side, not at both.
        owner.execute("ALTER TABLE songs SET (autovacuum_enabled = off)")
        owner.execute("ALTER TABLE song_tags SET (autovacuum_enabled = off)")
        songs = Songs(user)
        for block in range(2 * blocks):
            is_mirrored = block % 2 == 0
            owner.execute(_ENABLE if is_mirrored else _DISABLE)
            for kind in ("edit", "replace", "title"):
                write(user, songs, rng, kind)  # a session plans anew after a change of its triggers
                found.setdefault((kind, is_mirrored), []).extend(write(user, songs, rng, kind) for _ in range(size))
        check(segue(bench, database, "migrate"))  # takes in what was written without
    for (kind, is_mirrored), seconds in found.items():
        samples.add(f"{kind}, {'mirrored' if is_mirrored else 'plain'}", 1_000 * median(seconds))


_ENABLE: LiteralString = "ALTER TABLE songs ENABLE TRIGGER USER"
_DISABLE: LiteralString = "ALTER TABLE songs DISABLE TRIGGER USER"


def load_by_one_statement(bench: Bench, samples: LiveSamples, template: str) -> None:
    """Measure REF, and its WAL."""
    with bench.copy(template) as database:
        with bench.connect(database) as connection, wal_of(bench, samples, f"wal, {REF}"):
            samples.add(REF, one_shot_live(connection))
        bench.compare(database, "links")


def migrate_and_undo(bench: Bench, samples: LiveSamples, template: str) -> None:
    """Measure a live migration with two workers, its WAL, and its rollback."""
    with bench.copy(template) as database:
        with wal_of(bench, samples, f"wal, {LIVE}"):
            ended = segue(bench, database, "migrate", "--load", "live", "--workers", "2")
        samples.add_process(LIVE, ended)
        check(ended)
        bench.compare(database)
        links = one(bench, database, "SELECT count(*) FROM song_tags")
        bench.settle(database)
        samples.add_process("rollback", segue(bench, database, "rollback"))
        if one(bench, database, "SELECT count(*) FROM song_tags"):
            raise WrongResult("links are left after segue rollback")
        samples.add_fact("links undone a second", links / samples.net("rollback")[-1])


@contextmanager
def wal_of(bench: Bench, samples: LiveSamples, name: str) -> Iterator[None]:
    """Take in the bytes of WAL that are written meanwhile, by everybody."""
    query: LiteralString = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8"
    before = one(bench, "postgres", query)
    yield
    samples.add_fact(name, one(bench, "postgres", query) - before)


def kill_and_resume(bench: Bench, samples: LiveSamples, template: str, songs: int, *wish: str) -> None:
    """Kill a run with SIGKILL, start it again, and time its first new chunk; then count what was done twice."""
    with bench.copy(template) as database, bench.connect(database) as connection:
        with running(bench, database, "--load", "live", "--workers", "2", *wish) as process:
            _wait(lambda: _committed(connection)[0] >= songs // 3, process)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        _, chunks = _committed(connection)
        size = one(bench, database, "SELECT max(chunk_size) FROM segue.partitions")
        started = time.perf_counter()
        with running(bench, database, "--load", "live", "--workers", "2", *wish) as process:
            _wait(lambda: _committed(connection)[1] > chunks, process)
            samples.add("resume", time.perf_counter() - started)
            said, told = process.communicate(timeout=600)
        if process.returncode or json.loads(said)["status"] != "complete":
            raise WrongResult(f"the resumed run ends with {process.returncode}: {(told or said)[-2000:]}")
        bench.compare(database)
        links = one(bench, database, "SELECT count(*) FROM song_tags")
        again = one(bench, database, "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'song_tags'") - links
        samples.add_fact("songs done again", again / links * songs)
        samples.add_fact("songs of two chunks", 2 * size)


def pause(bench: Bench, samples: LiveSamples, template: str, *wish: str) -> None:
    """Pause a run, and time from the command's start until the run stands still."""
    with bench.copy(template) as database, bench.connect(database) as connection:
        with running(bench, database, "--load", "live", "--workers", "2", *wish) as process:
            _wait(lambda: _committed(connection)[1] >= 1, process)
            started = time.perf_counter()
            pausing = _start(bench, database, "pause", "1")
            query: LiteralString = "SELECT 1 FROM segue.runs WHERE status <> 'migrating'"
            _wait(lambda: connection.execute(query).fetchone() is not None, process)
            samples.add("pause", time.perf_counter() - started)
            said, told = pausing.communicate(timeout=60)
            if pausing.returncode:
                raise WrongResult(f"segue pause exits {pausing.returncode}: {told or said}")
            process.communicate(timeout=60)
        if one(bench, database, "SELECT status FROM segue.runs") != "paused":
            raise WrongResult("the run was not paused: too few songs?")


def storm(bench: Bench, samples: LiveSamples) -> None:
    """Migrate with a mirror under the storm's 16 users; count what had to be tried again or came late."""
    name = f"storm_{next(bench.numbers)}"
    bench.make_empty(name)
    users = Writers(bench.url(name), len(samples.whole), pause=0.002)
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder) / "segue.prom"
        users.start()
        try:
            wish = ("--mirror", "forward", "--batch-size", "300", "--metrics-textfile", str(metrics))
            ended = bench.segue(name, "migrate", *wish)
            time.sleep(0.5)
        finally:
            users.stop()
        if ended.code not in (0, 4):
            raise WrongResult(f"segue migrate exits {ended.code} under the storm: {ended.told[-2000:]}")
        retries = sum(
            float(count)
            for count in re.findall(
                r"^segue_migration_retries_total\S* (\S+)$", metrics.read_text("utf-8"), re.MULTILINE
            )
        )
    segue(bench, name, "validate")
    late = one(bench, name, "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'mirror_late'")
    writes = users.ledger.writes - users.size
    samples.add_fact("storm writes", writes)
    samples.add_fact("retries a thousand writes", 1_000 * retries / writes)
    samples.add_fact("late a thousand writes", 1_000 * late / writes)
    with bench.connect("postgres") as connection:
        connection.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name)))


@contextmanager
def running(bench: Bench, database: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `segue migrate ARGUMENTS… --json`, killed at the end if it still runs."""
    process = _start(bench, database, "migrate", *arguments, "--json")
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _start(bench: Bench, database: str, *arguments: str) -> "subprocess.Popen[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SEGUE_", "PYTHON"))}
    return subprocess.Popen(
        [sys.executable, "-c", SEGUE, *arguments],
        cwd=ROOT,
        env={**clean, "DATABASE_URL": bench.url(database)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _committed(connection: "psycopg.Connection[Any]") -> tuple[int, int]:
    row = connection.execute(_COMMITTED).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _wait(is_so: Any, process: "subprocess.Popen[str]") -> None:
    """Look every few milliseconds; the process must not end before."""
    while not is_so():
        if process.poll() is not None:
            said, told = process.communicate()
            raise WrongResult(f"segue migrate ended too soon, with {process.returncode}: {(told or said)[-2000:]}")
        time.sleep(_POLL_SECONDS)
