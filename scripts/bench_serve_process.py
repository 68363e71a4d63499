"""The servers that `scripts/bench serve` measures: `segue serve`, and the same HTTP server with a bare answer."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
from bench_data import ROOT, WrongResult
from bench_serve_load import pin

_SEGUE = "from migrator.cli import main; main()"

#: What a server cannot do less than: one callable that answers 13 bytes.
_HELLO = """
import asyncio, sys
from service.server.granian_server import GranianServer, bind, listen
HEADERS = [("content-type", "text/plain")]
async def app(scope, protocol):
    protocol.response_bytes(200, HEADERS, b"Hello, world!")
async def main():
    listener = bind("127.0.0.1", int(sys.argv[1]))
    listen(listener)
    GranianServer(app, listener).start()
    await asyncio.Event().wait()
asyncio.run(main())
"""


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        url: without a path.
        pid: of its first process.
        ready_seconds: from the start of the process until it was ready.
    """

    url: str
    pid: int
    ready_seconds: float

    def get(self, path: str) -> Any:
        """Return the JSON body of a path."""
        with urllib.request.urlopen(self.url + path) as answer:
            return json.load(answer)

    def text(self, path: str) -> str:
        """Return the body of a path as text."""
        with urllib.request.urlopen(self.url + path) as answer:
            return str(answer.read().decode())

    def memory_mb(self) -> float:
        """Return what all its processes hold, shared pages counted once, in MB."""
        family = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
        return sum(process.memory_full_info().pss for process in family) / 1e6


@contextmanager
def serving(url: str, *arguments: str, core: int | None = 0) -> Iterator[Served]:
    """Run `segue serve` on a database until it is ready; on one core."""
    with _started([sys.executable, "-c", _SEGUE, "serve", "--port", "{port}", *arguments], "/readyz", url) as served:
        if core is not None:
            pin(served.pid, core)
        yield served


@contextmanager
def greeting(core: int = 0) -> Iterator[Served]:
    """Run the bare server on one core."""
    with _started([sys.executable, "-c", _HELLO, "{port}"], "/", "") as served:
        pin(served.pid, core)
        yield served


@contextmanager
def _started(command: list[str], path: str, database_url: str) -> Iterator[Served]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SEGUE_", "PYTHON"))}
    clean["DATABASE_URL"] = database_url
    started = time.monotonic()
    with subprocess.Popen(
        [part.format(port=port) if part == "{port}" else part for part in command],
        cwd=ROOT,
        env=clean,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, url + path)
            yield Served(url, process.pid, time.monotonic() - started)
        finally:
            process.send_signal(signal.SIGINT)  # at SIGTERM it would answer for some seconds more, for balancers


def _wait(process: "subprocess.Popen[str]", url: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            assert process.stderr is not None
            raise WrongResult(f"the server ended with {process.returncode}: {process.stderr.read()[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise WrongResult(f"{url} did not answer within {seconds:g} s")
