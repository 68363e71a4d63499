"""What can go wrong, in the operator's words: the object, the reason, the next step, and the exit code."""

from difflib import get_close_matches
from enum import IntEnum


class Exit(IntEnum):
    """The command line's exit codes; docs/reference.md says the same and a test compares them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    MISMATCH = 3
    QUARANTINED = 4
    REFUSED = 5
    STOPPED = 6
    CONFLICTS_KEPT = 7


class MigratorError(Exception):
    """Something failed; the message says what, on which object, and what to do next."""

    exit_code = Exit.FAILED


class Refused(MigratorError):
    """A precondition is not met; nothing was changed."""

    exit_code = Exit.REFUSED


class UsageError(MigratorError):
    """The command was called with something that cannot be right."""

    exit_code = Exit.USAGE


class UnknownName(UsageError):
    """No migration, table, column or run of this name.

    Attributes:
        name: what was asked for.
        suggestion: the nearest name that exists, or None.
    """

    def __init__(self, kind: str, name: str, known: list[str], *, hint: str = "") -> None:
        near = get_close_matches(name, known, n=1)
        self.name = name
        self.suggestion = near[0] if near else None
        said = f"no {kind} named {name!r}"
        if self.suggestion:
            said += f"; did you mean {self.suggestion!r}?"
        elif known:
            said += f"; there are: {', '.join(sorted(known)[:10])}"
        super().__init__(said + hint)


class RunHeld(Refused):
    """Another live process works on the run."""

    def __init__(self, run_id: int, holder: str, since: str) -> None:
        super().__init__(
            f"run {run_id} is held by {holder} since {since}; wait for it, or stop that process "
            "(a dead holder is noticed at once on a direct connection - one that joined, in 10 s - and within 30 s "
            "through a pooler)"
        )


class SettingsDiffer(Refused):
    """An unfinished run was started with other settings than this command gives."""

    def __init__(self, run_id: int, differences: dict[str, tuple[object, object]]) -> None:
        said = ", ".join(f"{name}: the run has {old!r}, you gave {new!r}" for name, (old, new) in differences.items())
        super().__init__(
            f"run {run_id} is unfinished and was started with other settings ({said}); "
            f"go on with its own: segue resume {run_id}, or take it back first: segue rollback {run_id}"
        )
        self.differences = differences


class LeaseLost(MigratorError):
    """Another process took this run over; this worker's transaction was rolled back."""

    exit_code = Exit.REFUSED


class AccountingError(MigratorError):
    """A chunk's counts do not add up to its source's; the chunk was rolled back."""


class Stopped(MigratorError):
    """The run was stopped early and can be resumed.

    Attributes:
        reason: signal, pause, cancel, max-seconds, max-chunks, max-errors, or what the server has run out of.
    """

    exit_code = Exit.STOPPED

    def __init__(self, reason: str) -> None:
        super().__init__(f"stopped early ({reason}); run the same command again to go on")
        self.reason = reason
