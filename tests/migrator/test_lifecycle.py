"""Every registered migration goes through its whole life: found by discovery, so an author cannot forget it."""

import json
import signal
from pathlib import Path

import pytest

from migrator import registry

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
ENVIRONMENT = {"SEGUE_MIGRATIONS": str(EXAMPLES)}
NAMES = sorted(registry.discover(EXAMPLES))


def test_discovery_finds_the_example() -> None:
    """The docs' example is one file, and it is a migration."""
    assert {"slugs", "themes"} <= set(NAMES)


@pytest.mark.system
@pytest.mark.parametrize("name", NAMES)
def test_life_of_a_migration(name: str, segue, segue_process, snapshot) -> None:
    """Plan, dry run, run, kill, resume, run again, validate, rollback, rollback again."""

    def run(*arguments: str):
        return segue(*arguments, env=ENVIRONMENT)

    assert 0 == run("load", "songs", str(ROOT / "docs/samples/hymns.jsonl")).code
    before = snapshot("public", "segue")
    application = snapshot()

    rehearsed = run("migrate", name, "--dry-run", "--json")
    assert 0 == rehearsed.code
    assert before == snapshot("public", "segue")

    killed = segue_process(
        "migrate", name, "-b", "100", env={**ENVIRONMENT, "SEGUE_FAILPOINT": "after:runs.save_checkpoint#3"}
    )
    killed.communicate(timeout=60)
    assert -signal.SIGKILL == killed.returncode
    half_done = json.loads(run("status", "--json").stdout)["runs"][0]["rows"]["processed"]
    assert 200 == half_done

    resumed = run("migrate", name, "--json")
    assert (4 if resumed.json["rows"]["quarantined"] else 0) == resumed.code
    assert resumed.json["resumed"] is True
    for part in ("rows", "elements", "created"):
        assert rehearsed.json[part] == resumed.json[part]

    done = snapshot()
    again = run("migrate", name, "--json")
    assert resumed.code == again.code
    assert {0} == set(again.json["created"].values())
    assert done == snapshot()
    assert 0 == run("validate", name).code

    assert 0 == run("rollback").code
    assert application == snapshot()
    assert 5 == run("rollback", "1").code
    assert application == snapshot()
