"""What happens during a run, as frozen records; observers are functions that take one of them."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Event:
    """Something that happened to a run; 0 is the run of a dry run."""

    run_id: int


@dataclass(frozen=True)
class PhaseStarted(Event):
    """The run entered a phase: planning, migrating, finishing, validating, rolling back.

    Attributes:
        phase: its name.
        total: rows in all, where rows are counted.
        done: rows that were converted before, so that the rest of a resumed run is known.
        quarantined: of them, those in quarantine.
    """

    phase: str
    total: int | None = None
    done: int | None = None
    quarantined: int | None = None


@dataclass(frozen=True)
class ChunkCommitted(Event):
    """A chunk and its checkpoint were committed (or, in a dry run, executed and rolled back)."""

    partition: int
    rows: int
    seconds: float
    chunk_size: int
    quarantined: int = 0


@dataclass(frozen=True)
class ChunkRetried(Event):
    """A transaction failed for a transient reason and will run again after a pause."""

    sqlstate: str | None
    reason: str
    attempt: int
    wait_seconds: float


@dataclass(frozen=True)
class Throttled(Event):
    """The run waits, because the database is under a load that its controls limit; told again while it lasts."""

    reason: str
    seconds: float


@dataclass(frozen=True)
class Compared(Event):
    """What was made has been compared with what was due."""

    mismatches: int


@dataclass(frozen=True)
class RowsRemoved(Event):
    """A rollback's transaction that removed rows of the run was committed."""

    table: str
    rows: int


@dataclass(frozen=True)
class RunAdvanced(Event):
    """How far all processes that work on the run are; told about once a second while there are several."""

    rows: int
    quarantined: int


@dataclass(frozen=True)
class RunClosed(Event):
    """The run stopped: complete, paused, failed, cancelled or rolled back."""

    status: str
    seconds: float
    detail: dict[str, object] = field(default_factory=dict)


Observer = Callable[[Event], None]


def tell(observers: tuple[Observer, ...], event: Event) -> None:
    """Give an event to every observer."""
    for observer in observers:
        observer(event)
