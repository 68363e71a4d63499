"""Metrics of a command that works for a while: on a port for Prometheus, or in a file for node_exporter."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.exposition import generate_latest

from monitoring.exposition import WorkersCollector
from monitoring.logs import logger
from monitoring.metrics import METRICS
from monitoring.recorder import Recorder
from monitoring.shared_rows import SharedRows

#: How often the file is written anew; node_exporter reads it whenever it is scraped.
FILE_SECONDS = 10.0

#: What these commands have to tell; the serving side's series would all be 0 here.
NAMES = frozenset(
    name for name in METRICS if name.startswith(("segue_migration_", "segue_validation_", "segue_rollback_"))
)


@contextmanager
def exporting(host: str, port: int | None, textfile: Path | None) -> Iterator[Recorder]:
    """Export what is recorded in the block, until it ends; the file stays, with the last state.

    Args:
        host: address to listen on.
        port: where Prometheus may ask, at any path; None is nowhere.
        textfile: what node_exporter's textfile collector reads; None is none. Its name has to end in .prom.

    Raises:
        OSError: the port is taken, or the file cannot be written.
    """
    rows = SharedRows(1)
    recorder = Recorder(rows.claim())
    registry = CollectorRegistry()
    registry.register(WorkersCollector(rows, version("segue"), "", NAMES))
    ended = threading.Event()
    threads = []
    if textfile is not None:
        write(textfile, registry)  # at once, so that a path that cannot be written is told at the start

        def keep_writing() -> None:
            while not ended.wait(FILE_SECONDS):
                _write_or_warn(textfile, registry)

        threads.append(threading.Thread(target=keep_writing, name="metrics-file", daemon=True))
    server = None
    if port is not None:
        server, listener = start_http_server(port, addr=host, registry=registry)
        threads.append(listener)
    for thread in threads:
        if not thread.is_alive():
            thread.start()
    try:
        yield recorder
    finally:
        ended.set()
        if server is not None:
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()
        if textfile is not None:
            _write_or_warn(textfile, registry)


def _write_or_warn(path: Path, registry: CollectorRegistry) -> None:
    """A disk that has become full takes nothing from the work that is measured, and nothing from its exit code."""
    try:
        write(path, registry)
    except OSError as error:
        logger().warning("metrics not written", path=str(path), error=str(error))


def write(path: Path, registry: CollectorRegistry) -> None:
    """Replace the file by the present state in one step: who reads it meanwhile reads the old one whole."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")  # node_exporter passes over what does not end in .prom
    try:
        aside.write_bytes(generate_latest(registry))
        aside.chmod(0o644)  # node_exporter is another user
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
