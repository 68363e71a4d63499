"""`segue migrate`."""

import os
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from migrator import registry, report, run_store
from migrator.commands.metrics import MetricsTarget, metrics_options
from migrator.commands.narrate import tell_migrate
from migrator.commands.session import Session, command, json_option, print_json
from migrator.controls import Controls
from migrator.dry_run import rehearse
from migrator.errors import Exit, Stopped, UsageError
from migrator.events import Observer
from migrator.join import Joiner
from migrator.migration import Migration, Step
from migrator.mirroring import DIRECTIONS
from migrator.outcome import Outcome
from migrator.progress import observing
from migrator.request import Limits, Request, with_defaults
from migrator.retry import ATTEMPTS, retrying
from migrator.runner import Runner
from migrator.states import RunState
from migrator.stop import StopSignal
from sql.database import Database
from sql.errors import ConnectionLost

MOST_WORKERS = 4
_DEFAULT_WORKERS = min(os.cpu_count() or 1, MOST_WORKERS)


def migration_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every built-in migration; one that another migration lacks is refused when it is given."""
    seen: dict[str, list[str]] = {}
    options = []
    for migration in registry.discover().values():
        for option in migration.options:
            if option.name not in seen:
                options.append(option)
            seen.setdefault(option.name, []).append(migration.name)
    for option in reversed(options):
        shown = f" [default: {option.default}]" if option.default else ""
        function = click.option(
            f"--{option.name}",
            type=click.Choice(option.choices) if option.choices else str,
            envvar=f"SEGUE_{option.name.upper()}",
            show_envvar=True,
            help=f"({', '.join(seen[option.name])}) {option.help}{shown}",
        )(function)
    return function


@click.command()
@click.argument("name", default="themes", envvar="SEGUE_MIGRATION")
@click.option(
    "-d",
    "--dry-run",
    is_flag=True,
    envvar="SEGUE_DRY_RUN",
    show_envvar=True,
    help="Execute everything and roll it back; nothing is changed.",
)
@click.option(
    "-b",
    "--batch-size",
    type=click.IntRange(1, 100_000),
    envvar="SEGUE_BATCH_SIZE",
    show_envvar=True,
    help="Rows of every chunk. [default: adapted to 250 ms a chunk]",
)
@click.option(
    "-v",
    "--validate",
    is_flag=True,
    envvar="SEGUE_VALIDATE",
    show_envvar=True,
    help="Recompute everything at the end by an independent path.",
)
@click.option(
    "--skip-validation",
    is_flag=True,
    envvar="SEGUE_SKIP_VALIDATION",
    show_envvar=True,
    help="Do not even read back what was written.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=_DEFAULT_WORKERS,
    envvar="SEGUE_WORKERS",
    show_envvar=True,
    help=f"Partitions converted at a time. [default: the cores, at most {MOST_WORKERS}]",
)
@click.option(
    "--fresh",
    is_flag=True,
    envvar="SEGUE_FRESH",
    show_envvar=True,
    help="Start a new run; refused while one is unfinished.",
)
@click.option(
    "--join",
    is_flag=True,
    envvar="SEGUE_JOIN",
    show_envvar=True,
    help="Share the work of a run that another process, on this or another machine, has begun.",
)
@click.option(
    "--max-errors",
    envvar="SEGUE_MAX_ERRORS",
    show_envvar=True,
    metavar="N|N%",
    help="Stop (6) when more rows than this are in quarantine.",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0),
    envvar="SEGUE_MAX_SECONDS",
    show_envvar=True,
    help="Stop (6) after this time.",
)
@click.option(
    "--max-chunks",
    type=click.IntRange(min=0),
    envvar="SEGUE_MAX_CHUNKS",
    show_envvar=True,
    help="Stop (6) after this many chunks.",
)
@click.option(
    "--nice",
    type=click.FloatRange(0, 100),
    envvar="SEGUE_NICE",
    show_envvar=True,
    metavar="R",
    help="Sleep R times as long as each chunk and closing step took; the same as --set nice=R.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a control of the run, as `segue set` does while it goes on; may be repeated.",
)
@click.option(
    "--mirror",
    type=click.Choice(DIRECTIONS),
    envvar="SEGUE_MIRROR",
    show_envvar=True,
    help="(themes) Carry users' writes over in their own transactions, to the tags or both ways. [default: as it is]",
)
@migration_options
@metrics_options
@json_option
@command
def migrate(
    session: Session, /, *, name: str, dry_run: bool, metrics: MetricsTarget, as_json: bool, **options: Any
) -> int:
    """Run or resume migration NAME (default: themes).

    An unfinished run is resumed from its checkpoint. Exit codes: 0 done, 3 mismatch, 4 rows in quarantine, 5 refused,
    6 stopped early and resumable.
    """
    if options["validate"] and options["skip_validation"]:
        raise UsageError("--validate and --skip-validation exclude each other; give one of them")
    if options["join"] and (dry_run or options["fresh"]):
        raise UsageError("--join works on a run that is under way; leave out --dry-run and --fresh")
    known = registry.discover(session.migrations)
    request = _request(registry.get(name, known), session, options)
    with session.database() as database, observing() as shown, metrics.measuring(name) as measured:
        stop, observers = StopSignal(abort=database.cancel_running), (*shown, *measured)
        with stop.on_signals():
            if dry_run:
                result = rehearse(database, request, stop, observers)
                body = {**report.dry_run_report(name, result), "settings": dict(request.settings)}
                code = Exit.DONE if result.is_complete else Exit.STOPPED
            else:
                body, code = run_request(database, request, stop, observers)
    if as_json:
        print_json(body)
    else:
        tell_migrate(body, code)
    return code


def settings_of(migration: Migration, options: dict[str, Any], general: set[str]) -> dict[str, str]:
    """Return the options given that are the migration's; those in `general` are the command's.

    Raises:
        UsageError: one is empty, or another migration's.
    """
    names = {option.name for option in migration.options}
    source_of = click.get_current_context().get_parameter_source
    settings = {
        name: value
        for name, value in options.items()
        # An environment twin may be meant for another migration; what is typed is meant for this one.
        if name not in general
        and value is not None
        and (name in names or source_of(name) is not ParameterSource.ENVIRONMENT)
    }
    if empty := sorted(name for name, value in settings.items() if not value):
        raise UsageError(f"--{empty[0]} is empty; leave it out for its default")
    if foreign := sorted(set(settings) - names):
        raise UsageError(
            f"migration {migration.name!r} has no option --{foreign[0]}; "
            f"it has: {', '.join('--' + name for name in sorted(names)) or 'none'}"
        )
    return settings


def _request(migration: Migration, session: Session, options: dict[str, Any]) -> Request:
    general = {
        "validate",
        "skip_validation",
        "workers",
        "fresh",
        "batch_size",
        "max_errors",
        "max_seconds",
        "max_chunks",
        "nice",
        "assignments",
        "join",
        "mirror",
    }
    settings = settings_of(migration, options, general)
    return with_defaults(
        Request(
            migration,
            settings,
            session.schema,
            workers=options["workers"],
            batch_size=options["batch_size"],
            is_fresh=options["fresh"],
            validation="full" if options["validate"] else "none" if options["skip_validation"] else "quick",
            limits=Limits(options["max_seconds"], options["max_chunks"], options["max_errors"]),
            controls=_assignments(options["nice"], options["assignments"]),
            is_joining=options["join"],
            mirror=options["mirror"],
        )
    )


def _assignments(nice: float | None, given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the controls to set; what cannot be meant is refused before anything starts."""
    assignments = (*([] if nice is None else [f"nice={nice:g}"]), *given)
    Controls().changed(assignments)
    return assignments


def run_request(
    database: Database, request: Request, stop: StopSignal, observers: tuple[Observer, ...]
) -> tuple[dict[str, Any], Exit]:
    """Run or resume what is asked for; return its report, and what the command exits with."""
    runner = (Joiner if request.is_joining else Runner)(database, request, stop, observers)
    try:
        outcome = runner.migrate()
    except Stopped as stopped:
        try:
            body = retrying(lambda: _at_rest(database, request), 0, observers, stop, attempts=_attempts(stopped))
        except ConnectionLost:
            raise stopped from None  # there is nobody left to ask how far it came
        body["error"] = str(stopped)
        body["resumed"] = runner.outcome is not None and runner.outcome.is_resumed
        return body, Exit.STOPPED
    # The run is closed: a connection lost now must not make its exit code a lie.
    body = retrying(
        lambda: report.migrate_report(database, _step(database, request), outcome), outcome.run_id, observers, stop
    )
    return body, _code(outcome, body)


def _attempts(stopped: Stopped) -> int:
    """Return how often to ask for a report; a server that was given up is asked once more only."""
    return 1 if isinstance(stopped.__cause__, ConnectionLost) else ATTEMPTS


def _code(outcome: Outcome, body: dict[str, Any]) -> Exit:
    is_wrong = outcome.validation is not None and not outcome.validation.is_equal
    if outcome.status is not RunState.COMPLETE or is_wrong:
        return Exit.MISMATCH
    return Exit.QUARANTINED if body["rows"]["quarantined"] else Exit.DONE


def _step(database: Database, request: Request) -> Step:
    with database.transaction() as transaction:
        return request.migration.open(transaction, request.settings, request.schema)


def _at_rest(database: Database, request: Request) -> dict[str, Any]:
    step = _step(database, request)
    with database.transaction() as transaction:
        run = run_store.latest(transaction, request.migration.name)
        assert run is not None
        return report.run_report(transaction, run, step)
