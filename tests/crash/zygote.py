"""A process that imports the command line once and then forks for every call, so that a kill costs milliseconds.

Started as a script it serves; imported it is the client. The forked child runs the real `segue` and dies a real death:
it opens its own connections and threads, and nothing of that exists before the fork.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parent.parent.parent

#: Rows that are worth a worker here: a tenth of what they are elsewhere.
SMALLEST_PARTITION = 2_000

#: A child that hangs is ended by SIGALRM, which no test takes for the SIGKILL that it waits for.
CHILD_SECONDS = 90


class Zygote:
    """The client; one call at a time."""

    def __enter__(self) -> "Zygote":
        self._outputs = tempfile.TemporaryDirectory(prefix="segue-zygote-")
        self._process = subprocess.Popen(
            [sys.executable, __file__], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.stdin.close()
        self._outputs.cleanup()

    def run(self, url: str, *arguments: str, failpoint: str = "") -> tuple[int, str, str]:
        """Run `segue ARGUMENTS…` on a database; return its exit code (negative: the signal), stdout and stderr."""
        out, err = (Path(self._outputs.name) / name for name in ("out", "err"))
        call = {"arguments": arguments, "url": url, "failpoint": failpoint, "out": str(out), "err": str(err)}
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return code, out.read_text(), err.read_text()


def _serve() -> None:
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401 - imported late by SQLAlchemy otherwise

    from migrator import source
    from migrator.cli import OWN, segue
    from tags import starter

    source.SMALLEST_PARTITION = SMALLEST_PARTITION
    starter.load()
    for name in OWN:  # so that children need not import it
        segue.get_command(None, name)
    for line in sys.stdin:
        call = json.loads(line)
        if child := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            continue
        signal.alarm(CHILD_SECONDS)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(call[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.environ.update(DATABASE_URL=call["url"], SEGUE_FAILPOINT=call["failpoint"])
        segue(args=call["arguments"], prog_name="segue")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    _serve()
