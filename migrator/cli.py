"""The command line: the one place that reads options and the environment and puts the parts together.

A command is imported when it is called: none pays for the parts of another. Those of sibling packages are found by
their entry points, so that nothing here names them.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrator.errors import Exit
from migrator.loading import without_collection

with without_collection():
    from migrator.commands.session import Session, print_json
    from sql import failpoints

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}

#: The commands of this package: the module of `migrator.commands` that holds each, and its name there.
OWN = {
    "cancel": "control:cancel",
    "certificate": "inspect:certificate",
    "cleanup": "cleanup:cleanup",
    "db": "database:db",
    "doctor": "doctor:doctor",
    "keys": "keys:keys",
    "load": "database:load",
    "migrate": "migrate:migrate",
    "pause": "control:pause",
    "quarantine": "inspect:quarantine",
    "rehearse": "rehearse:rehearse",
    "resume": "control:resume",
    "rollback": "rollback:rollback",
    "set": "control:set_",
    "status": "inspect:status",
    "users": "users:users",
    "validate": "inspect:validate",
    "vocabulary": "vocabulary:vocabulary",
    "worker": "worker:worker",
}

#: Where a package says which commands it adds: the command's name = its click command.
PLUG_INS = "segue.commands"


class Commands(click.Group):
    """The package's own commands, and those that other packages bring; each is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the same in every context
        """Return all names, for the listing in --help."""
        return sorted({*OWN, *_plug_ins().names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, one of our own before another package's; None when nobody has it."""
        with without_collection():
            if place := OWN.get(cmd_name):
                module, _, attribute = place.partition(":")
                return _checked(getattr(import_module(f"migrator.commands.{module}"), attribute), place)
            for point in _plug_ins().select(name=cmd_name):
                return _checked(point.load(), point.value)
        return None


def _checked(command: object, place: str) -> click.Command:
    assert isinstance(command, click.Command), f"{place} is no click command"
    return command


def _plug_ins() -> "EntryPoints":
    from importlib.metadata import entry_points  # noqa: PLC0415 - commands of our own must not pay for the search

    return entry_points(group=PLUG_INS)


@click.group(cls=Commands, context_settings=SETTINGS)
@click.option(
    "--database-url",
    envvar="DATABASE_URL",
    show_envvar=True,
    help="postgresql://user@host:5432/name  [default: an embedded PostgreSQL]",
)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=".segue",
    envvar="SEGUE_HOME",
    show_envvar=True,
    show_default=True,
    help="Where the embedded PostgreSQL lives.",
)
@click.option(
    "--pg-bin",
    envvar="SEGUE_PG_BIN",
    show_envvar=True,
    help="Directory of PostgreSQL's programs for the embedded server.",
)
@click.option(
    "--schema",
    default="public",
    envvar="SEGUE_SCHEMA",
    show_envvar=True,
    show_default=True,
    help="The application's schema.",
)
@click.option(
    "--migrations",
    type=click.Path(path_type=Path),
    envvar="SEGUE_MIGRATIONS",
    show_envvar=True,
    help="Directory of further migration files.",
)
@click.option(
    "--lock-timeout-ms",
    type=click.IntRange(1, 600_000),
    default=5_000,
    envvar="SEGUE_LOCK_TIMEOUT_MS",
    show_envvar=True,
    show_default=True,
    help="How long one statement waits for a lock.",
)
@click.version_option(package_name="segue")
@click.pass_context
def segue(
    context: click.Context,
    database_url: str | None,
    home: Path,
    pg_bin: str | None,
    schema: str,
    migrations: Path | None,
    lock_timeout_ms: int,
) -> None:
    """Move live data from a legacy shape to a normalized one: checkpointed, proven by checksum, reversible."""
    failpoints.arm(os.environ.get("SEGUE_FAILPOINT"))
    context.obj = Session(database_url or None, home, pg_bin, schema, migrations, lock_timeout_ms)


def main() -> None:
    """Run `segue`."""
    _run(sys.argv[1:])


def migrate_main() -> None:
    """Run `migrate`, which is `segue migrate`."""
    _run(["migrate", *sys.argv[1:]])


def rollback_main() -> None:
    """Run `rollback`, which is `segue rollback`."""
    _run(["rollback", *sys.argv[1:]])


def _run(arguments: list[str]) -> None:
    try:
        sys.exit(segue(args=arguments, prog_name="segue", standalone_mode=False))
    except click.ClickException as error:
        if "--json" in arguments:
            print_json({"error": error.format_message(), "exit_code": error.exit_code})
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(Exit.STOPPED)
