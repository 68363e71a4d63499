"""Mirrors of a run: installed before its first chunk, kept when it is complete, removed by rollback and cancel."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, repeat
from typing import Any, Protocol, runtime_checkable

from migrator import run_store
from migrator.errors import Refused, UsageError
from migrator.locked_rows import lock_keys, must_lock
from migrator.migration import Context, Step
from migrator.mirror_late import drain_back
from migrator.request import Request
from migrator.run_store import Run
from migrator.source import TableSource
from migrator.states import RunState
from sql.database import Database, Transaction
from sql.mirrors import BACK, PREFIX, drop_back, drop_mirror, drop_triggers, mirrored_tables

DIRECTIONS = ("off", "forward", "both")

#: A trigger waits for the transactions that write its table, and new writers wait behind it: so briefly at first.
#: The longest is above deadlock_timeout, after which the server ends an autovacuum that is in the way.
LOCK_WAITS_MS = (100, 300, 1_500)

#: Late songs converted at a time.
MOST_LATE = 1_000

#: Forgets what a run made of rows and converts them again.
Reconvert = Callable[[Transaction, Step, Context, list[str]], None]

#: Calls an action again after a transient failure.
Retrying = Callable[[Callable[[], None]], None]


class Mirror(Protocol):
    """What a step brings along for its mirror."""

    def require(self, transaction: Transaction, direction: str, *, is_planned: bool) -> None:
        """Refuse when the role or the source cannot carry one."""
        ...

    def install(self, transaction: Transaction, run_id: int, direction: str) -> None:
        """Make functions for a run, and the triggers on its source."""
        ...

    @property
    def back_tables(self) -> tuple[tuple[str, str], ...]:
        """Schema and name of the tables whose triggers carry edits back into the source."""
        ...

    def install_back(self, transaction: Transaction, run_id: int, table: tuple[str, str]) -> None:
        """Make the triggers that carry edits of one table back."""
        ...

    def installed(self, transaction: Transaction) -> str:
        """Return the direction whose triggers are all there."""
        ...


@runtime_checkable
class Mirrorable(Protocol):
    """A step whose targets can follow users' writes."""

    mirror: Mirror


def require(database: Database, step: Step, request: Request) -> None:
    """Refuse a mirror that cannot be had before a run is created for it.

    Raises:
        UsageError: the migration has no mirror, or one that does not go with its other options.
        Refused: the source is no table, or a privilege is missing.
    """
    if request.mirror in (None, "off"):
        return
    if not isinstance(step, Mirrorable):
        raise UsageError(f"migration {request.migration.name!r} has no mirror; leave --mirror out")
    with database.transaction() as transaction:
        last = run_store.latest(transaction, request.migration.name)
        is_planned = last is not None and bool(last.plan) and last.status is not RunState.ROLLED_BACK
        step.mirror.require(transaction, request.mirror, is_planned=is_planned)


class Mirroring:
    """The mirror that a run is to have: what is asked for, else what it has, else what is installed.

    Args:
        database: where.
        step: of the run's migration.
        run: which run.
        asked: `off`, `forward`, `both`, or None.

    Raises:
        Refused: the run loads its target without keys, on which a mirror depends.
    """

    def __init__(self, database: Database, step: Step, run: Run, asked: str | None) -> None:
        self._database, self._step, self._run_id = database, step, run.id
        self.wanted = asked or "off"
        self.is_in_place = True
        if not isinstance(step, Mirrorable):
            return
        with database.transaction() as transaction:
            found = step.mirror.installed(transaction)  # on this source; another's mirror is not ours to end
            self.wanted = asked or run.plan.get("mirror") or ("off" if run.plan else found)
            if self.wanted == "off":
                self.is_in_place = found == "off" and run.plan.get("mirror") is None
                return
            has_keys = run.status is RunState.COMPLETE or run.plan.get("recheck") or run.plan.get("load") != "fresh"
            if not has_keys:
                raise Refused(
                    f"run {run.id} loads song_tags without its keys, which a mirror needs; let it complete, then: "
                    f"segue migrate {run.migration} --mirror {self.wanted}"
                )
            self.is_in_place = run.plan.get("mirror") == self.wanted == found

    @property
    def plan(self) -> dict[str, str]:
        """What the run's plan says of it."""
        return {} if self.wanted == "off" else {"mirror": self.wanted}

    def put_in_place(self, token: str, retrying: Retrying) -> None:
        """Install or remove functions and triggers, and store that in the plan.

        Each table's triggers come and go in a transaction of their own: some people's transactions write the legacy
        table first and others the links, and who held one of them for us while waiting for the other would be in a
        circle with either. Only what is on the source changes with the plan.
        """
        if self.wanted == "off" and self.is_in_place:
            return
        if self.wanted == "off":
            _drop_one_by_one(self._database, retrying)
        elif self.wanted == "forward":
            _drop_one_by_one(self._database, retrying, prefix=BACK)
        waits = _waits()
        retrying(lambda: self._change(token, next(waits)))
        if self.wanted == "both":
            assert isinstance(self._step, Mirrorable)
            for table in self._step.mirror.back_tables:
                self._install_back(self._step.mirror, table, retrying)

    def _install_back(self, mirror: Mirror, table: tuple[str, str], retrying: Retrying) -> None:
        waits = _waits()

        def install() -> None:
            with self._database.waiting_at_most(next(waits)).transaction() as transaction:
                mirror.install_back(transaction, self._run_id, table)

        retrying(install)

    def _change(self, token: str, wait_ms: int) -> None:
        with self._database.waiting_at_most(wait_ms).transaction() as transaction:
            run = run_store.find(transaction, self._run_id)
            before = run.plan.get("mirror", "off")
            plan: dict[str, Any] = {key: value for key, value in run.plan.items() if key != "mirror"}
            if self.wanted == "off":
                drop_mirror(transaction)
            else:
                assert isinstance(self._step, Mirrorable)
                self._step.mirror.install(transaction, run.id, self.wanted)
                if self.wanted == "forward":
                    drop_back(transaction)
            if not self.is_in_place:
                detail = {"from": before, "to": self.wanted}
                run_store.note(transaction, run.id, "mirror", detail=detail)
            run_store.save_plan(transaction, run.id, {**plan, **self.plan}, run.row["total_rows"], token=token)


def _waits() -> Iterator[int]:
    return chain(LOCK_WAITS_MS, repeat(LOCK_WAITS_MS[-1]))


def _drop_one_by_one(database: Database, retrying: Retrying, prefix: str = PREFIX) -> None:
    """Drop the triggers of mirrors, a table at a time, legacy tables first."""
    tables: list[tuple[str, str]] = []

    def look() -> None:
        with database.transaction() as transaction:
            tables[:] = mirrored_tables(transaction)

    retrying(look)
    for table in tables:
        retrying(partial(_drop_of, database, table, prefix, _waits()))


def _drop_of(database: Database, table: tuple[str, str], prefix: str, waits: Iterator[int]) -> None:
    with database.waiting_at_most(next(waits)).transaction() as transaction:
        drop_triggers(transaction, table, prefix=prefix)


def remove(database: Database, run: Run, retrying: Retrying) -> None:
    """Remove a run's triggers, functions and notes; users' transactions under way end first.

    What people did to links and could not be carried back in their own transactions is carried back before.
    """
    waits = _waits()
    is_there = False

    def has_mirror() -> bool:
        with database.transaction() as transaction:
            return "mirror" in run_store.find(transaction, run.id).plan

    def carry_back() -> None:
        nonlocal is_there
        is_there = has_mirror()
        if is_there:
            drain_back(database, run.id)

    def drop() -> None:
        if not has_mirror():
            return
        with database.waiting_at_most(next(waits)).transaction() as transaction:
            drop_mirror(transaction)
            transaction.run("mirror_state.drop_late", run_id=run.id)

    retrying(carry_back)
    if is_there:
        _drop_one_by_one(database, retrying)
    retrying(drop)


def reconvert_locked(
    transaction: Transaction, step: Step, context: Context, keys: list[str], convert: Reconvert
) -> list[str]:
    """Convert those of some rows again that nobody else holds; return the others, for the next transaction."""
    assert isinstance(step.source, TableSource)
    locked, busy = lock_keys(transaction, step.source, keys)
    convert(transaction, step, context, locked)
    absent = sorted({*keys} - {*locked, *busy})
    fragments = step.fragments
    if absent:
        transaction.run("locked_rows.forget_absent", fragments, run_id=context.run_id, keys=absent)
    transaction.run("mirror_state.forget_late", run_id=context.run_id, keys=locked + absent)
    return busy


def drain_late(database: Database, step: Step, context: Context, reconvert: Callable[[list[str]], None]) -> int:
    """Carry back and convert what a mirror left for us; return how many songs were converted."""
    drained = 0
    if context.plan.get("mirror") == "both":
        drain_back(database, context.run_id)
    while must_lock(context):
        with database.transaction() as transaction:
            rows = transaction.all("mirror_state.list_late", run_id=context.run_id, most=MOST_LATE)
            keys = [row["key"] for row in rows if row["key"] is not None]
            is_all = len(keys) < len(rows)
            if is_all:
                fragments = {name: step.fragments[name] for name in ("song_tags", "table", "key")}
                gone = transaction.all("mirror_state.list_gone", fragments, run_id=context.run_id, most=MOST_LATE)
                keys += [row["key"] for row in gone]
                if len(gone) < MOST_LATE:
                    transaction.run("mirror_state.forget_truncate", run_id=context.run_id)
        if not rows:
            break
        reconvert(keys)
        drained += len(keys)
    return drained
