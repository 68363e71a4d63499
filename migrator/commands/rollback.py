"""`segue rollback`."""

import click

from migrator import registry, report, run_store
from migrator.commands.cleanup import has_undone
from migrator.commands.metrics import MetricsTarget, metrics_options
from migrator.commands.narrate import tell_rollback
from migrator.commands.session import Session, command, json_option, print_json
from migrator.errors import Exit, Refused
from migrator.migration import Step
from migrator.preflight import preflight
from migrator.progress import observing
from migrator.rollback import Rollback
from migrator.run_store import Run
from migrator.stop import StopSignal
from sql.database import Database


@click.command()
@click.argument("run_id", type=int, required=False, metavar="[RUN]")
@click.option(
    "-d",
    "--dry-run",
    is_flag=True,
    envvar="SEGUE_DRY_RUN",
    show_envvar=True,
    help="Show what would be removed and the conflicts; nothing is changed.",
)
@click.option(
    "--on-conflict",
    type=click.Choice(["keep", "force", "abort"]),
    default="keep",
    show_default=True,
    envvar="SEGUE_ON_CONFLICT",
    show_envvar=True,
    help="Tags of the run that people use or edited since: keep them, remove them with those uses, or change nothing.",
)
@metrics_options
@json_option
@command
def rollback(
    session: Session, *, run_id: int | None, dry_run: bool, on_conflict: str, metrics: MetricsTarget, as_json: bool
) -> int:
    """Take RUN back (default: the latest run that is not rolled back).

    Removes what the run created and restores what it changed; keeps what people did since. When `segue cleanup` has
    dropped the run's legacy column, the first call brings that back, and nothing else. Exit codes: 0 done,
    5 refused, 6 stopped and resumable, 7 done with conflicts kept.
    """
    with session.database() as database, observing() as observers:
        run, step = open_run(database, session, run_id)
        stop = StopSignal(abort=database.cancel_running)
        if has_undone(database, run, step, stop, observers, is_dry=dry_run, as_json=as_json):
            return Exit.DONE
        with stop.on_signals(), metrics.measuring(run.migration) as measured:
            rolled = Rollback(database, run, step, session.schema, on_conflict, stop, (*observers, *measured))
            result = rolled.rehearse() if dry_run else rolled.execute()
    kept = bool(result.conflicts) and on_conflict == "keep"
    body = report.rollback_report(result, is_dry=dry_run)
    if as_json:
        print_json(body)
    else:
        tell_rollback(body, run.migration, on_conflict)
    return Exit.CONFLICTS_KEPT if kept and not dry_run else Exit.DONE


def open_run(database: Database, session: Session, run_id: int | None) -> tuple[Run, Step]:
    """Return a run, by default the latest that is not rolled back, and its migration's step.

    Raises:
        Refused: there is no run.
    """
    preflight(database, session.schema)
    with database.transaction() as transaction:
        if run_id is None:
            row = transaction.first("runs.find_rollback_candidate")
            if row is None:
                raise Refused("there is no run to work on; see: segue status")
            run = Run.of(row)
        else:
            run = run_store.find(transaction, run_id)
        migration = registry.get(run.migration, registry.discover(session.migrations))
        return run, migration.open(transaction, run.settings, session.schema)
