"""Named points at which a test may kill the process: before and after every statement, COPY and COMMIT.

A point is ``before:<query>``, ``after:<query>``, ``before:commit`` or ``after:commit``. Nothing is armed unless the
command line was started with ``SEGUE_FAILPOINT``; then the cost of a point is one comparison.
"""

import os
import signal
import threading

_lock = threading.Lock()
_armed: tuple[str, int] | None = None
_seen = 0


def arm(spec: str | None) -> None:
    """Arm one point: ``NAME`` for its first passing, ``NAME#K`` for its K-th, ``*#K`` for the K-th point of all."""
    global _armed, _seen
    name, _, nth = (spec or "").partition("#")
    _armed, _seen = (name, int(nth or 1)) if name else None, 0


def reach(name: str) -> None:
    """Pass a point; SIGKILL this process when it is the armed one."""
    if _armed is not None:
        _count(name)


def _count(name: str) -> None:
    global _seen  # noqa: PLW0603
    wanted, nth = _armed or ("", 0)
    if wanted in ("*", name):
        with _lock:
            _seen += 1
            if _seen == nth:
                os.kill(os.getpid(), signal.SIGKILL)
