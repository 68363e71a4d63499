"""What `segue doctor` says: a check, how bad it is, what was found, and the command that mends it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Finding:
    """One result of one check.

    Attributes:
        check: what was looked at.
        level: `blocked` keeps Segue from working, `warning` makes it slow or risky.
        message: the object and the fact.
        fix: the command or statement that mends it; empty when there is nothing to do.
    """

    check: str
    level: Level
    message: str
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as one object of `doctor --json`."""
        return {**asdict(self), "level": str(self.level)}


def ok(check: str, message: str) -> list[Finding]:
    """Return the one finding of a check that found nothing wrong."""
    return [Finding(check, Level.OK, message)]


def warning(check: str, message: str, fix: str) -> Finding:
    """Return a finding that makes a run slow or risky."""
    return Finding(check, Level.WARNING, message, fix)


def blocked(check: str, message: str, fix: str) -> Finding:
    """Return a finding that keeps Segue from working."""
    return Finding(check, Level.BLOCKED, message, fix)


def is_blocked(findings: Iterable[Finding]) -> bool:
    """Tell whether any of them keeps Segue from working."""
    return any(finding.level is Level.BLOCKED for finding in findings)
