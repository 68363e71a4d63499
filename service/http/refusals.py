"""Which problem an error of the layers below is, for the one who asked."""

from typing import Final

from service.curation.errors import CurationError, MergedTag
from service.curation.errors import Kind as Refusal
from service.http.problems import (
    CONFLICT,
    GONE,
    INTERNAL,
    INVALID,
    NOT_FOUND,
    UNAVAILABLE,
    Fault,
    Kind,
    Problem,
)
from service.runs.errors import Kind as RunKind
from service.runs.errors import RunRefused
from sql.errors import ConnectionLost, DatabaseError

_KINDS: Final[dict[Refusal, Kind]] = {
    Refusal.NOT_FOUND: NOT_FOUND,
    Refusal.CONFLICT: CONFLICT,
    Refusal.INVALID: INVALID,
    Refusal.GONE: GONE,
}
_RUN_KINDS: Final[dict[RunKind, Kind]] = {
    RunKind.NOT_FOUND: NOT_FOUND,
    RunKind.CONFLICT: CONFLICT,
    RunKind.INVALID: INVALID,
}


def of_error(error: Exception) -> Problem:
    """Return the problem to answer with; INTERNAL for what should not have happened, which tells the client nothing."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, CurationError):
        faults = [] if error.field is None else [Fault(str(error), pointer=f"/{error.field}")]
        headers = [("location", f"/v1/tags/{error.merged_into}")] if isinstance(error, MergedTag) else []
        return Problem(_KINDS[error.kind], str(error), faults, headers)
    if isinstance(error, RunRefused):
        return Problem(_RUN_KINDS[error.kind], str(error), [Fault(said, pointer=place) for place, said in error.faults])
    if isinstance(error, ConnectionLost):
        return Problem(
            UNAVAILABLE, "the database is gone; what is in memory still answers", headers=[("retry-after", "5")]
        )
    if isinstance(error, DatabaseError) and error.is_transient:
        return Problem(UNAVAILABLE, "the database is busy; ask again", headers=[("retry-after", "1")])
    return Problem(INTERNAL, "this is our mistake; it was noted under the request's id")
