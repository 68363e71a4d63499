"""The cases of `scripts/bench migrate`: each measures in a fresh copy of a template, then compares with the truth."""

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, LiteralString

from bench_data import Bench, Ended, WrongResult, run_python
from bench_report import Row


@dataclass
class Samples:
    """Seconds of every repeat, by case.

    Attributes:
        startups: of interpreters that import the command and end; one before all, then one after every process.
        whole: by case; processes with their start-up.
        less: the start-up to take off, by case.
        peaks: largest resident memory in MB, by case.
    """

    startups: list[float] = field(default_factory=list)
    whole: dict[str, list[float]] = field(default_factory=dict)
    peaks: dict[str, list[float]] = field(default_factory=dict)
    less: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, case: str, seconds: float) -> None:
        """Take in a measurement of something inside the server or this process."""
        self.whole.setdefault(case, []).append(seconds)

    def start_up(self) -> None:
        """Measure the interpreter's start-up once more."""
        self.startups.append(run_python("import migrator.cli, migrator.commands.migrate").seconds)

    def add_process(self, case: str, ended: Ended, before: Ended | None = None) -> None:
        """Take in a process of Segue (or two); the smaller of the start-ups around it will be taken off."""
        self.start_up()
        startup = min(self.startups[-2:])
        self.add(case, ended.seconds + (before.seconds if before else 0.0))
        self.less.setdefault(case, []).append(2 * startup if before else startup)
        self.peaks.setdefault(case, []).append(ended.peak_mb)

    def net(self, case: str) -> list[float]:
        """Return a case's seconds without start-up."""
        less = self.less.get(case, [0.0] * len(self.whole[case]))
        return [max(whole - startup, 1e-3) for whole, startup in zip(self.whole[case], less, strict=True)]

    def row(self, case: str, *, limit: str | None = None, target: float | None = None, is_speed: bool = True) -> Row:
        """Return a case as a row: its speed (or its time) relative to a limit's, repeat by repeat."""
        row = Row(case, self.net(case), with_startup=self.whole[case] if case in self.less else None)
        if limit is not None:
            row.compare(limit, self.net(limit), self.whole[case], target, is_speed=is_speed)
        return row


def segue(bench: Bench, database: str, *arguments: str, code: int = 0, **env: str) -> Ended:
    """Run `segue ARGUMENTS… --json` and require its exit code.

    Raises:
        WrongResult: it ends otherwise.
    """
    ended = bench.segue(database, *arguments, "--json", env=env)
    if ended.code != code:
        raise WrongResult(
            f"segue {' '.join(arguments)} exits {ended.code} where {code} is due: {(ended.told or ended.said)[-2000:]}"
        )
    return ended


def migrate(bench: Bench, samples: Samples, template: str, case: str, *arguments: str) -> None:
    """Measure `segue migrate` on a fresh copy."""
    with bench.copy(template) as database:
        ended = segue(bench, database, "migrate", *arguments)
        samples.add_process(case, ended)
        check(ended)
        bench.compare(database)


def migrate_and_back(bench: Bench, samples: Samples, template: str) -> None:
    """Measure a fresh migration, its full validation, and its rollback, one after the other."""
    with bench.copy(template) as database:
        ended = segue(bench, database, "migrate")
        samples.add_process("segue fresh", ended)
        check(ended)
        bench.compare(database)
        bench.settle(database)
        ended = segue(bench, database, "validate")
        samples.add_process("segue validate", ended)
        if not json.loads(ended.said)["equal"]:
            raise WrongResult("segue validate finds a mismatch")
        bench.settle(database)
        samples.add_process("segue rollback", segue(bench, database, "rollback"))
        with bench.connect(database) as connection:
            left = connection.execute(
                "SELECT (SELECT count(*) FROM song_tags) + (SELECT count(*) FROM tags)"
            ).fetchone()
        if left != (0,):
            raise WrongResult(f"{left} rows are left after segue rollback")


def migrate_with_conflicts(bench: Bench, samples: Samples, template: str) -> None:
    """Measure a live migration where the application has made a fifth of the links before."""
    with bench.copy(template) as database:
        with bench.connect(database) as connection:
            connection.execute("INSERT INTO tags (name, normalized_name) SELECT DISTINCT name, name FROM bench.truth")
            connection.execute(
                "INSERT INTO song_tags (song_id, tag_id) SELECT truth.song_id, tags.id"
                " FROM bench.truth JOIN tags ON tags.normalized_name = truth.name"
                " WHERE uuid_hash_extended(truth.song_id, hashtextextended(truth.name, 5)) % 5 = 0"
            )
            connection.execute("VACUUM (FREEZE, ANALYZE)")
        bench.settle(database)
        ended = segue(bench, database, "migrate")
        samples.add_process("segue live, a fifth exists", ended)
        check(ended)
        bench.compare(database)


def check(ended: Ended) -> None:
    """Require a migration to say that it is complete and equal."""
    body = json.loads(ended.said)
    if body["status"] != "complete" or not body["digest"]["equal"]:
        raise WrongResult(f"segue migrate says {body['status']}, digest {body['digest']}")


def limit(bench: Bench, samples: Samples, template: str, case: str, load: Callable[[Any], float]) -> None:
    """Measure a one-shot load."""
    with bench.copy(template) as database:
        with bench.connect(database) as connection:
            samples.add(case, load(connection))
        bench.compare(database, "links")


def peer(
    bench: Bench, samples: Samples, template: str, case: str, work: Callable[[str, int], float], songs: int
) -> None:
    """Measure a peer on the first songs, into song_tags without its foreign key."""
    with bench.copy(template) as database:
        with bench.connect(database) as connection:
            connection.execute("ALTER TABLE song_tags DROP CONSTRAINT song_tags_tag_id_fkey")
        samples.add(case, work(bench.url(database), songs))
        bench.compare(database, first=songs)


def resume(bench: Bench, samples: Samples, template: str) -> None:
    """Kill a migration at about half of its chunks, run it again, and compare with an undisturbed one."""
    with bench.copy(template) as database:
        segue(bench, database, "migrate")
        chunks = one(bench, database, "SELECT sum(seq) FROM segue.partitions")
    with bench.copy(template) as database:
        point = f"after:runs.save_checkpoint#{max(1, int(chunks) // 2)}"
        killed = segue(bench, database, "migrate", code=-signal.SIGKILL, SEGUE_FAILPOINT=point)
        kept = one(bench, database, "SELECT sum(row_count) FROM segue.partitions")
        again = segue(bench, database, "migrate")
        check(again)
        bench.compare(database)
        samples.add_process("segue killed at half, then again", again, killed)
        # What sessions inserted and did not commit counts as well, once they have ended.
        written = one(bench, database, "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'song_tags'")
        links = one(bench, database, "SELECT count(*) FROM song_tags")
        samples.facts.setdefault("resume", []).append(
            {"chunks": int(chunks), "rows_kept": int(kept), "links_written_again": int(written) - int(links)}
        )


def one(bench: Bench, database: str, query: LiteralString) -> Any:
    """Return the one value that a query gives."""
    with bench.connect(database) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]
