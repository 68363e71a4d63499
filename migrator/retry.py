"""The one place that retries: transient failures only, jittered exponential backoff, a bounded number of times."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from migrator.events import ChunkRetried, Observer, tell
from migrator.stop import StopSignal
from sql.errors import DatabaseError

Result = TypeVar("Result")

#: SQLSTATE of a lock that was not had in time.
LOCKED = "55P03"
_HELD = (
    ": transactions of other sessions hold what this needs. Nothing is half-done; `segue doctor` names the long ones: "
    "end them or wait, then run the command again"
)

#: Up to about a minute in all: long enough for a server to restart, short enough for an operator.
ATTEMPTS = 8
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 15


def retrying(
    action: Callable[[], Result],
    run_id: int,
    observers: tuple[Observer, ...],
    stop: StopSignal,
    attempts: int = ATTEMPTS,
) -> Result:
    """Call `action`, again after a transient database failure; the last failure is raised.

    Waits are full-jitter exponential from 0.5 s to 15 s; a stop signal ends a wait at once.
    """

    def tell_retry(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0.0
        sqlstate = error.sqlstate if isinstance(error, DatabaseError) else None
        tell(observers, ChunkRetried(run_id, sqlstate, str(error), state.attempt_number, float(wait)))

    def is_transient(error: BaseException) -> bool:
        return isinstance(error, DatabaseError) and error.is_transient and not stop.is_aborting

    policy = Retrying(
        retry=retry_if_exception(is_transient),
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        before_sleep=tell_retry,
        sleep=stop.sleep,
        reraise=True,
    )
    try:
        return policy(action)
    except DatabaseError as error:
        if error.sqlstate == LOCKED and not stop.is_aborting:
            raise DatabaseError(f"{error}, {attempts} times{_HELD}", sqlstate=LOCKED) from error
        raise
