"""Commands that do not read files work when the directory is gone; those that do refuse, and change nothing."""

import shutil
from pathlib import Path

import pytest

from tests.node_persist.people import rows, write_users


@pytest.fixture
def gone(segue, tmp_path: Path) -> Path:
    """An import whose directory was deleted since."""
    store = tmp_path / "store"
    write_users(store, 3)
    assert 0 == segue("migrate", "node-persist", "--source", str(store)).code
    shutil.rmtree(store)
    return store


@pytest.mark.parametrize("command", [("status",), ("certificate", "1"), ("quarantine", "list")])
def test_reports_work_without_the_store(command: tuple[str, ...], gone: Path, segue) -> None:
    """They tell what the database knows."""
    assert 0 == segue(*command).code


def test_rollback_works_without_the_store(gone: Path, segue, connection) -> None:
    """What was imported can be taken back although its source is lost."""
    assert 0 == segue("rollback").code
    assert [(0,)] == rows(connection, "SELECT count(*) FROM users")


@pytest.mark.parametrize("command", [("migrate", "node-persist"), ("validate", "1")])
def test_what_reads_files_refuses(command: tuple[str, ...], gone: Path, segue, snapshot) -> None:
    """The message names the directory."""
    before = snapshot("public", "segue")
    options = ("--source", str(gone)) if command[0] == "migrate" else ()

    refused = segue(*command, *options)

    assert 5 == refused.code
    assert str(gone) in refused.stderr
    assert before == snapshot("public", "segue")


def test_a_relative_path_is_found_from_anywhere(segue, tmp_path: Path, monkeypatch) -> None:
    """The run keeps the whole path."""
    write_users(tmp_path / "store", 2)
    monkeypatch.chdir(tmp_path)
    assert 0 == segue("migrate", "node-persist", "--source", "store").code
    monkeypatch.chdir("/")

    again = segue("migrate", "node-persist", "--source", str(tmp_path / "store"), "--json")

    assert 0 == again.code
    assert again.json["unchanged"] is True


def test_an_environment_twin_of_another_migration_is_passed_over(segue, tmp_path: Path) -> None:
    """SEGUE_SOURCE is for node-persist; what is typed must fit the migration."""
    assert 0 == segue("migrate", "snapshots", env={"SEGUE_SOURCE": str(tmp_path)}).code
    assert 2 == segue("migrate", "snapshots", "--source", str(tmp_path)).code
