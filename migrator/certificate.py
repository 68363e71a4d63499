"""A run's certificate: what was done, with which settings, and the figures that prove it."""

from importlib.metadata import version
from typing import Any

from migrator import report, run_store
from migrator.migration import Step
from migrator.run_store import Run
from sql.database import Database


def certify(database: Database, run: Run, step: Step) -> dict[str, Any]:
    """Return a run's certificate as JSON: its report, partitions, vocabulary, validation and history."""
    with database.transaction(repeatable_read=True) as transaction:
        server = transaction.one("session.describe_server")
        parts = run_store.partitions(transaction, run.id)
        history = transaction.all("runs.list_events", run_id=run.id)
        return {
            "certificate": "segue/1",
            **report.run_report(transaction, run, step),
            "fingerprint": run.row["fingerprint"],
            "plan": dict(run.plan),
            "vocabulary": transaction.one("vocabulary.count_vocabulary", run_id=run.id),
            "validation": run.row["validation"],
            "rollback": run.row["rollback"],
            "partitions": [
                {
                    "after": part.within.after,
                    "upto": part.within.upto,
                    "chunks": part.seq,
                    **vars(part.counts),
                    "expected": str(part.expected),
                    "created_digest": str(part.created),
                    "source": str(part.source),
                }
                for part in parts
            ],
            "events": history,
            "versions": {"segue": version("segue"), "postgresql": server["version"]},
        }
