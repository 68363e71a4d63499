#!/usr/bin/env -S python3 -P
"""Run squawk (.squawk.toml) over the schema's DDL and functions, with our templates turned into plain SQL first."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("sql/schema/ddl", "sql/functions")
_FRAGMENT = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")


def plain(text: str) -> str:
    """Return a template as SQL, line by line: a fragment becomes its own name, a doubled brace a single one."""
    return _FRAGMENT.sub(r"\1", text).replace("{{", "{").replace("}}", "}")


def main() -> int:
    """Lint copies that keep their relative paths, so that a complaint names the real file and line."""
    with tempfile.TemporaryDirectory() as scratch:
        files = []
        for source in (path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.sql"))):
            copy = Path(scratch) / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            is_template = "\n-- name: " in "\n" + source.read_text("utf-8")
            text = source.read_text("utf-8")
            copy.write_text(plain(text) if is_template else text, "utf-8")
            files.append(str(copy.relative_to(scratch)))
        done = subprocess.run(
            [ROOT / ".venv/bin/squawk", "--config", ROOT / ".squawk.toml", "--reporter", "gcc", *files], cwd=scratch
        )
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
