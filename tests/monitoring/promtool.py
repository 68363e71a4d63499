"""promtool, Prometheus' own checker: what it says about our metrics and rules is the measure."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def promtool(*arguments: str | Path, given: bytes = b"") -> None:
    """Run promtool and fail with its output when it complains; without promtool skip, but in CI fail."""
    program = shutil.which("promtool")
    if program is None:
        message = "promtool is missing; on Debian: apt-get install prometheus"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    done = subprocess.run([program, *map(str, arguments)], input=given, capture_output=True, timeout=60)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
