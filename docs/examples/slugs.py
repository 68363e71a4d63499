"""Song titles become URL slugs.

Why: links by title instead of by id.
Risk: none to the source, which is only read.
Undo: `segue rollback`, which drops the table again.
"""

import re
from collections.abc import Mapping
from typing import Any

from migrator.migration import Migration, Option
from migrator.pure_step import PureStep, Reject
from migrator.source import TableSource
from sql.database import Transaction


def transform(_key: str, song: dict[str, Any]) -> dict[str, Any] | None:
    """Return the song's slug; a title without a letter or digit cannot have one."""
    if song["title"] is None:
        return None
    slug = "-".join(re.findall(r"[a-z0-9]+", song["title"].lower()))
    if not slug:
        raise Reject("no letter or digit in the title")
    return {"slug": slug}


def open_step(transaction: Transaction, settings: Mapping[str, str | None], schema: str) -> PureStep:
    """Read `title` of the table named by --table."""
    source = TableSource.find(transaction, table=settings["table"] or "songs", key="id", column="title", schema=schema)
    return PureStep(
        source, "song_slugs", "song_id {key_type} PRIMARY KEY, slug text NOT NULL", ("title",), transform, schema
    )


MIGRATION = Migration(
    name="slugs",
    summary="song titles become URL slugs",
    options=(Option("table", "Legacy table.", "songs"),),
    open=open_step,
)
