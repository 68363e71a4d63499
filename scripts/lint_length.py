#!/usr/bin/env -S python3 -P
"""Name every code file over 300 lines that has no reason here, and every reason that is no longer needed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LONGEST = 300
SUFFIXES = {".py", ".sql", ".sh", ""}
FOLDERS = ("sql", "tags", "migrator", "cache", "monitoring", "service", "scripts", ".ci", "tests", "docs/examples")

#: File → why it is one file all the same.
REASONS = {
    "tests/migrator/test_keys.py": "one object under every kind of accident, on one set of fixtures",
    "tests/migrator/test_snapshots_life.py": "one migration's life, on one set of plays",
    "tests/sql/test_embedded.py": "one object under every kind of accident, on one set of fixtures",
    "tests/tags/test_normalise.py": "one function and its SQL twin, on one set of hard texts",
}


def main() -> int:
    """Return 1 when a file needs splitting or a reason needs removing."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *FOLDERS],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    files = [name for name in listed.stdout.splitlines() if Path(name).suffix in SUFFIXES and (ROOT / name).is_file()]
    lengths = {name: (ROOT / name).read_bytes().count(b"\n") for name in files}
    long = {name for name, lines in lengths.items() if lines > LONGEST}
    for name in sorted(long - REASONS.keys()):
        sys.stdout.write(f"{name}: {lengths[name]} lines; split it, or give a reason in scripts/lint_length.py\n")
    for name in sorted(REASONS.keys() - long):
        sys.stdout.write(f"{name}: not over {LONGEST} lines any more; take its reason out of scripts/lint_length.py\n")
    return int(long != set(REASONS))


if __name__ == "__main__":
    sys.exit(main())
