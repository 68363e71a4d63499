"""The parent of the workers: it owns the port, starts and replaces workers, and answers no request itself.

All workers accept from one listening socket that stays open in the parent. A worker that ends takes no waiting
connection with it: whoever accepts next gets it. (With a socket each, as SO_REUSEPORT gives them, the kernel resets
what waits in the queue of the one that closes.)

Signals: SIGTERM and SIGINT stop (a second one at once), SIGHUP replaces the workers one after the other.
"""

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from service.server import child
from service.server.channel import RETIRE, Channel, ReadyPipe
from service.server.child import Log

#: A worker that ends sooner than this after its start is taken for one that cannot run, and the next one waits.
_SHORT_LIFE: Final = 10.0
_LONGEST_PAUSE: Final = 30.0
#: Beside what a worker was given to finish: the interpreter's own end.
_KILL_AFTER: Final = 5.0


class _Interrupted(BaseException):
    """The server was told to stop while it was reading the index."""


@dataclass
class _Worker:
    """A child process.

    Attributes:
        pid: its process.
        slot: which of the workers it is; during a restart old and new share one.
        pipe: where it says that it is ready.
        started: monotonic seconds.
        is_ready: whether it has said so.
        is_leaving: whether it was asked to end.
        successor: the worker that takes its place in a restart.
    """

    pid: int
    slot: int
    pipe: ReadyPipe
    started: float = field(default_factory=time.monotonic)
    is_ready: bool = False
    is_leaving: bool = False
    successor: "_Worker | None" = None


class Supervisor:
    """Keeps `count` workers running until it is told to stop.

    Args:
        listener: the listening socket.
        count: of workers.
        work: what a worker does, in a process of its own; returns its exit code.
        refresh: called before workers are replaced, to renew what they inherit; an error is logged, and they get what
            it left.
        grace: seconds after which a worker that was asked to end is killed.
        log: where starts and ends are noted.
    """

    def __init__(
        self,
        listener: socket.socket,
        count: int,
        work: Callable[[Channel], int],
        *,
        refresh: Callable[[], None],
        grace: float,
        log: Log,
    ) -> None:
        self._listener = listener
        self._count = count
        self._work = work
        self._refresh = refresh
        self._grace = grace + _KILL_AFTER
        self._log = log
        self._workers: dict[int, _Worker] = {}
        self._pauses = [0.0] * count
        self._due: dict[int, float] = dict.fromkeys(range(count), 0.0)
        self._replacing: list[_Worker] = []
        self._signals: list[int] = []
        self._kill_at: float | None = None
        self._is_refreshing = False
        self._was_ever_ready = False
        self._lifeline = os.pipe()
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Supervise until stopped; return 0, or 1 when no worker could start at all."""
        waker, sleeper = socket.socketpair()
        for end in (waker, sleeper):
            end.settimeout(0)
        self._selector.register(sleeper, selectors.EVENT_READ)
        handled = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        before = {number: signal.signal(number, self._on_signal) for number in handled}
        old_waker = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        try:
            return self._loop(sleeper)
        finally:
            signal.set_wakeup_fd(old_waker)
            for number, handler in before.items():
                signal.signal(number, handler)
            for worker in self._workers.values():
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)
            self._selector.close()
            waker.close()
            sleeper.close()
            os.close(self._lifeline[1])
            os.close(self._lifeline[0])

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGCHLD:
            return
        self._signals.append(number)
        if self._is_refreshing and number != signal.SIGHUP:
            raise _Interrupted

    def _loop(self, sleeper: socket.socket) -> int:
        while True:
            self._reap()
            while self._signals:
                self._obey(self._signals.pop(0))
            if self._kill_at is not None:
                if not self._workers:
                    return 0
                if time.monotonic() >= self._kill_at:
                    self._signal_all(signal.SIGKILL)
            elif not self._workers and not self._was_ever_ready and self._count == len(self._failed()):
                self._log.error("no worker could start")
                return 1
            else:
                self._start_due()
                self._replace()
            for key, _ in self._selector.select(self._pause()):
                if key.fileobj is sleeper:
                    with suppress(BlockingIOError):
                        sleeper.recv(4096)
                else:
                    self._hear(key.data)

    def _failed(self) -> list[int]:
        return [slot for slot, pause in enumerate(self._pauses) if pause]

    def _pause(self) -> float | None:
        now = time.monotonic()
        if self._kill_at is not None:
            return max(self._kill_at - now, 0.05)
        return max(min(self._due.values()) - now, 0) if self._due else None

    def _reap(self) -> None:
        for worker in list(self._workers.values()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._buried(worker, os.waitstatus_to_exitcode(status))

    def _buried(self, worker: _Worker, code: int) -> None:
        del self._workers[worker.pid]
        if not worker.pipe.is_closed:
            self._selector.unregister(worker.pipe.fileno())
            worker.pipe.close()
        if worker.is_leaving:
            self._log.info("worker ended", pid=worker.pid, slot=worker.slot, code=code)
            return
        lived = time.monotonic() - worker.started
        failures = self._pauses[worker.slot]
        self._pauses[worker.slot] = min(max(failures * 2, 0.5), _LONGEST_PAUSE) if lived < _SHORT_LIFE else 0.0
        self._log.error("worker lost", pid=worker.pid, slot=worker.slot, code=code, lived_seconds=round(lived, 1))
        if not any(other.slot == worker.slot for other in self._workers.values()):  # in a restart there are two
            # One that had been answering is replaced at once, however short its life: what it ran did not end it.
            self._due[worker.slot] = time.monotonic() + (
                0 if worker.is_ready and not failures else self._pauses[worker.slot]
            )

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in [slot for slot, due in self._due.items() if due <= now]:
            del self._due[slot]
            self._start(slot)

    def _start(self, slot: int) -> _Worker:
        pipe = ReadyPipe()
        is_alone = not any(worker.is_ready and not worker.is_leaving for worker in self._workers.values())
        pid = os.fork()
        if not pid:
            foreign: list[Callable[[], None]] = [self._selector.close, partial(os.close, self._lifeline[1])]
            foreign += [sibling.pipe.close for sibling in self._workers.values()]
            channel = Channel(self._listener, self._lifeline[0], pipe, is_alone=is_alone)
            child.live(self._work, channel, foreign, self._log)
        pipe.keep_reading_end()
        worker = self._workers[pid] = _Worker(pid, slot, pipe)
        self._selector.register(pipe.fileno(), selectors.EVENT_READ, worker)
        self._log.info("worker started", pid=pid, slot=slot)
        return worker

    def _hear(self, worker: _Worker) -> None:
        if worker.pid not in self._workers:
            return
        worker.is_ready = worker.pipe.is_ready()
        self._selector.unregister(worker.pipe.fileno())
        worker.pipe.close()
        if worker.is_ready:
            self._was_ever_ready = True
            self._pauses[worker.slot] = 0.0
            self._log.info("worker ready", pid=worker.pid, slot=worker.slot)

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP:
            if self._kill_at is None and not self._replacing and self._is_refreshed():
                self._replacing = [worker for worker in self._workers.values() if not worker.is_leaving]
        elif self._kill_at is None:
            self._log.info("stopping", signal=signal.Signals(number).name)
            self._kill_at = time.monotonic() + self._grace
            self._signal_all(number if number == signal.SIGTERM else signal.SIGQUIT)
        else:
            self._signal_all(signal.SIGKILL)

    def _is_refreshed(self) -> bool:
        """Renew what workers inherit, which may take seconds; False when the server was told to stop meanwhile."""
        try:
            self._is_refreshing = True
            self._refresh()
        except _Interrupted:
            return False
        except Exception as error:  # a worker that inherits nothing loads for itself
            self._log.error("the index was not read again", error=str(error))
        finally:
            self._is_refreshing = False
        return True

    def _signal_all(self, number: int) -> None:
        for worker in self._workers.values():
            worker.is_leaving = True
            os.kill(worker.pid, number)  # not reaped yet, so the number is still its own

    def _replace(self) -> None:
        """Bring the restart one step on: start a new worker for the next old one, or let the old one go."""
        while self._replacing:
            old = self._replacing[0]
            if old.pid not in self._workers:
                self._replacing.pop(0)
                continue
            if old.successor is None:
                old.successor = self._start(old.slot)
            elif old.successor.pid not in self._workers:
                self._log.error("restart given up: the new worker did not start", slot=old.slot)
                self._replacing.clear()
            elif old.successor.is_ready and not old.is_leaving:
                old.is_leaving = True
                os.kill(old.pid, RETIRE)
            return
