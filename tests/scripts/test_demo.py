"""The demo is what the README says it is."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.docs.pages import ROOT, blocks, masked

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A SEGUE_HOME that the server's account can reach, whoever runs the suite."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="segue-demo-") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory) / "home"


def demo(home: Path) -> "subprocess.CompletedProcess[str]":
    """Run scripts/demo with a setting of the caller's own that must not steer it."""
    environment = {**os.environ, "SEGUE_HOME": str(home), "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    return subprocess.run(["scripts/demo"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)


def servers(home: Path) -> list[list[str]]:
    """Return the command lines of processes that work for this home."""
    found = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return [words for words in found if any(str(home) in word for word in words)]


def test_demo_runs_twice_and_tells_the_truth(home: Path) -> None:
    """Each of two calls ends with 0, proves the rollback and leaves no server; both print what the README quotes."""
    first, second = demo(home), demo(home)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stderr == second.stderr == ""
    assert "Dump before the migration and after its rollback: identical" in first.stdout
    hashes = re.findall(r"^([0-9a-f]{64})  (?:before|migrated|rolled-back)\.sql$", first.stdout, re.MULTILINE)
    assert (hashes[0], True) == (hashes[2], hashes[0] != hashes[1])
    assert masked(first.stdout) == masked(second.stdout)
    assert servers(home) == []
    quoted = next(block.text for block in blocks((ROOT / "README.md").read_text("utf-8")) if "== 1." in block.text)
    printed = iter(masked(first.stdout).splitlines())
    for line in masked(quoted).splitlines():
        assert line == "…" or line in printed, f"the README quotes {line!r}, which the demo does not print there"


def test_demo_tells_what_failed(home: Path) -> None:
    """A step that fails ends the demo with its exit code and the error, and leaves no server."""
    home.mkdir(mode=0o711)
    (home / "demo").write_text("in the way")
    result = demo(home)

    assert result.returncode != 0
    assert str(home) in result.stderr
    assert servers(home) == []
