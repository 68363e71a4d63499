"""What a forked worker does before and after its work, so that nothing of its parent's is left in it."""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, Protocol

from service.server.channel import Channel


class Log(Protocol):
    """What the supervisor tells: structlog's loggers have it."""

    def info(self, event: str, **values: Any) -> Any:
        """Note what was done."""

    def error(self, event: str, **values: Any) -> Any:
        """Note what went wrong."""

    def exception(self, event: str, **values: Any) -> Any:
        """Note what was raised."""


def live(work: Callable[[Channel], int], channel: Channel, foreign: Iterable[Callable[[], None]], log: Log) -> NoReturn:
    """Do the work of a process that was just forked, and end it.

    Args:
        work: returns the exit code.
        channel: to the supervisor.
        foreign: closes what belongs to the supervisor or to other workers.
        log: where a failure is noted.
    """
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all; the parent says what to do
            signal.signal(number, signal.SIG_IGN)
        for close in foreign:
            close()
        channel.pipe.keep_writing_end()
        code = work(channel)
    except BaseException:  # a child must not return into its parent's code
        log.exception("worker failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
