"""A program that rewrites one file for a while, in ways that tear: `rewriter.py WAY FILE SECONDS`.

Every version is {"key":"ann","value":{"n":N,"fill":[N,N,...]}} with a digit N, and of one length, so a mixture of two is
good JSON, and neither size nor grammar shows it.
"""

import random
import sys
import time
from pathlib import Path

SIZE = 500_000
DIGITS = 4


def value(n: int) -> bytes:
    """Return the item's value for a digit, as JSON."""
    return b'{"n":%d,"fill":[%s]}' % (n, b",".join([b"%d" % n] * SIZE))


def version(n: int) -> bytes:
    """Return the file's content for a digit."""
    return b'{"key":"ann","value":%s}' % value(n)


def main(way: str, file: str, seconds: float) -> None:
    """Rewrite until the time is over."""
    versions = [version(n) for n in range(DIGITS)]
    end = time.monotonic() + seconds
    turn = 0
    while time.monotonic() < end:
        turn += 1
        content = memoryview(versions[turn % DIGITS])
        if way == "rename":
            Path(file + ".new").write_bytes(content)
            Path(file + ".new").replace(file)
        else:
            with Path(file).open("wb", buffering=0) as stream:  # truncates, like fs.writeFile
                stream.writelines(content[start : start + 524_288] for start in range(0, len(content), 524_288))
        time.sleep(random.choice([0, 0, 0, 0.001, 0.03, 0.06]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
