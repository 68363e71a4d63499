"""Reading a file that another process may be writing: never a mixture of two writes, never through a link.

node-persist truncates the file and writes it again in place (`fs.writeFile` in every release), so a reader can meet it
empty, half-written, or half old and half new. A read counts only when the file was the same before and after, and its
last change lay far enough back for a further one to show in its times.
"""

import errno
import os
import stat
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay, wait_random

from migrator.node_persist.damage import Damaged, Gone

Parsed = TypeVar("Parsed")

#: V8 makes no longer strings, so the library cannot have written a larger file nor read it back.
LARGEST = 536_870_888

#: A change shows in a file's times only when the clock that stamps them has ticked since the last one: the kernel's at
#: 100 Hz or faster, or once in two seconds on file systems with whole seconds.
TICK_NS = 20_000_000
COARSE_TICK_NS = 2_100_000_000

#: A file that does not parse is judged when it has not changed for this long: its writer may be between two writes.
PATIENCE_NS = 500_000_000

#: In all, for a file that changes at every look.
LONGEST_WAIT_SECONDS = 4

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NO_ATIME = getattr(os, "O_NOATIME", 0)


def read_settled(directory: str, path: str, parse: Callable[[bytes], Parsed]) -> tuple[Parsed, os.stat_result]:
    """Read a file of the store and parse it, again while it is being written.

    Args:
        directory: the store.
        path: relative to it.
        parse: makes something of the content, or raises Damaged.

    Returns:
        What `parse` made, and the file's status as of this content.

    Raises:
        Damaged: the file cannot be read, is no regular file, does not parse, or changed at every look for 4 s.
        Gone: there is no such file.
    """

    def attempt() -> tuple[Parsed, os.stat_result] | None:
        return _read_once(directory, path, parse)

    found = attempt()  # without the machinery for more: it costs as much as the read
    if found is None:
        again = Retrying(
            retry=retry_if_result(_is_nothing),
            wait=wait_random(0.005, 0.05),
            stop=stop_after_delay(LONGEST_WAIT_SECONDS),
            retry_error_callback=_give_up,
        )
        found = again(attempt)
    assert found is not None, "the last attempt gave up"
    return found


def open_inside(directory: str, path: str) -> int:
    """Open a file of the store for reading and return its descriptor; no part of `path` may be a link.

    Raises:
        Damaged: not readable, a link, or a path that leads elsewhere.
        Gone: there is no such file.
    """
    *parents, name = path.split("/")
    if not name or any(part in {"", ".", ".."} for part in (*parents, name)):
        raise Damaged("not a path inside the store", outcome="stray")
    try:
        if not parents:
            return _open(f"{directory}/{name}", None)
        above = os.open(directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            for part in parents:
                below = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=above)
                os.close(above)
                above = below
            return _open(name, above)
        finally:
            os.close(above)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Gone(path) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Damaged("a link; links are not followed", outcome="stray") from error
        raise unreadable(error) from error
    except ValueError as error:  # a NUL in the path
        raise Gone(path) from error


def unreadable(error: OSError) -> Damaged:
    """Return what to report of a file that the operating system does not let us read."""
    return Damaged(f"cannot be read: {error.strerror}")


def _open(name: str, directory: int | None) -> int:
    try:
        return os.open(name, _FLAGS | _NO_ATIME, dir_fd=directory)
    except PermissionError:  # also when only the access time is not ours to leave alone
        return os.open(name, _FLAGS, dir_fd=directory)


def _read_once(directory: str, path: str, parse: Callable[[bytes], Parsed]) -> tuple[Parsed, os.stat_result] | None:
    """Return None when the file was changed meanwhile, or may have been."""
    descriptor = open_inside(directory, path)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Damaged("not a regular file", outcome="stray")
        if before.st_size > LARGEST:
            raise Damaged(f"larger than {LARGEST} bytes, which the library itself cannot read")
        unchanged_ns = _unchanged_ns(before)
        if unchanged_ns < (TICK_NS if before.st_ctime_ns % 1_000_000_000 else COARSE_TICK_NS):
            return None
        data = _read_all(descriptor, before.st_size)
        after = os.fstat(descriptor)
    except OSError as error:
        raise unreadable(error) from error
    finally:
        os.close(descriptor)
    if _stamp(before) != _stamp(after) or len(data) != after.st_size:
        return None
    try:
        return parse(data), after
    except Damaged as damaged:
        if damaged.outcome == "damaged" and unchanged_ns < PATIENCE_NS:
            return None
        raise


def _read_all(descriptor: int, size: int) -> bytes:
    """Read to the end, in one piece and without a copy in all but strange cases."""
    data = os.read(descriptor, size + 1)
    while 0 < len(data) < size:
        more = os.read(descriptor, size + 1 - len(data))
        if not more:
            break
        data += more
    return data


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _unchanged_ns(status: os.stat_result) -> int:
    """Return for how long a file has not changed; times ahead of our clock say nothing."""
    now = time.time_ns()
    return now - max((ns for ns in (status.st_mtime_ns, status.st_ctime_ns) if ns <= now + COARSE_TICK_NS), default=0)


def _is_nothing(result: object) -> bool:
    return result is None


def _give_up(_: RetryCallState) -> None:
    raise Damaged("it is being written: it changed at every look")
