"""The supervisor with tiny workers: it keeps them running, replaces them one by one, and ends with them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

ROOT = Path(__file__).parents[2]

#: A worker that answers with its own process's number, and can be told to fail at its start.
PROGRAM = """
import os, sys, time
from pathlib import Path
from monitoring.logs import logger
from service.server import worker
from service.server.granian_server import bind, listen
from service.server.supervisor import Supervisor

place, count = Path(sys.argv[1]), int(sys.argv[2])

class Small:
    closing = stopping = False
    def become_ready(self):
        if (place / "fail").exists():
            raise RuntimeError("told to fail")
    async def watch(self): pass
    def say_close(self): self.closing = True
    def say_stopping(self): self.stopping = True
    def close(self): pass
    async def app(self, scope, protocol):
        import asyncio
        if scope.path == "/slow":
            await asyncio.sleep(0.8)
        headers = [("connection", "close")] if self.closing else []
        protocol.response_bytes(503 if self.stopping else 200, headers, str(os.getpid()).encode())

listener = bind("127.0.0.1", 0)
listen(listener)
refreshed = []
def work(channel):
    return worker.run(Small(), channel, drain_seconds=0.4, stop_seconds=3)
def refresh():
    (place / "refreshed").touch()
(place / "port").write_text(str(listener.getsockname()[1]))
sys.exit(Supervisor(listener, count, work, refresh=refresh, grace=3.4, log=logger()).run())
"""


class Server:
    """A running supervisor."""

    def __init__(self, place: Path, count: int) -> None:
        self.place = place
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(place), str(count)], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda: (place / "port").exists() and (place / "port").read_text())
        self.url = f"http://127.0.0.1:{(place / 'port').read_text()}"

    def workers(self) -> set[int]:
        """The processes of the workers."""
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def answering(self) -> set[int]:
        """The workers that answer new connections."""
        return {int(httpx.get(self.url).text) for _ in range(20)}


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a supervisor that is gone after the test."""
    started = []

    def make(count: int = 2) -> Server:
        started.append(Server(tmp_path, count))
        return started[-1]

    yield make
    for server in started:
        server.process.kill()
        server.process.communicate()


def test_a_killed_worker_is_replaced_at_once(start: Callable[..., Server]) -> None:
    """With kill -9 of one worker: the other goes on answering, and soon there are two again."""
    server = start()
    wait_for(lambda: len(server.workers()) == 2 and httpx.get(server.url).status_code == 200)
    time.sleep(0.3)
    victim = min(server.workers())

    os.kill(victim, signal.SIGKILL)

    wait_for(lambda: len(server.workers() - {victim}) == 2, 3)
    assert victim not in server.answering()


def test_sighup_replaces_every_worker(start: Callable[..., Server]) -> None:
    """After SIGHUP no old worker is left, what they inherit was renewed, and every request was answered."""
    server = start()
    wait_for(lambda: len(server.workers()) == 2 and httpx.get(server.url).status_code == 200)
    time.sleep(0.3)
    before = server.workers()
    failures = []

    server.process.send_signal(signal.SIGHUP)
    with httpx.Client() as client:  # connections are kept, as a browser does
        end = time.monotonic() + 15
        while before & server.workers() and time.monotonic() < end:
            if client.get(server.url).status_code != 200:
                failures.append(1)

    assert not before & server.workers()
    assert 2 == len(server.workers())
    assert [] == failures
    assert (server.place / "refreshed").exists()


def test_a_restart_whose_new_worker_fails_keeps_the_old_ones(start: Callable[..., Server]) -> None:
    """When the first new worker cannot start, nothing more is replaced."""
    server = start()
    wait_for(lambda: len(server.workers()) == 2 and httpx.get(server.url).status_code == 200)
    time.sleep(0.3)
    before = server.workers()
    (server.place / "fail").touch()

    server.process.send_signal(signal.SIGHUP)
    time.sleep(1)

    assert before == server.workers()
    assert 200 == httpx.get(server.url).status_code


def test_sigterm_finishes_what_was_begun(start: Callable[..., Server]) -> None:
    """SIGTERM: not ready at once, still answering for a while, and a slow request gets its answer."""
    server = start(1)
    wait_for(lambda: httpx.get(server.url).status_code == 200)
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.1)

        server.process.terminate()
        time.sleep(0.15)

        assert 503 == httpx.get(server.url).status_code, "still answering, but as not ready"
        assert slow.recv(100).startswith(b"HTTP/1.1 ")
    assert 0 == server.process.wait(5)


def test_workers_end_with_their_supervisor(start: Callable[..., Server]) -> None:
    """With kill -9 of the supervisor leaves no worker behind."""
    server = start()
    wait_for(lambda: len(server.workers()) == 2 and httpx.get(server.url).status_code == 200)
    workers = server.workers()

    server.process.kill()

    wait_for(lambda: not any(psutil.pid_exists(worker) for worker in workers))


def test_workers_that_never_start_end_the_server(start: Callable[..., Server], tmp_path: Path) -> None:
    """A server whose first workers all fail says so and exits with 1 instead of trying for ever."""
    (tmp_path / "fail").touch()

    server = start(1)

    assert 1 == server.process.wait(10)
    assert server.process.stderr is not None
    assert "no worker could start" in server.process.stderr.read()
