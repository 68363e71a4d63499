"""What one user file gave."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from migrator.node_persist.rows import USER_TABLES

Row = tuple[Any, ...]


@dataclass(frozen=True, repr=False)
class Tokens:
    """Secrets found in a file; they have no repr, so that no log or traceback shows them.

    Attributes:
        access, refresh: the tokens; one of them may be None.
        expires_at: of the access token, in UTC.
    """

    access: str | None
    refresh: str | None
    expires_at: datetime | None


@dataclass(repr=False)
class Extract:
    """The rows of one file and the account of its elements: elements = linked + merged + blank + quarantined.

    Attributes:
        is_user: the value has the shape of a user; without it there is nothing else.
        user_rows: table → rows of this user, each natural key once.
        shared_rows: table → rows not given by this worker before.
        elements, linked, merged, blank: counts; see `extract`.
        quarantined: (JSON pointer, reason) of each element that could not be imported.
        notes: (JSON pointer, problem) of what was imported without a value that did not fit.
        tokens: secrets found in the value.
        updated_at: the value's own lastUpdated in microseconds since 1970.
    """

    is_user: bool = False
    user_rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in USER_TABLES})
    shared_rows: dict[str, list[Row]] = field(default_factory=dict)
    elements: int = 0
    linked: int = 0
    merged: int = 0
    blank: int = 0
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    tokens: Tokens | None = None
    updated_at: int | None = None

    def quarantine(self, pointer: str, reason: str) -> None:
        """Account for one element that cannot be imported."""
        self.elements += 1
        self.quarantined.append((pointer, reason))
