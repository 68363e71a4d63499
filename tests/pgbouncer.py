"""A real PgBouncer in transaction mode for tests, on a unix socket beside the session's PostgreSQL."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

PORT = 6432

#: Fewer sessions than clients, so that they are really shared, and handed out in turns.
INI = """
[databases]
* = host={host} port={port} user=postgres

[pgbouncer]
pool_mode = transaction
unix_socket_dir = {directory}
listen_addr =
listen_port = {listen}
auth_type = any
logfile = {directory}/log
pidfile = {directory}/pid
max_client_conn = 100
default_pool_size = 6
server_round_robin = 1
"""


def program() -> str:
    """Return PgBouncer's path; without it the test is skipped, and in CI it fails."""
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        text = "pgbouncer is not installed: apt-get install pgbouncer"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(text)
    return str(found)


@contextmanager
def pooled(url: str) -> Iterator[str]:
    """Run a PgBouncer before the server of a URL; yield the URL of the same database through it."""
    server = psycopg.conninfo.conninfo_to_dict(url)
    with tempfile.TemporaryDirectory(prefix="segue-pgbouncer-") as name:
        directory = Path(name)
        directory.chmod(0o777)  # PgBouncer refuses to be root
        ini = directory / "pgbouncer.ini"
        ini.write_text(INI.format(host=server["host"], port=server["port"], directory=name, listen=PORT))
        ini.chmod(0o644)
        # The server's own account may reach its socket.
        account = ["-u", Path(str(server["host"])).owner()] if os.geteuid() == 0 else []
        process = subprocess.Popen(
            [program(), *account, str(ini)], cwd=name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait(process, directory / f".s.PGSQL.{PORT}")
            yield f"postgresql://postgres@/{quote(str(server['dbname']))}?host={quote(name, safe='')}&port={PORT}"
        finally:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", path: Path) -> None:
    end = time.monotonic() + 20
    while True:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            return
        log = path.parent / "log"
        if time.monotonic() > end or process.poll() is not None:
            pytest.fail(f"pgbouncer does not answer: {log.read_text() if log.exists() else process.poll()}")
        time.sleep(0.02)
