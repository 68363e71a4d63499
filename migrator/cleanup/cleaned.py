"""What a cleanup did, or would do."""

from dataclasses import dataclass, field

from migrator.cleanup_record import Record
from migrator.run_store import Run
from migrator.source import TableSource


@dataclass
class Cleaned:
    """What a cleanup did, or in a dry run would do.

    Attributes:
        record: the cleanup as it is stored; None in a dry run.
        column: what goes with the column; see `reasons.own_parts`.
        rows, bytes: of its values; None when they were not counted.
        mirrors: triggers that go with it.
        notes: what could not be done, or should be known.
        is_unchanged: whether it was done before.
    """

    run: Run
    source: TableSource
    record: Record | None = None
    column: dict[str, object] = field(default_factory=dict)
    rows: int | None = None
    bytes: int | None = None
    mirrors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_unchanged: bool = False
    seconds: float = 0.0
