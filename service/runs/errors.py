"""Why something about a run cannot be."""

from collections.abc import Sequence
from enum import Enum


class Kind(Enum):
    """Sorts of refusals."""

    NOT_FOUND = "not found"
    CONFLICT = "conflict"
    INVALID = "invalid"


class RunRefused(Exception):
    """What was asked about a run cannot be done; nothing was changed.

    Attributes:
        kind: the sort.
        faults: (JSON pointer into the body, what is wrong) for each value that is.
    """

    def __init__(self, kind: Kind, message: str, faults: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.faults = tuple(faults)


def not_found(run_id: int) -> RunRefused:
    """Return the refusal for a run that is not there."""
    return RunRefused(Kind.NOT_FOUND, f"there is no run {run_id}")


def conflict(message: str) -> RunRefused:
    """Return the refusal for what contradicts the state of a run."""
    return RunRefused(Kind.CONFLICT, message)


def invalid(*faults: tuple[str, str]) -> RunRefused:
    """Return the refusal for values that cannot be right."""
    return RunRefused(Kind.INVALID, "; ".join(f"{pointer}: {said}" for pointer, said in faults), faults)
