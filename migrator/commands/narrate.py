"""Reports in words, for people who did not ask for --json."""

import os
import shlex
from collections.abc import Mapping
from typing import Any

from migrator.commands.session import say
from migrator.errors import Exit

_EQUAL = {True: "equal", False: "DIFFERENT", None: "not compared"}


def tell_migrate(body: Mapping[str, Any], code: Exit) -> None:
    """Print the report of `segue migrate` and the command that is likely next."""
    rows, elements = body["rows"], body["elements"]
    title = "Dry run of" if body["dry_run"] else f"Run {body['run_id']} of"
    unchanged = " - nothing has changed since, nothing to do" if body.get("unchanged") else ""
    say(f"{title} {body['migration']}: {body['status']}{unchanged}")
    _line("rows", f"{rows['processed']:,} of {rows['total']:,} processed, {rows['quarantined']:,} in quarantine")
    _line(
        "elements",
        f"{elements['total']:,} = {elements['linked']:,} linked + {elements['merged']:,} merged"
        f" + {elements['blank']:,} blank + {elements['quarantined']:,} quarantined",
    )
    if files := body.get("files"):
        _line("files", ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(files.items())))
    for problem, count in body.get("file_notes", {}).items():
        _line("note", f"{count:,} x {problem}")
    _line("would make" if body["dry_run"] else "created", _counts(body["created"]) or "nothing")
    if body["dry_run"]:
        _tell_plan(body)
    else:
        digest = body["digest"]
        _line("digest", f"expected {digest['expected']}, stored {digest['actual'] or '-'}: {_EQUAL[digest['equal']]}")
        if not body.get("unchanged"):
            _line("time", f"{body['seconds']:.2f} s, {body['rows_per_second']:,.0f} rows/s")
    for item in body.get("mismatches", [])[:10]:
        _line("mismatch", f"{item['key']}: {item['problem']}")
    for item in body["errors"][:5]:
        _line("quarantine", f"{item['key']}: {item['error']}")
    if body.get("error"):
        _line("error", str(body["error"]))
    if following := _next(body, code):
        say(f"Next: {following}")


def tell_rollback(body: Mapping[str, Any], migration: str, on_conflict: str) -> None:
    """Print the report of `segue rollback`."""
    say(f"{'Would roll' if body['dry_run'] else 'Rolled'} back run {body['run_id']} of {migration}: {body['status']}")
    _line("removed", _counts(body["removed"]) or "nothing")
    _line("restored", _counts(body["restored"]) or "nothing else was changed")
    for item in body["conflicts"][:10]:
        fate = "removed" if on_conflict == "force" else "kept"
        _line("conflict", f"{item['key']}: {item['problem']} - {fate}")
    if edits := body.get("edits"):
        _line("edits", f"{edits['total']:,} rows edited since" if edits["total"] else "nothing was edited since")
        for item in edits["listed"]:
            said = f"; {item['legacy']}" if item["legacy"] else ""
            _line("", f"{item['object']} {item['key']}: {item['edit']} - {item['fate']}{said}")


def _tell_plan(body: Mapping[str, Any]) -> None:
    words = body["vocabulary"]
    if any(words.values()):
        _line(
            "vocabulary",
            f"{words['exact']:,} exact, {words['synonym']:,} synonyms, {words['new']:,} new,"
            f" {words['fuzzy']:,} of them may be misspellings",
        )
    for line in body["suggestions"][:10]:
        say(f"    {line}")
    for line in body["notes"]:
        _line("note", line)
    _line("ETA", f"{body['eta_seconds']:.1f} s; this dry run took {body['seconds']:.1f} s and changed nothing")


def _next(body: Mapping[str, Any], code: Exit) -> str:
    if body["dry_run"]:
        source = body["settings"].get("source")
        return f"segue migrate {body['migration']}" + (f" --source {shlex.quote(_near(source))}" if source else "")
    run = body["run_id"]
    return {
        Exit.DONE: f"segue validate {run} - or segue rollback {run}",
        Exit.QUARANTINED: "segue quarantine list",
        Exit.MISMATCH: f"segue validate {run}, then segue validate {run} --repair",
        Exit.STOPPED: f"segue rollback {run}" if body["status"] == "cancelled" else f"segue resume {run}",
    }.get(code, "")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {table}" for table, count in counts.items() if count)


def _line(label: str, text: str) -> None:
    say(f"  {label:<11}{text}")


def _near(path: str) -> str:
    """Return a path as one would type it here."""
    here = os.path.relpath(path)
    return path if here.startswith("..") else here
