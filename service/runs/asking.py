"""Asking for runs and rollbacks: one transaction decides whether it can be, and puts a job into the queue."""

import os.path
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from psycopg.types.json import Jsonb

from service.runs.errors import Kind, RunRefused, conflict, invalid, not_found
from service.runs.reading import RESUMABLE
from sql.database import Row, Transaction

Settings = Mapping[str, str | None]


@dataclass(frozen=True)
class Asking:
    """Who asks, and how to know the question again.

    Attributes:
        actor: the token's name.
        key: the client's own key for what it asks; None when it gave none.
        digest: of what it asks.
    """

    actor: str
    key: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Asked:
    """What was put into the queue; the same again for who asks with the same key.

    Attributes:
        job_id: in the queue.
        run_id: the run that is, or will be.
        kind: `migrate` or `rollback`.
        migration: of the run.
        is_repeated: this is the answer that was given before.
    """

    job_id: int
    run_id: int
    kind: str
    migration: str
    is_repeated: bool = False


def ask_run(
    transaction: Transaction,
    asking: Asking,
    migration: str,
    settings: Mapping[str, str],
    options: Mapping[str, Any],
    *,
    is_fresh: bool,
) -> Asked:
    """Ask for a run of a migration: a new one, or the complete one of the same settings, brought up to date.

    Raises:
        RunRefused: there is no such migration or option, or another run is unfinished; or the key stands for
            something else.
    """
    offered = _lock(transaction, migration)
    if repeated := _repeated(transaction, asking):
        return repeated
    whole = _whole(offered["options"], settings)
    _require_no_job(transaction, migration)
    last = transaction.first("runs.find_latest_run", migration=migration)
    if last is not None and last["status"] not in {"complete", "rolled_back"}:
        raise conflict(_standing(last))
    if last is not None and last["status"] == "complete" and not is_fresh and _are_same(last["settings"], whole):
        run_id = last["id"]
    else:
        run_id = transaction.one("jobs.reserve_run")["run_id"]
    return _add(transaction, asking, "migrate", migration, run_id, whole, options)


def ask_resume(transaction: Transaction, asking: Asking, run_id: int) -> Asked:
    """Ask for an unfinished run to go on, with its own settings.

    Raises:
        RunRefused: there is no such run, somebody works on it, or there is nothing to resume.
    """
    run = _lock_run(transaction, run_id)
    if repeated := _repeated(transaction, asking):
        return repeated
    _require_free(transaction, run)
    if run["status"] not in RESUMABLE:
        raise conflict(f"run {run_id} is {run['status']}; there is nothing to resume")
    before = transaction.first("jobs.find_latest_of_run", run_id=run_id)
    asked = before["options"] if before and before["kind"] == "migrate" else {}
    # As `segue resume` does, without the limit that may have stopped it.
    options = {name: value for name, value in asked.items() if name not in {"max_errors", "controls"}}
    return _add(transaction, asking, "migrate", run["migration"], run_id, run["settings"], options)


def ask_rollback(transaction: Transaction, asking: Asking, run_id: int, on_conflict: str) -> Asked:
    """Ask for a run to be taken back; one whose rollback was cut off goes on.

    Raises:
        RunRefused: there is no such run, somebody works on it, a later one builds on it, or it is rolled back.
    """
    run = _lock_run(transaction, run_id)
    if repeated := _repeated(transaction, asking):
        return repeated
    _require_free(transaction, run)
    if run["status"] == "rolled_back":
        raise conflict(f"run {run_id} is already rolled back")
    options = {"on_conflict": on_conflict}
    return _add(transaction, asking, "rollback", run["migration"], run_id, run["settings"], options)


def _lock(transaction: Transaction, migration: str) -> Row:
    found = transaction.first("jobs.lock_migration", migration=migration)
    if found is None:
        known = [row["name"] for row in transaction.all("jobs.list_migrations")]
        near = get_close_matches(migration, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
        raise RunRefused(
            Kind.NOT_FOUND,
            f"no migration named {migration!r}; {hint} (one of your own is known as soon as a `segue worker` has it)",
        )
    return found


def _lock_run(transaction: Transaction, run_id: int) -> Row:
    run = transaction.first("run_status.read_run", run_id=run_id)
    if run is None:
        job = transaction.first("jobs.find_latest_of_run", run_id=run_id)
        raise conflict(f"run {run_id} has not begun") if job else not_found(run_id)
    # A run of a migration that is not offered any more is still there; then the unique index alone decides.
    transaction.all("jobs.lock_migration", migration=run["migration"])
    return transaction.one("run_status.read_run", run_id=run_id)


def _repeated(transaction: Transaction, asking: Asking) -> Asked | None:
    if asking.key is None:
        return None
    found = transaction.first("jobs.find_answer", asked_by=asking.actor, idempotency_key=asking.key)
    if found is None:
        return None
    if found["asked_digest"] != asking.digest:
        raise RunRefused(
            Kind.INVALID, "this Idempotency-Key was used for another request; take a new key for a new request"
        )
    return Asked(**found["answer"], is_repeated=True)


def _whole(offered: list[dict[str, Any]] | None, given: Mapping[str, str]) -> Settings:
    """Return a run's settings, checked and with defaults as far as the migration's options are known here."""
    faults = [(_pointer(name), "must not be empty; leave it out for its default") for name in given if not given[name]]
    if offered is None:
        if faults:
            raise invalid(*faults)
        return dict(given)
    known = {option["name"]: option for option in offered}
    for name, value in given.items():
        option = known.get(name)
        if option is None:
            faults.append((_pointer(name), f"no such option; there are: {', '.join(sorted(known)) or 'none'}"))
        elif value and option["choices"] and value not in option["choices"]:
            faults.append((_pointer(name), f"must be one of {', '.join(option['choices'])}"))
        elif value and option["is_path"] and not value.startswith("/"):
            faults.append((_pointer(name), "must be a whole path on the worker's machine"))
    if faults:
        raise invalid(*faults)
    return {
        name: os.path.normpath(given[name])
        if option["is_path"] and name in given
        else given.get(name) or option["default"]
        for name, option in known.items()
    }


def _pointer(name: str) -> str:
    return "/settings/" + name.replace("~", "~0").replace("/", "~1")


def _are_same(stored: Settings, given: Settings) -> bool:
    """Whether a run has these settings; where its options are not known here, those that are given."""
    return all(stored.get(name) == value for name, value in given.items())


def _require_no_job(transaction: Transaction, migration: str) -> None:
    job = transaction.first("jobs.find_active", migration=migration)
    if job is not None:
        does = "being taken back" if job["kind"] == "rollback" else "at work"
        what = "in the queue" if job["state"] == "queued" else does
        raise conflict(f"run {job['run_id']} of {migration} is {what}; see /v1/runs/{job['run_id']}")


def _require_free(transaction: Transaction, run: Row) -> None:
    _require_no_job(transaction, run["migration"])
    if run["is_held"]:
        raise conflict(f"run {run['id']} is held by {run['holder']}; pause it first, or wait")
    later = transaction.first("runs.find_later_run", migration=run["migration"], run_id=run["id"])
    if later is not None:
        raise conflict(f"run {later['id']} of {run['migration']} is later and builds on run {run['id']}")


def _standing(run: Row) -> str:
    if run["status"] in RESUMABLE:
        following = f"go on with it: POST /v1/runs/{run['id']}/resume, or take it back: …/rollback"
    else:
        following = f"take it back first: POST /v1/runs/{run['id']}/rollback"
    return f"run {run['id']} of {run['migration']} is {run['status']}; {following}"


def _add(
    transaction: Transaction,
    asking: Asking,
    kind: str,
    migration: str,
    run_id: int,
    settings: Settings,
    options: Mapping[str, Any],
) -> Asked:
    row = transaction.one(
        "jobs.add_job",
        kind=kind,
        migration=migration,
        run_id=run_id,
        settings=Jsonb(settings),
        options=Jsonb(options),
        asked_by=asking.actor,
        idempotency_key=asking.key,
        asked_digest=asking.digest,
    )
    answer = {"job_id": row["id"], "run_id": run_id, "kind": kind, "migration": migration}
    transaction.run("jobs.save_answer", job_id=row["id"], answer=Jsonb(answer))
    note(transaction, asking.actor, run_id, "job-queued", {"job": row["id"], "do": kind})
    return Asked(**answer)


def note(transaction: Transaction, actor: str, run_id: int, kind: str, detail: Mapping[str, Any]) -> None:
    """Append an event; the caller holds the lock of the run, or of its job."""
    values = {"actor": f"token {actor}", "kind": kind, "detail": Jsonb(detail)}
    transaction.run("runs.add_event", None, run_id=run_id, to_status=None, **values)
