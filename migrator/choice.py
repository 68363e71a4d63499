"""Which run a request works on: the unfinished one, the complete one, or a new one."""

from typing import Protocol, runtime_checkable

from migrator import run_store
from migrator.errors import Refused, RunHeld, SettingsDiffer
from migrator.migration import Step
from migrator.request import Request
from migrator.run_store import Run
from migrator.states import RESUMABLE, UNDER_WAY, RunState
from sql.database import Database, Transaction
from sql.errors import UniqueViolation


@runtime_checkable
class Selective(Protocol):
    """A step that can tell before there is a run that its plan would be refused."""

    def require_fit(self, transaction: Transaction) -> None:
        """Look, and change nothing.

        Raises:
            Refused: the source and the target do not go together.
        """
        ...


def choose_run(database: Database, request: Request, step: Step) -> tuple[Run, bool]:
    """Return the run to work on and whether it existed before.

    Raises:
        Refused: a new one would be refused; or the last is being rolled back, was cancelled, or is unfinished and a
            fresh one was asked for.
        SettingsDiffer: it is unfinished and was started with other settings.
        RunHeld: another process created one at the same moment.
    """
    with database.transaction() as transaction:
        last = run_store.latest(transaction, request.migration.name)
    if last is not None and last.status is RunState.ROLLING_BACK:
        raise Refused(f"run {last.id} is being rolled back; finish that first: segue rollback {last.id}")
    if last is not None and last.status is RunState.CANCELLED:
        # Its links are there without the guards that its load took away; a new run would double them.
        raise Refused(f"run {last.id} was cancelled half-way; take it back first: segue rollback {last.id}")
    if last is not None and last.status in RESUMABLE:
        if request.is_fresh:
            raise Refused(
                f"run {last.id} is unfinished ({last.status}); "
                f"resume it without --fresh, or 'segue rollback {last.id}' first"
            )
        require_same_settings(last, request)
        return last, True
    is_complete = last is not None and last.status is RunState.COMPLETE
    if last is not None and is_complete and not request.is_fresh and _has_same_settings(last, request):
        return last, True
    return _create(database, request, step), False


def reread(database: Database, run: Run, *, is_joining: bool = False) -> Run:
    """Look at the run again now that it is ours: its last holder may have moved it meanwhile.

    A joiner that takes the lead of a run does not wake one that somebody has put to rest.

    Raises:
        Refused: there is nothing left to do in it.
    """
    with database.transaction() as transaction:
        current = run_store.find(transaction, run.id)
    if current.status not in (UNDER_WAY if is_joining else RESUMABLE | {RunState.COMPLETE}):
        raise Refused(f"run {run.id} has become {current.status} meanwhile; see: segue status {run.id}")
    return current


def is_still_true(database: Database, step: Step, run: Run) -> bool:
    """Whether nothing that a complete run depends on has changed: neither decisions nor source."""
    with database.transaction(repeatable_read=True) as transaction:
        if run.plan.get("decisions") != run_store.decisions_digest(transaction):
            return False
        parts = run_store.partitions(transaction, run.id)
        return all(step.source_digest(transaction, part.within) == part.source for part in parts)


def _create(database: Database, request: Request, step: Step) -> Run:
    try:
        with database.transaction() as transaction:
            if isinstance(step, Selective):
                step.require_fit(transaction)
            return run_store.create(transaction, request.migration.name, request.settings)
    except UniqueViolation:
        with database.transaction() as transaction:
            rival = run_store.latest(transaction, request.migration.name)
        assert rival is not None
        since = (rival.row["held_since"] or rival.row["created_at"]).isoformat(timespec="seconds")
        raise RunHeld(rival.id, rival.row["holder"] or "another process", since) from None


def require_same_settings(run: Run, request: Request) -> None:
    """Let only a request with the run's own settings work on it.

    Raises:
        SettingsDiffer: naming each difference.
    """
    if not _has_same_settings(run, request):
        raise SettingsDiffer(run.id, _differences(run, request))


def _has_same_settings(run: Run, request: Request) -> bool:
    return bool(run.row["fingerprint"] == run_store.fingerprint(run.migration, request.settings))


def _differences(run: Run, request: Request) -> dict[str, tuple[object, object]]:
    names = sorted({*run.settings, *request.settings})
    both = {name: (run.settings.get(name), request.settings.get(name)) for name in names}
    return {name: values for name, values in both.items() if values[0] != values[1]}
