"""Where the embedded server keeps its things, and the promises each directory makes about who may enter it."""

import fcntl
import hashlib
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sql.server_errors import EmbeddedServerError, HomeUnusableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql.server_user import ServerUser

SYSTEM_STATE = Path("/var/lib/segue")
SHORT = Path("/tmp")  # noqa: S108  not TMPDIR: every process must come to the same name. Ownership is verified.
LONGEST_SOCKET_PATH = 107
LOG_BYTES = 5_000_000
POLL_SECONDS = 0.005


@dataclass(frozen=True)
class Place:
    """The paths of one server. `home` belongs to the project; `root` is `home`, or stands in for it.

    `cluster` and `sockets` belong to the server's account with mode 0700; everything else belongs to the caller.
    """

    home: Path
    root: Path

    @classmethod
    def of(cls, home: Path) -> "Place":
        """Return the place that `home` uses now, following the pointer that `settle` may have left there."""
        home = home.expanduser().resolve()
        pointer = read(home / "place")
        return cls(home, Path(pointer) if pointer else home)

    @property
    def cluster(self) -> Path:
        """Holds the data directory, and an unfinished one while `initdb` runs."""
        return self.root / "cluster"

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory; it exists only when complete."""
        return self.cluster / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "server.log"

    @property
    def sockets(self) -> Path:
        """The socket's directory: below `root`, or a short private one when a socket's path there would be invalid."""
        inside = self.root / "run"
        longest = len(os.fsencode(inside / ".s.PGSQL.65535"))
        # libpq reads a comma as the end of a host name, and has no way to quote one
        return (
            inside
            if longest <= LONGEST_SOCKET_PATH and "," not in str(inside)
            else SHORT / f"segue-{digest(self.root)}"
        )

    def settle(self, user: "ServerUser") -> "Place":
        """Make the directories, moving below /var/lib when the server's account cannot reach `home`; return the result.

        The choice is made once and remembered in `home/place`, so that a later chmod does not make the data vanish.
        """
        place = self
        if user.is_other and self.root == self.home and not user.can_search(self.home):
            if self.cluster.exists():
                raise HomeUnusableError(
                    f"The data in {self.data} can no longer be reached by the account {user.name!r} that owns it.",
                    path=self.data,
                    next_step=f"Give it search permission on the directories above (chmod o+x), or move {self.home}.",
                )
            place = Place(self.home, SYSTEM_STATE / digest(self.home))
            make_searchable(SYSTEM_STATE)
            write(self.home / "place", str(place.root))
        make_searchable(place.root)
        for directory in (place.cluster, place.sockets):
            make_private(directory, user)
        return place

    def open_log(self) -> int:
        """Open the log for the server to append to, setting a big one aside so that the two stay bounded."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_name("server.log.1"))
        return open_own(self.log, os.O_WRONLY | os.O_APPEND)


def make_searchable(directory: Path) -> None:
    """Make a directory that only the caller may list; root's may be passed through by the account it drops to."""
    with suppress(FileExistsError):
        directory.mkdir(parents=True)
        directory.chmod(0o711 if os.geteuid() == 0 else 0o700)


def make_private(directory: Path, user: "ServerUser") -> None:
    """Make a directory for the server's account alone, or verify that the one in its place is just that."""
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
        user.own(directory)
        return
    found = directory.lstat()
    is_private = not directory.is_symlink() and directory.is_dir() and found.st_mode & 0o077 == 0
    # A killed caller may leave one that root has made and not yet handed over: taking it then is safe.
    if is_private and user.is_other and found.st_uid == 0:
        user.own(directory)
    elif not is_private or found.st_uid != user.uid:
        raise HomeUnusableError(
            f"{directory} must be a directory of mode 0700 that belongs to the account {user.name!r}; it is "
            f"mode {found.st_mode & 0o7777:04o} of uid {found.st_uid}.",
            path=directory,
            next_step="Run as the user who made it, or set SEGUE_HOME to another directory.",
        )


@contextmanager
def named(home: Path) -> "Iterator[None]":
    """Turn a file-system failure into an error that names the directory and the way out."""
    try:
        yield
    except OSError as error:
        path = Path(os.fsdecode(error.filename)) if error.filename else home
        raise HomeUnusableError(
            f"The embedded server cannot use {home}: {path}: {error.strerror}.",
            path=path,
            next_step="Set SEGUE_HOME to a directory you can write on a disk with space, or set DATABASE_URL.",
        ) from error


@contextmanager
def locked(path: Path, seconds: float) -> "Iterator[int]":
    """Hold an exclusive lock on a file, waiting at most `seconds`; yields its descriptor.

    The kernel ties the lock to the open file: it ends with the last process that has inherited the descriptor.
    """
    descriptor = open_own(path, os.O_RDWR)
    try:
        deadline = time.monotonic() + seconds
        while not try_lock(descriptor):
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"Another process has held {path} for {seconds:.0f} s.",
                    path=path,
                    next_step=f"Find it with: fuser -v {path}",
                )
            time.sleep(POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take the exclusive lock of an open file, or return False when another open file has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_own(path: Path, flags: int) -> int:
    """Open or create a private file, never through a link; what root makes belongs to the directory's owner."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def read(path: Path) -> str:
    """Return a small file's text, or nothing when it does not exist."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def write(path: Path, text: str) -> None:
    """Replace a small private file in one step, on disk when this returns."""
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    Path(unfinished).replace(path)


def digest(path: Path) -> str:
    """Return a short name for a path; equal paths have equal names."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
