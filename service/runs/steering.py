"""Steering runs: pause, cancel, and how hard they work, whether a worker, a command or nobody has them."""

from collections.abc import Mapping

from psycopg.types.json import Jsonb

from service.runs.asking import note
from service.runs.errors import RunRefused, conflict, not_found
from service.runs.reading import RESUMABLE
from sql.database import Row, Transaction

#: Request → the state that a run at rest takes at once.
_AT_REST = {"pause": "paused", "cancel": "cancelled"}
#: Request → what becomes of a job that waits.
_OUTCOMES = {"pause": "stopped", "cancel": "cancelled"}
#: States that may follow at rest, with those that may come before; migrator/states.py has the whole table.
_BEFORE = {"paused": RESUMABLE - {"failed", "paused"}, "cancelled": RESUMABLE}


def stop(transaction: Transaction, actor: str, run_id: int, request: str) -> None:
    """Ask a run that goes on to `pause` or `cancel` within a chunk; one at rest is moved at once.

    What is paused or cancelled already stays so.

    Raises:
        RunRefused: there is no such run, or its state does not allow it.
    """
    job = transaction.first("jobs.lock_active_of_run", run_id=run_id)
    run = transaction.first("run_status.lock_run", run_id=run_id)
    if run is None and job is None:
        raise _unbegun(transaction, run_id)
    if job is not None and job["kind"] == "rollback":
        raise conflict(f"run {run_id} is being taken back; a rollback can only go on")
    if run is None and request == "pause":
        raise conflict(f"run {run_id} has not begun; cancel it, and ask again later")
    detail = {"job": job["id"]} if job else {}
    if job is not None and job["is_at_work"]:
        transaction.run("jobs.ask_of_job", job_id=job["id"], request=request)
        transaction.run("runs.request_change", run_id=run_id, request=request)
        note(transaction, actor, run_id, request, detail)
        return
    if job is not None:
        transaction.run("jobs.withdraw_job", job_id=job["id"], outcome=_OUTCOMES[request])
        note(transaction, actor, run_id, "job-ended", {**detail, "outcome": _OUTCOMES[request]})
    if run is None:
        return
    if transaction.one("runs.is_held", run_id=run_id)["is_held"]:
        if not transaction.run("runs.request_change", run_id=run_id, request=request):
            raise conflict(f"run {run_id} is {run['status']}; it cannot {request}")
        note(transaction, actor, run_id, request, detail)
    else:
        _move(transaction, actor, run, request)


def retune(transaction: Transaction, actor: str, run_id: int, assignments: Mapping[str, str]) -> None:
    """Change a run's controls; they take effect within one chunk and stay with the run.

    Raises:
        RunRefused: there is no such run, or nothing to control any more.
    """
    run = transaction.first("throttle.lock_controls", run_id=run_id)
    if run is None:
        raise _unbegun(transaction, run_id)
    if run["status"] in {"complete", "cancelled", "rolled_back"}:
        raise conflict(f"run {run_id} is {run['status']}; there is nothing to control any more")
    stored: dict[str, str] = run["controls"]
    changed = {
        key: [stored.get(key, "default"), value] for key, value in assignments.items() if stored.get(key) != value
    }
    if changed:
        transaction.run("throttle.save_controls", run_id=run_id, controls=Jsonb({**stored, **assignments}))
        note(transaction, actor, run_id, "set", changed)


def _move(transaction: Transaction, actor: str, run: Row, request: str) -> None:
    to = _AT_REST[request]
    if run["status"] == to:
        return
    if run["status"] not in _BEFORE[to]:
        raise conflict(f"run {run['id']} is {run['status']}; it cannot become {to}")
    transaction.run(
        "runs.move_run",
        run_id=run["id"],
        from_status=run["status"],
        to_status=to,
        token=None,
        error=None,
        actor=f"token {actor}",
        detail=Jsonb({"reason": request}),
    )


def _unbegun(transaction: Transaction, run_id: int) -> RunRefused:
    job = transaction.first("jobs.find_latest_of_run", run_id=run_id)
    if job is None:
        return not_found(run_id)
    return conflict(f"run {run_id} {'has not begun' if job['state'] != 'ended' else 'never began'}")
