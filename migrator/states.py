"""The states of a run and every legal transition, each with what causes it in the world."""

from enum import StrEnum


class RunState(StrEnum):
    """Where a run stands."""

    PREPARING = "preparing"  # options are checked, partitions cut, the vocabulary resolved
    MIGRATING = "migrating"  # chunks are converted
    VALIDATING = "validating"  # constraints and counts are finished, digests compared
    COMPLETE = "complete"  # done and true
    PAUSED = "paused"  # stopped by a signal, a limit or `pause`; resumable
    FAILED = "failed"  # stopped by an error or a mismatch; resumable once mended
    CANCELLED = "cancelled"  # given up by an admin; can only be rolled back
    ROLLING_BACK = "rolling_back"  # what the run made is being removed
    ROLLED_BACK = "rolled_back"  # everything is as before the run


S = RunState

#: State → the states that may follow. The CHECK on segue.events holds the same edges.
TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    S.PREPARING: frozenset(
        {
            S.MIGRATING,  # the plan is stored
            S.PAUSED,  # a signal during planning
            S.FAILED,  # an error during planning
            S.CANCELLED,  # `segue cancel`
            S.ROLLING_BACK,  # the process died while planning and the admin gives up
        }
    ),
    S.MIGRATING: frozenset(
        {
            S.VALIDATING,  # every partition is done
            S.PAUSED,  # a signal, a limit or `segue pause`
            S.FAILED,  # an error that retrying does not mend
            S.CANCELLED,  # `segue cancel`
            S.ROLLING_BACK,  # the process died and the admin gives up
        }
    ),
    S.VALIDATING: frozenset(
        {
            S.COMPLETE,  # the digests agree
            S.MIGRATING,  # resumed after the process died while validating
            S.PAUSED,  # a signal while validating
            S.FAILED,  # a mismatch or an error
            S.CANCELLED,  # `segue cancel`
            S.ROLLING_BACK,  # the process died while validating and the admin gives up
        }
    ),
    S.PAUSED: frozenset(
        {
            S.PREPARING,  # resumed before its plan was stored
            S.MIGRATING,  # resumed
            S.CANCELLED,  # `segue cancel`
            S.ROLLING_BACK,  # `segue rollback`
        }
    ),
    S.FAILED: frozenset(
        {
            S.PREPARING,  # resumed before its plan was stored
            S.MIGRATING,  # resumed after the cause was mended
            S.COMPLETE,  # `segue validate --repair` made it true
            S.CANCELLED,  # `segue cancel`
            S.ROLLING_BACK,  # `segue rollback`
        }
    ),
    S.CANCELLED: frozenset({S.ROLLING_BACK}),  # `segue rollback`
    S.COMPLETE: frozenset(
        {
            S.VALIDATING,  # `segue migrate` again: brought up to date with a source that changed since
            S.ROLLING_BACK,  # `segue rollback`
        }
    ),
    S.ROLLING_BACK: frozenset({S.ROLLED_BACK}),  # everything is removed and restored
    S.ROLLED_BACK: frozenset(),
}

#: States in which `migrate` goes on with the run instead of starting another.
RESUMABLE = frozenset({S.PREPARING, S.MIGRATING, S.VALIDATING, S.PAUSED, S.FAILED})

#: States in which only one process may work on the run.
UNFINISHED = RESUMABLE | {S.ROLLING_BACK}

#: States in which a process is due to lead the run.
UNDER_WAY = frozenset({S.PREPARING, S.MIGRATING, S.VALIDATING})
