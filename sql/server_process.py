"""The server's processes: creating the data, starting, asking whether it serves, and finding whom to signal."""

import os
import re
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import pq
from psycopg.conninfo import make_conninfo

from sql.server_errors import InitError
from sql.server_place import open_own, read, write
from sql.server_user import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sql.binaries import Binaries
    from sql.server_place import Place
    from sql.server_user import ServerUser

ROLE = "postgres"  # not "segue": then "$user" in search_path would name our operational schema
INIT_SECONDS = 120
LAUNCH_SECONDS = 10
PING_SECONDS = 2
LOG_LINES = 12
LOG_TAIL_BYTES = 20_000
BUILTIN_LOCALE_MAJOR = 17


def defaults() -> dict[str, str]:
    """Return settings for a developer's machine: durable, of moderate size, the same everywhere."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cluster_name": "segue",
        "jit": "off",
        "lc_messages": "C",
        "log_timezone": "UTC",
        "max_connections": "100",
        "max_wal_size": "4GB",
        "wal_buffers": "64MB",
        "shared_buffers": "256MB" if memory >= 4 * 2**30 else "128MB",
        "timezone": "UTC",
    }


def ping(place: "Place") -> pq.Ping:
    """Ask the socket: OK accepts connections, REJECT starts or stops, NO_RESPONSE nobody is there.

    A full server answers OK too. A server whose data was deleted under it does not count as one.
    """
    port = read(place.root / "port")
    try:
        if not port or not (place.data / "postmaster.pid").exists():
            return pq.Ping.NO_RESPONSE
    except PermissionError:
        return pq.Ping.NO_RESPONSE
    address = make_conninfo(
        host=str(place.sockets), port=port, user=ROLE, dbname="postgres", connect_timeout=PING_SECONDS
    )
    return pq.Ping(pq.PGconn.ping(os.fsencode(address)))


@contextmanager
def server_lock(place: "Place") -> "Iterator[int]":
    """Open the file that the server's processes keep locked for as long as one of them lives."""
    descriptor = open_own(place.root / "server.lock", os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def initialize(place: "Place", user: "ServerUser", binaries: "Binaries", lock: int) -> None:
    """Create the data directory beside its final place, and rename it when it is complete and on disk.

    `initdb` inherits the lock, so that one that outlives a killed caller is waited for, not trampled on.
    """
    unfinished = place.cluster / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    failure = ""
    for locale in _locales(binaries.major):
        command = [
            *(str(binaries.bin / "initdb"), "-D", str(unfinished), "-U", ROLE, "-E", "UTF8", "--data-checksums"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", "--no-instructions", *locale),
        ]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", cwd="/",
                env=ENVIRONMENT, start_new_session=True, pass_fds=(lock,), timeout=INIT_SECONDS, **user.drop,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            failure = f"initdb has not ended after {INIT_SECONDS} s"
            break
        if done.returncode == 0:
            unfinished.rename(place.data)
            _sync(place.cluster)
            return
        failure = done.stderr.strip() or f"initdb ended with {done.returncode}"
        if "invalid locale" not in failure:
            break
    shutil.rmtree(unfinished, ignore_errors=True)
    raise InitError(
        f"PostgreSQL could not create its data in {place.data}: {failure}",
        path=place.data,
        next_step="Free space or set SEGUE_HOME to another directory, and run the command again.",
    )


def launch(place: "Place", user: "ServerUser", binaries: "Binaries", settings: "Mapping[str, str]", lock: int) -> int:
    """Start the server in a session of its own and return at once, with the place in the log where its words begin."""
    port = free_port(read(place.root / "port"))
    write(place.root / "port", str(port))
    directory = str(place.sockets).replace('"', '""')
    where = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": f'"{directory}"',
        "unix_socket_permissions": "0700",
    }
    command = [str(binaries.bin / "postgres"), "-D", str(place.data)]
    command += [
        word for name, value in {**defaults(), **settings, **where}.items() for word in ("-c", f"{name}={value}")
    ]
    log = place.open_log()
    try:
        offset = os.fstat(log).st_size
        # The shell's only work is to end at once: the server becomes a child of init, and never our zombie.
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            env=ENVIRONMENT, start_new_session=True, pass_fds=(lock,), timeout=LAUNCH_SECONDS, **user.drop,
        )  # fmt: skip
    finally:
        os.close(log)
    return offset


def postmaster(place: "Place") -> int | None:
    """Return the number of the process that serves this data, or None: a stale file may name another program."""
    number = _pid_in_file(place)
    return number if number and _serves(number, place.data) else None


def forget_stale_pid(place: "Place") -> None:
    """Remove what a killed server left that PostgreSQL would take for a live one; call it holding the server's lock.

    PostgreSQL refuses to start when the number in its file belongs to any live process of the same account. A number
    that belongs to nobody is left to PostgreSQL, which then also looks for shared memory still in use.
    """
    number = _pid_in_file(place)
    if number is None or _serves(number, place.data):
        return
    if Path(f"/proc/{number}").exists():
        (place.data / "postmaster.pid").unlink(missing_ok=True)
    for leftover in place.sockets.glob(".s.PGSQL.*"):
        leftover.unlink(missing_ok=True)


def free_port(remembered: str) -> int:
    """Return the remembered port when nobody else listens there, or else a free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(remembered)))
        except (OSError, OverflowError, ValueError):
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def log_tail(place: "Place", offset: int) -> str:
    """Return the last lines of the log from `offset` on."""
    try:
        with place.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(min(offset, end), end - LOG_TAIL_BYTES))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-LOG_LINES:])
    except FileNotFoundError:
        return ""


def _locales(major: int) -> list[list[str]]:
    """Return `initdb` options to try in turn: sorting by code point, case mapping for all of Unicode where possible."""
    if major >= BUILTIN_LOCALE_MAJOR:
        return [["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]]
    return [["--locale=C.UTF-8"], ["--locale=C"]]


def _pid_in_file(place: "Place") -> int | None:
    number = re.match(r"\d+", read(place.data / "postmaster.pid"))
    return int(number[0]) if number else None


def _serves(number: int, data: Path) -> bool:
    """Whether a process is a PostgreSQL of this data; every one of them works in its data directory."""
    process = Path("/proc") / str(number)
    if not Path("/proc/self").exists():
        return True  # no way to ask: the file's word is taken
    try:
        return (process / "comm").read_text().strip() == "postgres" and (process / "cwd").samefile(data)
    except (FileNotFoundError, ProcessLookupError):
        return False


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
