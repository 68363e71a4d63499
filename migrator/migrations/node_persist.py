"""JSON files that a Node.js application kept with node-persist become the relational catalog.

Why: one file per user cannot be joined, indexed or kept consistent, and is lost whole when one write fails.
Risk: none to the files, which are only read; rows that the application made stay as they are, only gaps are filled.
Undo: `segue rollback`, which removes what the run made, restores what it changed, and keeps what others refer to.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from migrator.catalog import require_catalog
from migrator.errors import Refused, UsageError
from migrator.migration import Migration, Option
from migrator.node_persist.patterns import KeyPatterns
from migrator.node_persist.step import NodePersistStep
from migrator.node_persist.store import Store
from migrator.node_persist.tables import TARGETS
from migrator.token_keys import TokenKeys
from sql.database import Transaction


def open_step(transaction: Transaction, settings: Mapping[str, str | None], schema: str) -> NodePersistStep:
    """Check the options against the database; whether the directory can be read is asked when it is.

    Raises:
        UsageError: no source, or a key pattern that names no id.
        Refused: the directory cannot be read, the catalog was left out, or a privilege is missing.
    """
    source = settings.get("source")
    if not source:
        raise UsageError("node-persist needs --source DIRECTORY, where the application's storage files are")
    require_catalog(transaction, schema)
    store = Store(Path(source), KeyPatterns.parse(settings.get("keys")).patterns)
    step = NodePersistStep(store, schema, TokenKeys.from_environment(os.environ), settings.get("load") or "auto")
    names = [step.fragments[name].as_string(None) for name in TARGETS]
    if missing := transaction.all("constraints.list_missing_privileges", names=names):
        raise Refused(
            "missing privileges; as the tables' owner: "
            + "; ".join(f"GRANT {row['missing']} TO the role" for row in missing)
        )
    return step


MIGRATION = Migration(
    name="node-persist",
    summary="JSON files of node-persist become users, tracks, artists, plays and playlists",
    options=(
        Option("source", "The directory with the storage files; it is only read.", is_path=True),
        Option("keys", "Which keys are users, separated by commas.", "{id},users/{id}/data"),
        Option(
            "load",
            "Load empty tables without their keys and indexes (fresh), or with them (live).",
            "auto",
            ("auto", "fresh", "live"),
        ),
    ),
    open=open_step,
)
