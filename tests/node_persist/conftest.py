"""The real libraries, installed once; stores in temporary directories."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.node_persist.stores import NOW_MS, stringify

NPM = Path(__file__).parent / "npm"

#: Left out of a job: undefined in JavaScript.
UNDEFINED = object()


@pytest.fixture(scope="session")
def libraries() -> Path:
    """Return the directory with every generation of node-persist in its node_modules, installed at the first use."""
    wanted = (NPM / "package.json").read_bytes()
    home = Path(tempfile.gettempdir()) / f"segue-test-npm-{os.getuid()}-{hashlib.sha256(wanted).hexdigest()[:16]}"
    if home.is_dir():
        return home
    problem = "node and npm are not installed" if not (shutil.which("node") and shutil.which("npm")) else ""
    if not problem:
        made = Path(tempfile.mkdtemp(prefix=f"{home.name}-", dir=home.parent))
        (made / "package.json").write_bytes(wanted)
        command = [
            "npm",
            "install",
            "--no-package-lock",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]
        result = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=240)
        if result.returncode == 0:
            try:
                made.rename(home)  # another worker may have been first
            except OSError:
                shutil.rmtree(made)
            return home
        shutil.rmtree(made)
        problem = f"npm install failed:\n{result.stderr[-2000:]}"
    if os.environ.get("CI"):
        pytest.fail(problem)
    pytest.skip(f"!! NOT TESTED against the real node-persist libraries: {problem}")


Library = Callable[..., Any]


@pytest.fixture(scope="session")
def library(libraries: Path) -> Library:
    """Return a function that has one generation of the library do a job; see npm/write.js."""

    def run(job: str, generation: int, directory: Path, *, now_ms: int = NOW_MS, **more: object) -> Any:
        told = {"do": job, "modules": str(libraries), "generation": generation, "directory": str(directory)}
        result = subprocess.run(
            ["node", "--no-deprecation", str(NPM / "write.js")],
            input=json.dumps({**told, "now": now_ms, **more}),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (result.returncode, result.stderr) == (0, ""), result.stderr
        return json.loads(result.stdout)

    return run


@pytest.fixture(scope="session")
def written(library: Library) -> Callable[..., None]:
    """Return a function that has a generation of the library store (key, value, ttl) triples."""

    def write(generation: int, directory: Path, items: list[tuple[str, object, object]]) -> None:
        told = [
            {
                "key": key,
                **({} if value is UNDEFINED else {"text": stringify(value)}),
                **({} if ttl is UNDEFINED else {"ttl": ttl}),
            }
            for key, value, ttl in items
        ]
        library("write", generation, directory, items=told)

    return write


@pytest.fixture
def store_directory(tmp_path: Path) -> Path:
    """Return the path of a store that is not there yet."""
    return tmp_path / "storage"
