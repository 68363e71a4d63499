"""The runbooks are true: their commands are executed in order, and their outputs compared with what is printed.

A page may begin with commands in an HTML comment, which make the failure that it is about. After a change of the
program's output, `SEGUE_TEST_UPDATE=1 scripts/test tests/docs/test_runbooks.py` writes the real one into the pages.
"""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.docs.pages import ROOT, Block, blocks, masked

RUNBOOKS = sorted(path for path in (ROOT / "runbooks").glob("*.md") if path.name != "README.md")
UPDATE = bool(os.environ.get("SEGUE_TEST_UPDATE"))

#: Progress on stderr, one JSON line an event; the pages leave it out.
_PROGRESS = re.compile(r'^\{.*"event": "[A-Z]\w+".*\}\n', re.MULTILINE)
#: Which songs a validation's sample holds is chance.
_SAMPLE = re.compile(r"^.* by the sample re-computed in Python\n", re.MULTILINE)

#: The port of `segue serve` in the pages; a free one takes its place.
PORT = "8000"

Shell = Callable[[str], str]


@pytest.fixture
def shell(bare_url: str, tmp_path: Path) -> Iterator[Shell]:
    """Yield a function that runs a block as an operator would: own database, `segue` and `psql` on the PATH."""
    from sql.binaries import find

    (tmp_path / "docs").symlink_to(ROOT / "docs")
    programs = next(find(os.environ.get("SEGUE_TEST_PG_BIN"))).bin
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], str(programs)])
    environment = {**os.environ, "DATABASE_URL": bare_url, "PATH": path, "PSQLRC": os.devnull, "PAGER": ""}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])

    def run(script: str) -> str:
        done = subprocess.run(
            ["bash", "-c", re.sub(rf"((?<=127\.0\.0\.1:)|(?<=--port )){PORT}\b", port, script)],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return _SAMPLE.sub("", _PROGRESS.sub("", re.sub(rf"\b{port}\b", PORT, done.stdout)))

    yield run
    # What a page leaves running says so in a file of its own.
    for started in tmp_path.glob("*.pid"):
        with suppress(psutil.NoSuchProcess, ValueError):
            process = psutil.Process(int(started.read_text()))
            family = [process, *process.children(recursive=True)]
            for member in family:
                member.kill()
            psutil.wait_procs(family, timeout=5)


def steps(page: str) -> Iterator[tuple[Block, Block | None]]:
    """Yield each shell block with the output that follows it, if one does before the next shell block."""
    found = [block for block in blocks(page) if block.language in ("sh", "text")]
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block.language == "sh":
            yield block, after if after is not None and after.language == "text" else None


def differences(page: str, run: Shell) -> list[tuple[Block, str]]:
    """Run a page's commands and return each output block that is not what was printed, with what was."""
    wrong = []
    for commands, expected in steps(page):
        printed = run(commands.text)
        if expected is not None and masked(printed) != masked(expected.text):
            wrong.append((expected, printed))
    return wrong


def presentable(printed: str) -> str:
    """Return an output as a page shows it: without the names of the machine that it was made on."""
    printed = re.sub(r"postgresql://\S+?(?=[:;]?(\s|$))", "postgresql://app@db.example/music", printed)
    return re.sub(r"\S+@\S+ pid \d+", "deploy@app1 pid 4321", printed).strip("\n") + "\n"


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.name)
def test_page_tells_the_truth(path: Path, shell: Shell) -> None:
    """Every command of the page prints what the page says."""
    page = path.read_text("utf-8")
    wrong = differences(page, shell)
    if UPDATE and wrong:
        for block, printed in reversed(wrong):
            page = page[: block.start] + presentable(printed) + page[block.end :]
        path.write_text(page, "utf-8")
        pytest.skip(f"{path.name} was brought up to date; read what changed")

    assert [(masked(block.text), masked(printed)) for block, printed in wrong] == []


def test_a_wrong_page_is_noticed(shell: Shell) -> None:
    """A page whose output differs in one figure from what is printed fails; one that differs in a time does not."""
    commands = "```sh\necho '12 rows in 0.31 s'\n```\n"

    assert differences(f"{commands}```text\n12 rows in 0.52 s\n```\n", shell) == []
    assert len(differences(f"{commands}```text\n13 rows in 0.31 s\n```\n", shell)) == 1


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.name)
def test_page_has_the_house_form(path: Path) -> None:
    """A runbook names its symptom, has numbered steps with commands and their outputs, and says how to undo them."""
    page = path.read_text("utf-8")
    numbers = [int(number) for number in re.findall(r"^## (\d+)\. ", page, re.MULTILINE)]

    assert re.search(r"^\*\*Symptom:\*\* ", page, re.MULTILINE)
    assert numbers
    assert numbers == list(range(1, len(numbers) + 1))
    assert re.search(r"^## Undo$", page, re.MULTILINE)
    shown = re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL)
    assert [block.text for block, output in steps(shown) if output is None] == []


def test_every_runbook_is_in_the_index() -> None:
    """The index leads to every runbook."""
    index = (ROOT / "runbooks/README.md").read_text("utf-8")

    assert [path.name for path in RUNBOOKS if f"]({path.name})" not in index] == []
