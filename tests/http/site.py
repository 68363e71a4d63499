"""Whoever operates runs over HTTP: of a whole server, and of the interface in this process."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Command
from tests.http.conftest import Got, Inside
from tests.http.servers import SegueServer, wait_for
from tests.http.tokens import tokens

RUNS = "/v1/migrations/themes/runs"
SONGS = 200
#: A chunk takes some milliseconds; with these a run takes long enough to be stopped in the middle.
SLOW = {"batch_size": 5, "controls": {"nice": 10}}


class Site:
    """A server with its database, and somebody who operates it."""

    def __init__(self, url: str, server: SegueServer, token: str) -> None:
        self.url, self.server, self.token = url, server, token

    def ask(self, method: str, target: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send a request; return status and JSON."""
        sent = {"authorization": f"Bearer {self.token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        raw = None if body is None else json.dumps(body)
        if raw is not None:
            sent["content-type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            connection.request(method, target, raw, sent)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def post(self, target: str, body: Any = None) -> Any:
        """Send a POST that is taken."""
        status, answer = self.ask("POST", target, body)
        assert status in (200, 202), answer
        return answer

    def run(self, run_id: int) -> Any:
        """Return a run."""
        return self.ask("GET", f"/v1/runs/{run_id}")[1]

    def rows(self, run_id: int) -> int:
        """Return how many rows a run has converted."""
        return int(self.run(run_id)["rows"]["processed"])

    def wait_for_status(self, run_id: int, *statuses: str, seconds: float = 30) -> Any:
        """Wait until a run has ended in one of some states."""
        wait_for(
            lambda: self.run(run_id)["status"] in statuses and self.run(run_id)["job"]["state"] == "ended", seconds
        )
        return self.run(run_id)

    @contextmanager
    def following(self, run_id: int, after: int | None = None) -> Iterator[http.client.HTTPResponse]:
        """Follow a run's events until the end of the block, which cuts the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        headers = {"authorization": f"Bearer {self.token}"} | ({"last-event-id": str(after)} if after else {})
        connection.request("GET", f"/v1/runs/{run_id}/events", headers=headers)
        answer = connection.getresponse()
        try:
            yield answer
        finally:
            connection.close()
            answer.close()


def events_of(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """Parse server-sent events as they come, as the standard says."""
    event: dict[str, Any] = {}
    for raw in answer:
        line = raw.decode().rstrip("\n")
        if not line:
            if "data" in event:
                yield {**event, "data": json.loads(event["data"])}
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def scraped(port: int) -> dict[tuple[str, str], float]:
    """Return the samples of a worker by name and labels; empty when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except OSError:
        return {}
    finally:
        connection.close()
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Operator:
    """Somebody with a token for operating, and a worker that is called when it is due."""

    def __init__(self, inside: Inside, connection: psycopg.Connection[Any], segue: Command) -> None:
        self.inside, self.connection, self.segue = inside, connection, segue
        self.known = tokens(connection)

    def ask(self, method: str, target: str, body: Any = None, *, token: str = "operate", **headers: str) -> Got:
        """Send a request with a token."""
        sent = {"authorization": f"Bearer {self.known[token]}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.inside.ask(method, target, headers=sent, json_body=body)

    def post(self, target: str, body: Any = None, status: int = 202, **headers: str) -> Any:
        """Send a POST whose answer has a status."""
        got = self.ask("POST", target, body, **headers)
        assert status == got.status, got.body
        return got.json

    def status(self, run_id: int) -> Any:
        """Return a run."""
        got = self.ask("GET", f"/v1/runs/{run_id}")
        assert 200 == got.status, got.body
        return got.json

    def work(self, code: int = 0, *options: str) -> Any:
        """Have a worker do one job."""
        result = self.segue("worker", "--once", "--json", *options)
        assert code == result.code, result
        return result.json

    def jobs(self) -> list[tuple[Any, ...]]:
        """Return the queue."""
        return self.connection.execute("SELECT kind, run_id, state, outcome FROM segue.jobs ORDER BY id").fetchall()

    def events(self, run_id: int) -> list[tuple[str, str | None]]:
        """Return what has happened to a run."""
        return self.connection.execute(
            "SELECT kind, to_status FROM segue.events WHERE run_id = %s ORDER BY id", [run_id]
        ).fetchall()
