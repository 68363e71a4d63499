"""Machines of two networks share a run, and the cable between them is pulled: the side that reaches the server goes on."""

import pytest

from tests.crash.conftest import wait_until
from tests.crash.machines import shared_image
from tests.crash.networks import network, reachable
from tests.crash.test_commit_in_flight import tcp
from tests.crash.test_join import AT_WORK, JOIN, LEAD, SLOWLY, clean, look  # noqa: F401 - fixtures


@pytest.mark.parametrize("far", ["joiner", "leader"])
def test_the_cable_is_pulled(far, server, clean, start, look, database_url) -> None:  # noqa: F811
    """One machine is in a network namespace of its own; cut off in the middle, its partitions or its lead are taken over."""
    with network() as other, reachable(tcp(server, database_url), other.address) as url:
        there = {"url": url, "network": other.name}
        leader = start("ann", *LEAD, *SLOWLY, **(there if far == "leader" else {}))
        wait_until(lambda: look("SELECT status = 'migrating' FROM segue.runs"), "the run is under way")
        joiner = start("bob", *JOIN, **(there if far == "joiner" else {}))
        wait_until(lambda: look(AT_WORK) == 2, "both are at work")
        near, gone = (leader, joiner) if far == "joiner" else (joiner, leader)
        assert look(
            "SELECT count(*) FROM pg_stat_activity WHERE client_addr IS NOT NULL AND datname = current_database()"
        )

        other.cut()
        code, body, said = near.end()
        assert (4, "complete", True) == (code, body["status"], body["digest"]["equal"]), said
        assert gone.is_running, "it still waits for an answer"
        other.mend()
        code, _, said = gone.end()
        # Back on the net it finds the run complete, or is told that others took it for dead.
        assert code in {4, 5}, said
    look("DELETE FROM segue.workers RETURNING 1")  # the lost one's, which nobody needs to clear away
    assert clean == shared_image(database_url)
