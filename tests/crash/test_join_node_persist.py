"""Machines that share an import of files: a directory that all of them see, cut and re-cut while it is read ahead."""

import time
from typing import Any

import psycopg

from tests.crash.conftest import wait_until
from tests.crash.test_kill_node_persist import image
from tests.node_persist.people import user
from tests.node_persist.stores import write

USERS = 160


def test_machines_share_an_import(database_url: str, copy_of: Any, zygotes: Any, start: Any, tmp_path: Any) -> None:
    """Three read one store and one is killed: every file is imported once, shared rows are there, all accounts agree."""
    store = tmp_path / "storage"
    for number in range(USERS):
        write(store, 4, f"u{number:04}", user(f"u{number:04}", number))
    lead = ("migrate", "node-persist", "--source", str(store), "-b", "3", "--workers", "1", "--json")
    with copy_of(database_url) as url:
        code, _, stderr = zygotes[0].run(url, *lead)
        assert 0 == code, stderr
        clean = image(url)

    leader = start("ann", *lead, "--nice", "4")
    with psycopg.connect(database_url, autocommit=True) as looking:

        def look(query: str) -> Any:
            return (looking.execute(query).fetchone() or (None,))[0]

        wait_until(lambda: look("SELECT status = 'migrating' FROM segue.runs"), "the run is under way")
        others = [start(name, *lead, "--join") for name in ("bob", "cid")]
        at_work = (
            "SELECT count(DISTINCT lease_token) FROM segue.partitions WHERE NOT is_done AND lease_token IS NOT NULL"
        )
        wait_until(lambda: look(at_work) == 3 or not leader.is_running, "three are at work")
        time.sleep(0.3)
        others[0].kill()
        for machine in (leader, others[1]):
            code, _, said = machine.end()
            assert 0 == code, said
        assert look("SELECT count(*) FROM segue.events WHERE kind = 'cut'") >= 2
        assert look("SELECT sum(row_count) FROM segue.partitions") == USERS
    found = image(database_url)
    for part in set(clean) - {"partitions"}:
        assert clean[part] == found[part], part
    assert 0 == zygotes[0].run(database_url, "validate", "--json")[0]
