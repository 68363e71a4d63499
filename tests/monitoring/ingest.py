"""A real HTTP server that takes what Sentry's SDK sends, as Sentry's ingest does."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Ingest:
    """What has arrived.

    Attributes:
        dsn: to be given to the SDK.
        raw: every envelope as text, to look for what must not be in it.
        events: the errors and transactions in them.
    """

    dsn: str = ""
    raw: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the errors ("event") or the transactions."""
        return [event for event in self.events if event.get("type", "event") == kind]


@contextmanager
def ingest() -> Iterator[Ingest]:
    """Run the server on a free port."""
    found, lock = Ingest(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            lines = body.decode().splitlines()
            with lock:
                found.raw += body.decode()
                # An envelope: its header, then a header and a payload for each item.
                for header, payload in zip(lines[1::2], lines[2::2], strict=True):
                    if json.loads(header)["type"] in {"event", "transaction"}:
                        found.events.append(json.loads(payload))
            answer = b'{"id":"0"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.dsn = f"http://publickey@127.0.0.1:{server.server_port}/1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
