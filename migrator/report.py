"""A run as JSON: what `--json`, `status` and the certificate print, read from the database."""

from collections.abc import Mapping
from typing import Any

from migrator import run_store
from migrator.digest import ALGORITHM, Digest
from migrator.dry_run import Rehearsal
from migrator.migration import Counts, Mismatch, Step
from migrator.outcome import Outcome
from migrator.removal import RolledBack
from migrator.run_store import Run
from migrator.states import RunState
from sql.database import Database, Row, Transaction

#: Quarantined rows listed in a report; `segue quarantine list` has them all.
MOST_ERRORS = 20


def migrate_report(database: Database, step: Step, outcome: Outcome) -> dict[str, Any]:
    """Return the JSON object of `segue migrate` for a run that ended, or is at rest."""
    with database.transaction() as transaction:
        run = run_store.find(transaction, outcome.run_id)
        body = run_report(transaction, run, step)
    body["resumed"] = outcome.is_resumed
    body["unchanged"] = outcome.is_unchanged
    body["caught_up"] = outcome.caught_up
    if outcome.is_unchanged:
        body["created"] = dict.fromkeys(body["created"], 0)
    body["joined"] = outcome.has_joined
    if outcome.has_joined:
        pass  # its leader has compared, and what it found is the run's
    elif outcome.validation is None:
        body["digest"].update(actual=None, equal=None)  # an earlier comparison says nothing about now
    else:
        checked = outcome.validation
        body["digest"] = _digest(checked.expected, checked.stored, is_equal=checked.is_equal)
        body["mismatches"] = mismatches(checked.mismatches)
    body["seconds"] = round(outcome.seconds, 3)
    body["rows_per_second"] = _rate(body["rows"]["processed"], outcome.seconds)
    return body


def run_report(transaction: Transaction, run: Run, step: Step | None) -> dict[str, Any]:
    """Return a stored run with the keys of DESIGN's `migrate --json`."""
    parts = run_store.partitions(transaction, run.id)
    counts = sum((part.counts for part in parts), start=Counts())
    expected = sum((part.expected for part in parts), start=Digest())
    kept = transaction.all("runs.read_quarantine", run_id=run.id, most=MOST_ERRORS)
    validation = run.row["validation"]
    return {
        "run_id": run.id,
        "migration": run.migration,
        "status": run.status,
        "dry_run": False,
        "resumed": False,
        "rows": {"total": run.row["total_rows"], "processed": counts.rows, "quarantined": counts.quarantined_rows},
        "elements": _elements(counts),
        "created": _created(transaction, run, step, counts) if step else {},
        "digest": {
            "algorithm": ALGORITHM,
            "expected": str(expected),
            "actual": validation["stored"] if validation else None,
            "equal": validation["equal"] if validation else None,
        },
        "seconds": round(run.row["work_seconds"], 3),
        "rows_per_second": _rate(counts.rows, run.row["work_seconds"]),
        "errors": [
            {"key": place_of(row["key"], row["pointer"]), "error": row["reason"], "recoverable": True} for row in kept
        ],
        "error": run.row["error"],
        "settings": dict(run.settings),
        "mirror": run.plan.get("mirror", "off"),
        "validated_equal": validation["equal"] if validation else None,
        "held_by": run.row["holder"] if run_store.is_held(transaction, run.id) else None,
        "partitions": {"total": len(parts), "done": sum(part.is_done for part in parts)},
        "workers": [_worker(row) for row in transaction.all("claims.list_holders", run_id=run.id)],
        "throttled": run.row["throttled"],
        "started_at": run.row["created_at"].isoformat(),
        "finished_at": run.row["finished_at"].isoformat() if run.row["finished_at"] else None,
        **(step.details(transaction, run.context) if step else {}),
    }


def dry_run_report(name: str, result: Rehearsal) -> dict[str, Any]:
    """Return the JSON object of `segue migrate --dry-run`."""
    words = {"exact": 0, "synonym": 0, "fuzzy": 0, "new": 0, **result.preview.words}
    return {
        "run_id": None,
        "migration": name,
        "status": "complete" if result.is_complete else "stopped",
        "dry_run": True,
        "resumed": False,
        "rows": {"total": result.total, "processed": result.counts.rows, "quarantined": result.counts.quarantined_rows},
        "elements": _elements(result.counts),
        "created": result.created_rows,
        # What a dry run wrote is gone, so there is nothing stored to compare with.
        "digest": {"algorithm": ALGORITHM, "expected": str(result.expected), "actual": None, "equal": None},
        "seconds": round(result.seconds, 3),
        "rows_per_second": _rate(result.counts.rows, result.seconds),
        "errors": [{"key": item.key, "error": item.problem, "recoverable": True} for item in result.problems],
        "vocabulary": words,
        "eta_seconds": result.eta_seconds,
        "suggestions": list(result.preview.suggestions),
        "notes": list(result.preview.notes),
    }


def rollback_report(result: RolledBack, *, is_dry: bool) -> dict[str, Any]:
    """Return the JSON object of `segue rollback`."""
    return {
        "run_id": result.run_id,
        "status": result.status,
        "dry_run": is_dry,
        "removed": result.removed,
        "restored": result.restored,
        "conflicts": mismatches(result.conflicts),
        **({"edits": vars(result.edits)} if result.edits else {}),
        "seconds": round(result.seconds, 3),
    }


def mismatches(found: list[Mismatch]) -> list[dict[str, str]]:
    """Return mismatches as JSON: keys and problems, never a row's values."""
    return [{"key": item.key, "problem": item.problem} for item in found]


def place_of(key: str, pointer: str | None) -> str:
    """Return where a quarantined element is: its row's key, or its file and the JSON pointer in it."""
    return f"{key}#{pointer}" if pointer else key


def _elements(counts: Counts) -> dict[str, int]:
    return {
        "total": counts.elements,
        "linked": counts.linked,
        "merged": counts.merged,
        "blank": counts.blank,
        "quarantined": counts.quarantined,
    }


def _created(transaction: Transaction, run: Run, step: Step, counts: Counts) -> dict[str, int]:
    """Count rows by provenance; what the checkpoints count one by one is known from them."""
    if run.status is RunState.ROLLED_BACK:
        return dict.fromkeys(step.targets, 0)
    names = step.fragments
    return {
        name: counts.created
        if name == step.counted
        else transaction.one("rollback.count_rows", {"target": names[name]}, run_id=run.id)["found"]
        for name in step.targets
    }


def _worker(row: Row) -> dict[str, Any]:
    """Return a live process of a run, with what it holds."""
    return {
        "holder": row["holder"],
        "since": row["held_since"].isoformat(),
        "leads": row["is_leader"],
        "partitions": row["partitions"],
    }


def _digest(expected: Digest, stored: Digest, *, is_equal: bool) -> Mapping[str, object]:
    return {"algorithm": ALGORITHM, "expected": str(expected), "actual": str(stored), "equal": is_equal}


def _rate(rows: int, seconds: float) -> float:
    return round(rows / seconds, 1) if seconds > 0 else 0.0
