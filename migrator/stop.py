"""Why to stop: signals, requests stored with the run, and limits. The first Ctrl-C is patient, the second is not."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopSignal:
    """A reason to stop, set once and seen by all workers.

    Args:
        abort: called at the second signal, to cancel the statements that run.
        is_patient: False aborts at the first signal already, where there is nothing to finish.
    """

    def __init__(self, abort: Callable[[], None] = lambda: None, *, is_patient: bool = True) -> None:
        self._event = threading.Event()
        self._aborts = [abort]
        self._is_patient = is_patient
        self.reason: str | None = None
        self.is_aborting = False

    @property
    def is_set(self) -> bool:
        """Whether workers shall stop after their chunk."""
        return self._event.is_set()

    def on_abort(self, abort: Callable[[], None]) -> None:
        """Have something more called at the second signal."""
        self._aborts.append(abort)

    def set(self, reason: str) -> None:
        """Ask to stop; the first reason is kept."""
        if self.reason is None:
            self.reason = reason
        self._event.set()

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond a stop."""
        self._event.wait(seconds)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Answer SIGINT and SIGTERM: the first finishes the chunk, the second aborts it; both leave a resumable run."""

        def answer(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is Python's
            if self.is_set or not self._is_patient:
                self.is_aborting = True
                # A handler may interrupt the very code that holds the connection's lock: cancel from elsewhere.
                for abort in self._aborts:
                    threading.Thread(target=abort, daemon=True).start()
            self.set(f"signal {signal.Signals(number).name}")

        before = {number: signal.signal(number, answer) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            # Once asked to stop, the process only has its report to print: a further Ctrl-C must not cut that short.
            asked = (self.reason or "").startswith("signal")
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if asked else handler)
