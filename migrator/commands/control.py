"""`segue pause`, `resume`, `cancel` and `set`."""

import click

from migrator import run_store
from migrator.commands.session import Session, command, json_option, print_json, say
from migrator.errors import Refused
from migrator.mirroring import remove as remove_mirror
from migrator.preflight import preflight
from migrator.retry import retrying
from migrator.run_store import Run
from migrator.set_controls import change_controls
from migrator.states import RESUMABLE, RunState
from migrator.stop import StopSignal
from sql.database import Transaction


def _request(session: Session, run_id: int, request: str, at_rest: RunState, as_json: bool) -> None:
    """Ask a live run to stop, or move one at rest."""
    with session.database() as database:
        preflight(database, session.schema)
        with database.transaction() as transaction:
            run = run_store.find(transaction, run_id)
            is_held = run_store.is_held(transaction, run.id)
            asked = transaction.run("runs.request_change", run_id=run.id, request=request) if is_held else 0
            if not asked:
                _move_at_rest(transaction, run, at_rest)
            else:
                run_store.note(transaction, run.id, request, detail={"request": [run.row["request"], request]})
        if not asked and at_rest is RunState.CANCELLED:
            stop = StopSignal(abort=database.cancel_running)
            remove_mirror(database, run, lambda drop: retrying(drop, run.id, (), stop))
    said = f"asked to {request} within one chunk" if asked else str(at_rest)
    if as_json:
        print_json({"run_id": run_id, "status": said})
    else:
        say(f"run {run_id}: {said}")


def _move_at_rest(transaction: Transaction, run: Run, to: RunState) -> None:
    if run.status is to:
        raise Refused(f"run {run.id} is already {to}; nothing was changed")
    if run.status not in {
        RunState.PREPARING,
        RunState.MIGRATING,
        RunState.VALIDATING,
        RunState.PAUSED,
        RunState.FAILED,
    }:
        raise Refused(f"run {run.id} is {run.status}; it cannot become {to}")
    run_store.move(transaction, run, to, token=None)


@click.command()
@click.argument("run_id", type=int, metavar="RUN")
@json_option
@command
def pause(session: Session, *, run_id: int, as_json: bool) -> None:
    """Stop RUN after its current chunks; `resume` goes on."""
    _request(session, run_id, "pause", RunState.PAUSED, as_json)


@click.command()
@click.argument("run_id", type=int, metavar="RUN")
@json_option
@command
def cancel(session: Session, *, run_id: int, as_json: bool) -> None:
    """Give RUN up after its current chunks; it can then only be rolled back."""
    _request(session, run_id, "cancel", RunState.CANCELLED, as_json)


@click.command()
@click.argument("run_id", type=int, metavar="RUN")
@json_option
@command
def resume(session: Session, *, run_id: int, as_json: bool) -> None:
    """Go on with RUN, with the settings that it was started with."""
    from migrator.commands.migrate import migrate  # noqa: PLC0415 - `pause` has no time for it

    with session.database() as database:
        preflight(database, session.schema)
        with database.transaction() as transaction:
            run = run_store.find(transaction, run_id)
            last = run_store.latest(transaction, run.migration)
    if last is None or last.id != run.id or run.status not in RESUMABLE:
        raise Refused(f"run {run.id} is {run.status}; there is nothing to resume")
    settings = {name: value for name, value in run.settings.items() if value is not None}
    click.get_current_context().invoke(migrate, name=run.migration, as_json=as_json, **settings)


@click.command(name="set")
@click.argument("run_id", type=int, metavar="RUN")
@click.argument("assignments", nargs=-1, metavar="[KEY=VALUE]...")
@json_option
@command
def set_(session: Session, *, run_id: int, assignments: tuple[str, ...], as_json: bool) -> None:
    """Change how hard RUN works and when it waits, while it goes on; without KEY=VALUE show it."""
    with session.database() as database:
        preflight(database, session.schema)
        with database.transaction() as transaction:
            run_store.find(transaction, run_id)
        controls = change_controls(database, run_id, assignments)
    if as_json:
        print_json({"run_id": run_id, "controls": controls.said()})
    else:
        for key, value in controls.said().items():
            say(f"{key:<18} {value}")
