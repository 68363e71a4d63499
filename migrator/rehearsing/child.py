"""A real `segue migrate` in a process of its own, which a rehearsal may have killed."""

import os
import subprocess
import sys
from pathlib import Path

from migrator.errors import Stopped
from migrator.request import Request
from migrator.stop import StopSignal
from sql.database import Database

_POLL_SECONDS = 0.05


def run_child(
    scratch: Database, request: Request, migrations: Path | None, stop: StopSignal, failpoint: str = ""
) -> tuple[int, str]:
    """Run it on the scratch database; return its exit code, or minus the signal that ended it, and its last words.

    Args:
        scratch: where.
        request: what to migrate.
        migrations: directory of further migrations, or None.
        stop: kills the child, too.
        failpoint: where the child is to be ended by SIGKILL; see `sql.failpoints`.

    Raises:
        Stopped: by a signal.
    """
    # Nothing of the caller's environment may steer it: what it does is said here.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEGUE_")}
    environment |= {"DATABASE_URL": scratch.url, "SEGUE_FAILPOINT": failpoint}
    arguments = ["--schema", request.schema, "--lock-timeout-ms", str(scratch.lock_timeout_ms)]
    arguments += ["--migrations", str(migrations)] if migrations else []
    arguments += ["migrate", request.migration.name, "--workers", str(request.workers)]
    arguments += ["--batch-size", str(request.batch_size)] if request.batch_size else []
    for name, value in request.settings.items():
        arguments += [f"--{name}", value] if value is not None else []
    command = [sys.executable, "-c", "from migrator.cli import main; main()", *arguments]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            while True:
                try:
                    _, said = child.communicate(timeout=_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    if stop.is_set:
                        raise Stopped(stop.reason or "stop") from None
                else:
                    return child.returncode, (said.strip().splitlines() or [""])[-1]
        finally:
            child.kill()
