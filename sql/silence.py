"""Replies that never come: a connection that the network has swallowed is cut, so that its thread can try again.

TCP notices a dead peer (see the keepalives of `sql.database`), and nothing when a proxy or a firewall between keeps the
connection open and forwards no more. A statement may work for hours without a byte, so the server is asked, over a new
connection, whether it still works for this one.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from sql.database import Database, Transaction
from sql.errors import ConnectionLost, DatabaseError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A statement that takes longer than this has the server asked about it.
SILENT_SECONDS = 30.0
#: Connections are looked at this often.
LOOK_SECONDS = 5.0
#: A probe that takes longer has failed.
PROBE_SECONDS = 15.0

Connection = psycopg.Connection[Any]


class SilenceWatch:
    """Watches a database's connections between `start` and `stop`, in a thread of its own.

    Args:
        database: whose connections.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="silence", daemon=True)
        self._since: dict[Connection, float] = {}
        self._answers: dict[Connection, str | None] = {}

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; a probe that is under way ends by itself."""
        self._ended.set()

    def __enter__(self) -> "SilenceWatch":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            now = time.monotonic()
            waiting = [connection for connection in self._database.lent() if _is_waiting(connection)]
            self._since = {connection: self._since.get(connection, now) for connection in waiting}
            silent = [connection for connection, since in self._since.items() if now - since >= SILENT_SECONDS]
            if not silent:
                self._answers.clear()
                continue
            with suppress(psycopg.Error):  # one that its owner closes meanwhile is silent no more
                self._ask(silent)

    def _ask(self, silent: list[Connection]) -> None:
        """Cut the connections for which the server has done nothing, or has not answered, twice in a row."""
        states = _probe(self._database)
        before, self._answers = self._answers, {}
        for connection in silent:
            state = None if states is None else states.get(connection.info.backend_pid, "gone")
            if state is not None and state.startswith("active"):
                continue
            if connection in before and before[connection] == state:
                self._end(connection, state)
            else:
                self._answers[connection] = state

    def _end(self, connection: Connection, state: str | None) -> None:
        """Cut a connection; its session would keep its locks until the server notices, so it is ended as well."""
        pid = connection.info.backend_pid
        _cut(connection)
        if state is not None and state != "gone":
            with suppress(DatabaseError):
                _ask_server(self._database, lambda session: session.all("session.end_session", pid=pid, state=state))


def _is_waiting(connection: Connection) -> bool:
    try:
        return not connection.closed and connection.pgconn.transaction_status == TransactionStatus.ACTIVE
    except psycopg.Error:  # its owner closes it at this moment
        return False


def _probe(database: Database) -> "Mapping[int, str] | None":
    """Ask what the server does for each of its sessions; None when no answer comes."""
    answers: list[Mapping[int, str]] = []

    def look(session: Transaction) -> None:
        rows = session.all("session.list_states")
        is_direct = any(row["pid"] == session.connection.info.backend_pid and row["is_own"] for row in rows)
        # Behind a pooler the numbers are its own and say nothing: an answer is all that can be had.
        answers.append({row["pid"]: row["state"] for row in rows} if is_direct else _Everything())

    try:
        _ask_server(database, look)
    except ConnectionLost as error:
        # With a code the server does answer, if only that it has no place for us.
        return None if error.sqlstate is None else _Everything()
    except DatabaseError:
        return _Everything()
    return answers[0] if answers else None


def _ask_server(database: Database, question: Callable[[Transaction], object]) -> None:
    """Ask something over a new connection, and wait for it no longer than `PROBE_SECONDS`."""
    failures: list[DatabaseError] = []

    def ask() -> None:
        fresh = Database(database.url, application_name="segue probe")
        try:
            with fresh.session() as connection:
                question(Transaction(connection))
        except DatabaseError as error:
            failures.append(error)
        finally:
            fresh.close()

    thread = threading.Thread(target=ask, name="probe", daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    if failures:
        raise failures[0]


class _Everything(dict[int, str]):
    """Says of every session that the server works for it."""

    def get(self, key: int, default: Any = None) -> str:  # noqa: ARG002
        return "active"


def _cut(connection: Connection) -> None:
    """Wake the thread that waits for a reply: to it, the server has hung up."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
