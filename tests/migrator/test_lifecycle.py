"""Every registered migration goes through its whole life: found by discovery, so an author cannot forget it."""

import json
import signal
from pathlib import Path

import psycopg
import pytest

from migrator import registry
from tests.migrator.listening import at, features, listen
from tests.node_persist.people import user
from tests.node_persist.stores import write

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
ENVIRONMENT = {"SEGUE_MIGRATIONS": str(EXAMPLES)}
NAMES = sorted(registry.discover(EXAMPLES))
#: Enough for three chunks of a hundred rows.
PEOPLE = 320


def songs(segue, connection: psycopg.Connection, directory: Path) -> tuple[str, ...]:
    """Load the hymns; return the migration's own options."""
    assert 0 == segue("load", "songs", str(ROOT / "docs/samples/hymns.jsonl")).code
    return ()


def files(segue, connection: psycopg.Connection, directory: Path) -> tuple[str, ...]:
    """Write a file for each user, one of them half-written."""
    for number in range(PEOPLE):
        write(directory, 4, f"user{number:03}", user(f"user{number:03}"))
    (directory / "half").write_text('{"key":"half","value":{"pro')
    return "--source", str(directory)


def plays(segue, connection: psycopg.Connection, directory: Path) -> tuple[str, ...]:
    """Have many users listen to two tracks."""
    known = {"t1": features("0.7", "0.6", "0.5", "120"), "t2": features("0.2", "0.1", "0.5", "90")}
    heard = [(f"user{n}", track, at("2025-05-01")) for n in range(PEOPLE) for track in known]
    listen(connection, heard, known)
    return ()


#: How each migration gets a source; one that is missing here fails the test.
SOURCES = {"themes": songs, "slugs": songs, "node-persist": files, "snapshots": plays}


def test_discovery_finds_the_example() -> None:
    """The docs' example is one file, and it is a migration."""
    assert {"slugs", "themes"} <= set(NAMES)


@pytest.mark.system
@pytest.mark.parametrize("name", NAMES)
def test_life_of_a_migration(name: str, segue, segue_process, snapshot, connection, tmp_path: Path) -> None:
    """Plan, dry run, run, kill, resume, run again, validate, rollback, rollback again."""

    def run(*arguments: str):
        return segue(*arguments, env=ENVIRONMENT)

    options = SOURCES[name](segue, connection, tmp_path / "store")
    before = snapshot("public", "segue")
    application = snapshot()

    rehearsed = run("migrate", name, *options, "--dry-run", "--json")
    assert 0 == rehearsed.code
    assert before == snapshot("public", "segue")

    killed = segue_process(
        "migrate",
        name,
        *options,
        "-b",
        "100",
        "--workers",
        "1",
        env={**ENVIRONMENT, "SEGUE_FAILPOINT": "after:runs.save_checkpoint#3"},
    )
    killed.communicate(timeout=60)
    assert -signal.SIGKILL == killed.returncode
    half_done = json.loads(run("status", "--json").stdout)["runs"][0]["rows"]["processed"]
    assert 200 == half_done

    resumed = run("migrate", name, *options, "--json")
    assert (4 if resumed.json["rows"]["quarantined"] else 0) == resumed.code
    assert resumed.json["resumed"] is True
    for part in ("rows", "elements"):
        assert rehearsed.json[part] == resumed.json[part]
    assert rehearsed.json["created"].items() <= resumed.json["created"].items()
    assert rehearsed.json["created"]

    done = snapshot()
    again = run("migrate", name, *options, "--json")
    assert resumed.code == again.code
    assert {0} == set(again.json["created"].values())
    assert done == snapshot()
    assert 0 == run("validate", name).code

    assert 0 == run("rollback").code
    assert application == snapshot()
    assert 5 == run("rollback", "1").code
    assert application == snapshot()
