"""What `segue migrate` was asked to do."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from migrator.errors import UsageError
from migrator.migration import Migration


@dataclass(frozen=True)
class Limits:
    """When to stop early; None is never.

    Attributes:
        max_seconds: of work in this call.
        max_chunks: in this call.
        max_errors: quarantined rows, as a number or a share of the rows processed (`5%`).
    """

    max_seconds: float | None = None
    max_chunks: int | None = None
    max_errors: str | None = None

    def __post_init__(self) -> None:
        if self.max_seconds is not None and not math.isfinite(self.max_seconds):
            raise UsageError("--max-seconds is not a number of seconds")
        try:
            number = float((self.max_errors or "0").removesuffix("%"))
        except ValueError:
            number = -1.0
        most = 100 if (self.max_errors or "").endswith("%") else 2**63
        if not 0 <= number <= most:
            raise UsageError(f"--max-errors {self.max_errors!r}: give a number of rows or a share such as 5%")


@dataclass(frozen=True)
class Request:
    """What `segue migrate` was asked to do.

    Attributes:
        migration: which conversion.
        settings: its options' values; they are the run's fingerprint.
        schema: the application's.
        workers: how many partitions are converted at a time.
        batch_size: rows of every chunk; None adapts to time.
        is_fresh: start a new run even when the last one is complete.
        validation: `quick` reads back what was written, `full` recomputes everything, `none` trusts the checkpoints.
        limits: when to stop early.
        is_joining: work on the run that another process leads, and lead it only when that process dies.
        controls: assignments such as `nice=1`, which the run keeps; see `migrator.controls`.
        mirror: `off`, `forward` or `both`; None leaves it as it is. It changes nothing that a run makes.
    """

    migration: Migration
    settings: Mapping[str, str | None]
    schema: str = "public"
    workers: int = 1
    batch_size: int | None = None
    is_fresh: bool = False
    validation: str = "quick"
    limits: Limits = field(default_factory=Limits)
    controls: tuple[str, ...] = ()
    is_joining: bool = False
    mirror: str | None = None


def with_defaults(request: Request) -> Request:
    """Fill in the migration's defaults and make paths absolute, so that equal runs have equal fingerprints."""
    settings = {
        option.name: request.settings.get(option.name) or option.default for option in request.migration.options
    }
    paths = {option.name for option in request.migration.options if option.is_path}
    settings = {
        name: os.path.abspath(value) if name in paths and value else value  # noqa: PTH100 - a link stays one
        for name, value in settings.items()
    }
    return replace(request, settings=settings)
