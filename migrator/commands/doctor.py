"""`segue doctor`."""

import click

from migrator.checkup.examine import examine
from migrator.checkup.findings import is_blocked
from migrator.commands.session import Session, command, json_option, print_json, say
from migrator.errors import Exit


@click.command()
@click.option(
    "--table", default="songs", show_default=True, envvar="SEGUE_TABLE", show_envvar=True, help="Legacy table."
)
@json_option
@command
def doctor(session: Session, *, table: str, as_json: bool) -> int:
    """Say what would stop, slow or endanger a migration here, each with the command that mends it; changes nothing."""
    with session.database() as database:
        findings = examine(database, session.schema, table)
    stuck = is_blocked(findings)
    if as_json:
        print_json({"ok": not stuck, "findings": [finding.as_json() for finding in findings]})
    else:
        for finding in findings:
            say(f"{finding.level:<8} {finding.check:<13} {finding.message}")
            if finding.fix:
                say(f"{'':<22} -> {finding.fix}")
    return Exit.REFUSED if stuck else Exit.DONE
