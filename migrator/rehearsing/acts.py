"""The acts of a rehearsal: dry run, a measured run and its rollback, and a run under fire; each checks guarantees."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from migrator import dry_run, run_store
from migrator.errors import Exit, Stopped
from migrator.events import Observer
from migrator.lease import LEASE_SECONDS
from migrator.outcome import Outcome
from migrator.rehearsing.child import run_child
from migrator.rehearsing.writers import Writers
from migrator.request import Request
from migrator.rollback import Rollback
from migrator.runner import Runner
from migrator.source import TableSource
from migrator.states import RunState
from migrator.stop import StopSignal
from sql.database import Database, Transaction, literal_sql

Result = TypeVar("Result")

#: How long users write before the run begins, to know what is usual, seconds.
BASELINE_SECONDS = 0.5
#: Chunks of the run under fire, at least: small ones, so that kills meet many states.
CHUNKS = 20


@dataclass
class Findings:
    """What a rehearsal found.

    Attributes:
        problems: by guarantee; one that was looked at and held has an empty list.
        dry: the dry run.
        seconds, wal_bytes, disk_bytes: of the measured run, which nobody disturbed.
        usual, under_fire: times of users' writes, in order of size, seconds.
        longest_lock_wait: of a user, seconds.
        kills: children that were ended by SIGKILL.
        writes: acknowledged to users.
        notes: what is no broken guarantee and should be known.
    """

    problems: dict[str, list[str]] = field(default_factory=dict)
    dry: dry_run.Rehearsal | None = None
    seconds: float = 0.0
    wal_bytes: int = 0
    disk_bytes: int = 0
    usual: list[float] = field(default_factory=list)
    under_fire: list[float] = field(default_factory=list)
    longest_lock_wait: float = 0.0
    kills: int = 0
    writes: int = 0
    notes: list[str] = field(default_factory=list)

    def check(self, guarantee: str, *, ok: bool, problem: str) -> None:
        """Note that a guarantee was looked at, and what is wrong with it."""
        found = self.problems.setdefault(guarantee, [])
        if not ok:
            found.append(problem)

    @property
    def is_sound(self) -> bool:
        """Whether every guarantee held."""
        return not any(self.problems.values())


@dataclass
class Acts:
    """Plays the acts in a scratch database.

    Attributes:
        scratch: where.
        request: what to migrate, as the real run would.
        rows: of the sample.
        migrations: directory of further migrations, or None.
        stop: ends the rehearsal.
        observers: told of progress.
        kills: how many to try.
        writers: how many synthetic users.
    """

    scratch: Database
    request: Request
    rows: int
    migrations: Path | None
    stop: StopSignal
    observers: tuple[Observer, ...]
    kills: int
    writers: int
    found: Findings = field(default_factory=Findings)

    def play(self) -> Findings:
        """Play all acts.

        Raises:
            Stopped: by a signal.
        """
        for act in (self._dry_run, self._measured_run, self._run_under_fire):
            if self.stop.is_set:
                raise Stopped(self.stop.reason or "stop")
            act()
        return self.found

    # -- acts

    def _dry_run(self) -> None:
        before = self._image("segue")
        self.found.dry = dry_run.rehearse(self.scratch, self.request, self.stop, self.observers)
        self.found.check("G3", ok=before == self._image("segue"), problem="the dry run changed a table")

    def _measured_run(self) -> None:
        before = self._image()
        position, size = self._figure("read_wal_position", "position"), self._figure("read_size", "bytes")
        outcome = self._migrate()
        self.found.seconds = outcome.seconds
        self.found.wal_bytes = self._figure("read_wal_position", "position") - position
        self.found.disk_bytes = max(self._figure("read_size", "bytes") - size, 0)
        made = self._image()
        again = self._migrate()
        unchanged = again.is_unchanged and made == self._image()
        self.found.check("G7", ok=unchanged, problem="a second migrate changed something")
        self._roll_back(outcome.run_id)
        self.found.check("G6", ok=before == self._image(), problem="rolled back, a table is not what it was")

    def _run_under_fire(self) -> None:
        targets = self._image()
        request = replace(self.request, batch_size=max(1, self.rows // CHUNKS))
        with Writers(self.scratch, self._source, self.writers) as users:
            self.stop.sleep(BASELINE_SECONDS if self.writers else 0)
            self.found.usual = users.lap()
            code, said = self._kill_and_go_on(request)
            self.found.under_fire = users.lap()
        self.found.writes = len(self.found.usual) + len(self.found.under_fire)
        self.found.longest_lock_wait = users.longest_lock_wait
        outcome = self._migrate()
        ended = {Exit.DONE, Exit.QUARANTINED, *([Exit.MISMATCH] if self.writers else [])}
        if code == Exit.MISMATCH and self.writers:
            self.found.notes.append(
                "users wrote faster than the run caught up, so it ended with a mismatch; it was right once they paused"
            )
        is_complete = code in ended and outcome.status is RunState.COMPLETE
        self.found.check("G2", ok=is_complete, problem=f"the run did not come to its end: exit code {code}: {said}")
        lost = users.lost()
        self.found.check("G4", ok=not lost, problem=f"{len(lost)} acknowledged writes are lost")
        now = self._image()
        self._roll_back(outcome.run_id)
        after = self._image()
        source = self._name(self._source)
        ok = now[source] == after[source] and all(after[name] == targets[name] for name in targets if name != source)
        self.found.check("G6", ok=ok, problem="rolled back after kills, a table is not what it was")

    def _kill_and_go_on(self, request: Request) -> tuple[int, str]:
        """Kill the same command again and again, at points that come later each time, and let the last one finish."""
        chance = random.Random(self.rows)
        for number in range(self.kills):
            # The first one hits the chunks for certain; the others come wherever they come.
            point = f"*#{15 + chance.randrange(60 * (number + 1))}"
            if number == 0:
                point = f"before:runs.save_checkpoint#{2 + chance.randrange(CHUNKS // 2)}"
            code, said = self._run_child(request, point)
            if code >= 0:
                return code, said
            self.found.kills += 1
            self._check_checkpoints()
        return self._run_child(request)

    def _run_child(self, request: Request, failpoint: str = "") -> tuple[int, str]:
        """Run the command, again while the server has not yet noticed that the one before it is dead."""
        patience = time.monotonic() + LEASE_SECONDS + 5
        while True:
            code, said = run_child(self.scratch, request, self.migrations, self.stop, failpoint)
            if code != Exit.REFUSED or time.monotonic() > patience:
                return code, said
            self.stop.sleep(0.5)

    def _check_checkpoints(self) -> None:
        """What is stored is what the checkpoints say, whenever the process died."""
        with self.scratch.transaction(repeatable_read=True) as transaction:
            run = run_store.latest(transaction, self.request.migration.name)
            if run is None or run.status != "migrating":
                return
            step = self.request.migration.open(transaction, self.request.settings, self.request.schema)
            target = {"target": step.fragments[step.counted or step.targets[-1]]}
            row = transaction.one("rehearsing.compare_checkpoints", target, run_id=run.id)
        problem = f"after a kill the checkpoints count {row['counted']} rows, the table {row['stored']}"
        self.found.check("G1", ok=row["counted"] == row["stored"], problem=problem)

    # -- small things

    def _migrate(self) -> Outcome:
        outcome = Runner(self.scratch, replace(self.request, validation="full"), self.stop, self.observers).migrate()
        checked = outcome.validation
        is_equal = checked is not None and checked.is_equal
        first = f", first {checked.mismatches[0].problem}" if checked and checked.mismatches else ""
        self.found.check("G5", ok=is_equal, problem=f"the validation found a mismatch{first}")
        return outcome

    def _roll_back(self, run_id: int) -> None:
        def read(transaction: Transaction) -> tuple[Any, Any]:
            run = run_store.find(transaction, run_id)
            return run, self.request.migration.open(transaction, run.settings, self.request.schema)

        run, step = self._read(read)
        Rollback(self.scratch, run, step, self.request.schema, "keep", self.stop, self.observers).execute()

    @property
    def _source(self) -> TableSource:
        def read(transaction: Transaction) -> TableSource:
            source = self.request.migration.open(transaction, self.request.settings, self.request.schema).source
            assert isinstance(source, TableSource), "only tables are rehearsed"
            return source

        return self._read(read)

    def _name(self, source: TableSource) -> str:
        def read(transaction: Transaction) -> str:
            rows = transaction.all("rehearsing.list_tables", schemas=[source.schema])
            wanted = source.fragments["table"].as_string(None)
            plain = {row["name"] for row in rows}
            return wanted if wanted in plain else wanted.replace('"', "")

        return self._read(read)

    def _image(self, *more: str) -> dict[str, tuple[int, str]]:
        """Return a digest of every table of the application, and of further schemas."""
        schemas = [self.request.schema, self._source.schema, *more]

        def read(transaction: Transaction) -> dict[str, tuple[int, str]]:
            found = {}
            for row in transaction.all("rehearsing.list_tables", schemas=schemas):
                names = {"table": literal_sql(row["name"].replace("%", "%%"))}
                digest = transaction.one("rehearsing.digest_table", names)
                found[row["name"]] = (digest["row_count"], digest["digest"])
            return found

        return self._read(read)

    def _figure(self, query: str, name: str) -> int:
        return self._read(lambda transaction: int(transaction.one(f"rehearsing.{query}")[name]))

    def _read(self, action: Callable[[Transaction], Result]) -> Result:
        with self.scratch.transaction(repeatable_read=True) as transaction:
            return action(transaction)


def p99(times: list[float]) -> float | None:
    """Return the 99th percentile of times in order of size, seconds; None without any."""
    return times[min(int(len(times) * 0.99), len(times) - 1)] if times else None
