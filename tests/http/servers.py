"""Whole servers as processes, and clients that ask them without a pause."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]

AUTOCOMPLETE = "/v1/tags/autocomplete"


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


class SegueServer:
    """A running `segue serve`.

    Attributes:
        process: the supervisor.
        events: what it has logged.
    """

    def __init__(self, database_url: str, *options: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from migrator.cli import main; main()", "serve", "--port", "0", *options],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": database_url, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.events: list[dict[str, Any]] = []
        self._other_lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_for(lambda: self.find("listening") or self.process.poll() is not None)
        assert self.process.poll() is None, self._other_lines
        self.port = int(self.find("listening")[0]["url"].rpartition(":")[2])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self._other_lines.append(line)
        self.process.stdout.close()

    def find(self, event: str) -> list[dict[str, Any]]:
        """Return what it has logged under a name."""
        return [each for each in self.events if each["event"] == event]

    def get(self, target: str) -> tuple[int, bytes]:
        """Ask over a connection of its own; status 0 when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", target)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def json(self, target: str) -> Any:
        """Return the JSON of an answer."""
        return json.loads(self.get(target)[1])

    def suggested(self, query: str) -> list[str]:
        """Return the names that are suggested."""
        return [row["name"] for row in self.json(f"{AUTOCOMPLETE}?q={query}")["suggestions"]]

    def wait_until_ready(self) -> None:
        """Wait until /readyz says yes."""
        wait_for(lambda: self.get("/readyz")[0] == 200)

    def workers(self) -> set[int]:
        """Return the processes of the workers."""
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def send(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        self.process.send_signal(number)

    def end(self) -> None:
        """Kill it, unless it has ended."""
        self.process.kill()
        self.process.wait()
        self._reader.join()


@contextmanager
def serving(database_url: str, *options: str) -> Iterator[SegueServer]:
    """Run a server until the end of the block."""
    server = SegueServer(database_url, *options)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.end()


class Load:
    """Clients that ask one after the other, each over a connection that it keeps as long as it may.

    Attributes:
        answers: how many there were by status.
        failures: requests that got no answer, with why.
    """

    def __init__(self, port: int, targets: list[str], clients: int = 4) -> None:
        self._port, self._targets = port, targets
        self._ended = threading.Event()
        self.answers: Counter[int] = Counter()
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more, and wait for what was sent."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._ended.is_set():
            target = self._targets[number % len(self._targets)]
            number += 1
            try:
                connection.request("GET", target)
                answer = connection.getresponse()
                answer.read()
                self.answers[answer.status] += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
        connection.close()
