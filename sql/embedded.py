"""The PostgreSQL server that Segue starts on demand when it is given no DATABASE_URL.

The server is detached and shared by every process that names the same home. Whether it lives is never guessed from a
process number: it inherits an open, locked file from whoever started it, so the kernel frees `server.lock` when its
last process is gone; and whether it serves is asked of its socket.
"""

import os
import secrets
import signal
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
from psycopg import errors, pq
from psycopg.sql import SQL, Identifier, Literal

from sql.binaries import choose, find
from sql.server_errors import EmbeddedServerError, StartError, StopError
from sql.server_place import POLL_SECONDS, Place, locked, make_searchable, named, read, try_lock, write
from sql.server_process import (
    INIT_SECONDS,
    ROLE,
    forget_stale_pid,
    initialize,
    launch,
    log_tail,
    ping,
    postmaster,
    server_lock,
)
from sql.server_user import ServerUser, runnable, server_user

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DATABASE = "segue"
START_SECONDS = 60
STOP_SECONDS = 60
SURVIVOR_SECONDS = 10  # children of a killed server notice its death when they next wait for something
QUEUE_SECONDS = INIT_SECONDS + START_SECONDS  # another process may be doing all of it
ATTEMPTS = 3  # each takes another port, when the one chosen was taken in between
PORT_TAKEN = "Address already in use"


class EmbeddedServer:
    """One PostgreSQL server per `home`, made, started and stopped on demand.

    `pg_bin` names the only programs to consider. `run_as` is the account to drop to when the caller is root; without it
    that is the owner of the data or of home, else `postgres`, else `nobody`. `settings` are server settings that
    override the defaults from the next start on, except for where it listens. Failures are `EmbeddedServerError`s.
    """

    def __init__(
        self,
        home: Path,
        *,
        pg_bin: str | None = None,
        run_as: str | None = None,
        settings: "Mapping[str, str] | None" = None,
    ) -> None:
        self._home = Path(home)
        self._pg_bin = pg_bin
        self._run_as = run_as
        self._settings = dict(settings or {})

    @property
    def place(self) -> Place:
        """Where the server's files are at present."""
        with named(self._home):
            return Place.of(self._home)

    def up(self) -> str:
        """Make, start or find the server, with a database `segue`; return its URL."""
        if not self.is_running() or not self._is_prepared():
            with self._alone():
                self._serve()
                self._prepare()
        return self.url()

    def down(self, *, immediate: bool = False) -> None:
        """Stop the server and wait until its last process is gone; `immediate` leaves the next start to recover."""
        place = self.place
        with named(place.home):
            if not (place.root / "server.lock").exists():
                return
        with self._alone(), server_lock(place) as lock:
            deadline = time.monotonic() + STOP_SECONDS
            has_signalled = False
            while not try_lock(lock):
                if not has_signalled and (number := postmaster(place)):
                    with suppress(ProcessLookupError):
                        os.kill(number, signal.SIGQUIT if immediate else signal.SIGINT)
                    has_signalled = True
                if time.monotonic() > deadline:
                    raise StopError(
                        f"The server in {place.data} has not ended after {STOP_SECONDS} s.",
                        path=place.data,
                        next_step=f"See {place.log}, and who still runs: fuser -v '{place.root / 'server.lock'}'",
                    )
                time.sleep(POLL_SECONDS)

    def is_running(self) -> bool:
        """Whether the server accepts connections, by asking it."""
        place = self.place
        with named(place.home):
            return ping(place) == pq.Ping.OK

    def url(self, database: str = DATABASE, *, tcp: bool = False) -> str:
        """Return a URL for psycopg and SQLAlchemy: over the private socket, without a password.

        With `tcp`, for programs that know no sockets: over the loopback interface, and with the password in it.
        """
        place = self.place
        with named(place.home):
            port = read(place.root / "port")
            password = read(place.root / "password") if tcp else ""
        if not port:
            raise EmbeddedServerError(
                f"There is no embedded server in {place.home} yet.", path=place.home, next_step="Run: segue db up"
            )
        name = quote(database, safe="")
        if tcp:
            return f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/{name}"
        return f"postgresql://{ROLE}@/{name}?host={quote(os.fsencode(place.sockets), safe='/')}&port={port}"

    @contextmanager
    def _alone(self) -> "Iterator[None]":
        """Make home and keep every other process from initialising, starting or stopping."""
        home = self.place.home
        with named(home):
            make_searchable(home)
            with locked(home / "lock", QUEUE_SECONDS):
                yield

    def _serve(self) -> None:
        """Bring the server to the point where it accepts connections."""
        place = self.place
        if ping(place) == pq.Ping.OK:
            return
        user = server_user(place.home, place.cluster, self._run_as)
        place = place.settle(user)
        begun = time.monotonic()
        offset = attempts = 0
        while (answer := ping(place)) != pq.Ping.OK:
            with server_lock(place) as lock:
                if try_lock(lock):  # nobody holds it: there is no server, or the one started below has ended
                    if attempts and (attempts == ATTEMPTS or PORT_TAKEN not in log_tail(place, offset)):
                        raise _start_error(place, "ended while starting", log_tail(place, offset))
                    offset = self._start(place, user, lock)
                    attempts += 1
            waited = time.monotonic() - begun
            has_survivors = not attempts and answer == pq.Ping.NO_RESPONSE
            if waited > (SURVIVOR_SECONDS if has_survivors else START_SECONDS):
                problem = "was killed, and processes of it live on" if has_survivors else "accepts no connections"
                raise _start_error(place, f"{problem} after {waited:.0f} s", log_tail(place, offset))
            time.sleep(POLL_SECONDS)

    def _start(self, place: Place, user: ServerUser, lock: int) -> int:
        binaries = choose(runnable(find(self._pg_bin), user, place.root), place.data)
        if place.data.exists():
            forget_stale_pid(place)
        else:
            initialize(place, user, binaries, lock)
        return launch(place, user, binaries, self._settings, lock)

    def _connect(self, database: str) -> "psycopg.Connection[Any]":
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=5)

    def _is_prepared(self) -> bool:
        """Whether `_prepare` came to its end, and nobody has dropped the database since."""
        if not read(self.place.root / "password"):
            return False
        try:
            self._connect(DATABASE).close()
        except psycopg.OperationalError as error:
            return "does not exist" not in str(error)  # such as a full server, where nothing is missing
        return True

    def _prepare(self) -> None:
        """Give the role its password and create the database; the password's file comes last and says 'done'."""
        if self._is_prepared():
            return
        place = self.place
        password = read(place.root / "password") or secrets.token_urlsafe(24)
        try:
            with self._connect("postgres") as connection:
                verifier = connection.pgconn.encrypt_password(password.encode(), ROLE.encode(), b"scram-sha-256")
                connection.execute(
                    SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(ROLE), Literal(verifier.decode()))
                )
                with suppress(errors.DuplicateDatabase):
                    connection.execute(SQL("CREATE DATABASE {}").format(Identifier(DATABASE)))
        except psycopg.Error as error:
            raise _start_error(place, f"runs, but its database cannot be made: {error}", "") from error
        write(place.root / "password", password)


def _start_error(place: Place, problem: str, last_words: str) -> StartError:
    said = f" It said:\n{last_words}\n" if last_words else ""
    return StartError(
        f"The server in {place.data} {problem}.{said}",
        path=place.data,
        next_step=f"Solve that (the whole log is {place.log}) and run the command again.",
    )
