"""The connection breaks at a COMMIT: the client cannot know whether it happened, and the checkpoint tells."""

import json

import psycopg
import pytest

from tests.conftest import dump
from tests.crash.proxy import Proxy
from tests.crash.state import SONGS, checkpoints, image, legacy

MIGRATE = ("migrate", "--batch-size", "12", "--workers", "1", "--json")

#: Transactions before the run is held: checks, options, the look for an unfinished run, its creation, and the look for
#: its mirror. A lost connection there is an error of the start, which the command reports instead of waiting for a server.
COMMITS_OF_THE_START = 5


def tcp(server, url: str) -> str:
    """Return the URL of a database over TCP."""
    return server.embedded.url(psycopg.conninfo.conninfo_to_dict(url)["dbname"], tcp=True)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_migrate_goes_on_after_a_lost_commit(
    when, songs, connection, database_url, server, copy_of, sweep, zygotes
) -> None:
    """Whichever COMMIT is lost, the run goes on by itself and ends as a clean run; no chunk counts twice."""
    songs(SONGS)
    connection.close()
    with copy_of(database_url) as url, Proxy(tcp(server, url), 0, when) as proxy:
        assert 4 == zygotes[0].run(proxy.url, *MIGRATE)[0]
        with psycopg.connect(url) as looking:
            clean, untouched, chunks = image(looking), legacy(looking), [part.seq for part in checkpoints(looking)]
    assert proxy.commits > 25

    def attempt(zygote, number: int) -> bool:
        with copy_of(database_url) as url, Proxy(tcp(server, url), number, when) as proxy:
            code, out, stderr = zygote.run(proxy.url, *MIGRATE)
            if number <= COMMITS_OF_THE_START:
                assert (1, True) == (code, "lost the database connection" in stderr), stderr
                code, out, stderr = zygote.run(url, *MIGRATE)
            assert 4 == code, stderr
            assert "complete" == json.loads(out)["status"]
            with psycopg.connect(url) as looking:
                assert chunks == [part.seq for part in checkpoints(looking)]
                assert clean == image(looking)
                assert untouched == legacy(looking)
        return proxy.has_cut

    assert sweep(attempt) >= proxy.commits - 1


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_rollback_goes_on_after_a_lost_commit(
    when, songs, connection, database_url, server, copy_of, sweep, zygotes
) -> None:
    """Whichever COMMIT of a rollback is lost, it goes on by itself, restores every byte, and counts what it removed."""
    songs(SONGS)
    before = dump(connection)
    assert 4 == zygotes[0].run(database_url, "migrate", "--workers", "1")[0]
    connection.close()
    with copy_of(database_url) as url, Proxy(tcp(server, url), 0, when) as proxy:
        clean = json.loads(zygotes[0].run(proxy.url, "rollback", "--json")[1])
    assert proxy.commits > 15

    def attempt(zygote, number: int) -> bool:
        with copy_of(database_url) as url, Proxy(tcp(server, url), number, when) as proxy:
            code, out, stderr = zygote.run(proxy.url, "rollback", "1", "--json")
            if number <= COMMITS_OF_THE_START - 1:  # a rollback makes no run, and looks for a cleanup
                assert (1, True) == (code, "lost the database connection" in stderr), stderr
                code, out, stderr = zygote.run(url, "rollback", "1", "--json")
            assert 0 == code, stderr
            assert {**clean, "seconds": None} == {**json.loads(out), "seconds": None}
            with psycopg.connect(url) as looking:
                assert before == dump(looking)
        return proxy.has_cut

    assert sweep(attempt) >= proxy.commits - 1
