"""Walking a store: every entry once, in bounded memory, never through a link."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from migrator.errors import Refused

#: A 0.x key with `/` makes sub-directories; no real key goes deeper or gets longer, and a path must fit an index.
DEEPEST = 16
LONGEST_PATH = 1_000


@dataclass(frozen=True)
class Entry:
    """One directory entry.

    Attributes:
        path: relative to the store; see `Found.path`.
        size: bytes; of a link, the link's own; 0 when not known.
        mtime_ns: last change, likewise.
        reason: why it cannot hold an item, or None for a regular file.
    """

    path: str
    size: int
    mtime_ns: int
    reason: str | None


def entries(root: str) -> Iterator[Entry]:
    """Yield every entry below a directory; of sub-directories only those that cannot be walked.

    Raises:
        Refused: the directory itself cannot be read.
    """
    try:
        yield from _walk(root, "", 1)
    except OSError as error:
        raise Refused(f"the store {root} cannot be read: {error.strerror}") from error


def _walk(root: str, prefix: str, level: int) -> Iterator[Entry]:
    """Yield what is in one directory, a part of the store; one listing is open for each level."""
    # The store itself may be named by a link; nothing in it is reached through one. (A slash at the end would follow.)
    name, no_link = (f"{root}/{prefix[:-1]}", os.O_NOFOLLOW) if prefix else (root, 0)
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | no_link)
    try:
        with os.scandir(descriptor) as listing:
            for entry in listing:
                path = prefix + entry.name
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # deleted meanwhile
                except OSError as error:
                    yield Entry(_printable(path), 0, 0, f"cannot be looked at: {error.strerror}")
                    continue
                if stat.S_ISDIR(status.st_mode):
                    yield from _descend(root, path, level, status)
                else:
                    yield _entry(path, status, _reason(status))
    finally:
        os.close(descriptor)


def _descend(root: str, path: str, level: int, status: os.stat_result) -> Iterator[Entry]:
    if level >= DEEPEST or len(os.fsencode(path)) > LONGEST_PATH:
        yield _entry(path, status, "a directory too deep for any key; what is in it was not looked at")
        return
    try:
        yield from _walk(root, path + "/", level + 1)
    except FileNotFoundError:
        return  # deleted meanwhile
    except OSError as error:
        yield _entry(path, status, f"a directory that cannot be read, or not to its end: {error.strerror}")


def _entry(path: str, status: os.stat_result, reason: str | None) -> Entry:
    return Entry(_printable(path), status.st_size, status.st_mtime_ns, reason)


def _reason(status: os.stat_result) -> str | None:
    if stat.S_ISREG(status.st_mode):
        return None
    return "a link; links are not followed" if stat.S_ISLNK(status.st_mode) else "not a regular file"


def _printable(path: str) -> str:
    """Return a path as it can be stored: one that is not UTF-8 with escapes, after `./`, so that it stays unique."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "./" + os.fsencode(path.replace("\\", "\\\\")).decode("utf-8", "backslashreplace")
    return path


def entry_of(root: str, path: str) -> Entry | None:
    """Return one entry as `entries` would yield it, or None when it is not there."""
    if path.startswith("./"):  # a name with escapes cannot be turned back, and is rare
        return next((entry for entry in entries(root) if entry.path == path), None)
    *parents, _ = path.split("/")
    try:
        for level in range(1, len(parents) + 1):
            if Path(root, *parents[:level]).is_symlink():
                return None
        status = Path(root, path).lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    return None if stat.S_ISDIR(status.st_mode) else _entry(path, status, _reason(status))
