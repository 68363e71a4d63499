"""Everything goes through a PgBouncer in transaction mode, where no session is anybody's own."""

import psycopg
import pytest

from tests.crash.conftest import wait_until
from tests.crash.machines import shared_image
from tests.crash.state import SONGS, image, legacy
from tests.crash.test_join import JOIN, LEAD
from tests.crash.test_join import SONGS as MANY
from tests.pgbouncer import pooled

MIGRATE = ("migrate", "--batch-size", "12", "--workers", "2", "--json")


@pytest.fixture
def pooled_url(database_url):
    """The test's database through PgBouncer."""
    with pooled(database_url) as url:
        yield url


def look(url: str, query: str) -> object:
    """Ask the server itself."""
    with psycopg.connect(url) as connection:
        return (connection.execute(query).fetchone() or (None,))[0]


def test_it_is_a_pooler_in_transaction_mode(pooled_url) -> None:
    """The set-up is sound: successive transactions of one client are served by several server sessions."""
    with psycopg.connect(pooled_url, prepare_threshold=None) as one, psycopg.connect(pooled_url) as other:
        seen = set()
        for _ in range(5):
            with one.transaction(), other.transaction():
                seen |= {client.execute("SELECT pg_backend_pid()").fetchone()[0] for client in (one, other)}
        assert len(seen) >= 2
        assert one.info.backend_pid not in seen


def test_the_life_of_a_run(songs, connection, database_url, pooled_url, copy_of, zygotes, snapshot) -> None:
    """Dry run, kill, resume, again, validate, certificate, rollback: as on a direct connection, byte by byte."""
    songs(SONGS)
    before, source = snapshot(), legacy(connection)
    connection.close()
    with copy_of(database_url) as url:
        assert 4 == zygotes[0].run(url, *MIGRATE)[0]
        with psycopg.connect(url) as looking:
            clean = image(looking)

    def run(*arguments: str, failpoint: str = "") -> int:
        code, _, stderr = zygotes[0].run(pooled_url, *arguments, failpoint=failpoint)
        assert code in {0, 4, -9}, stderr
        return code

    assert 0 == run("migrate", "--dry-run", "--json")
    for point in (
        "after:runs.save_plan",
        "after:themes.convert",
        "after:runs.save_checkpoint#2",
        "after:runs.save_total",
    ):
        assert -9 == run(*MIGRATE, failpoint=point), point
        # The dead process's sessions live on in the pool, so only its lease says that it is gone.
        assert 5 == zygotes[0].run(pooled_url, *MIGRATE)[0]
        with psycopg.connect(database_url) as admin:
            admin.execute("UPDATE segue.runs SET lease_until = now() - interval '1 second'")
    assert 4 == run(*MIGRATE)
    with psycopg.connect(database_url) as looking:
        assert clean == image(looking)
        assert source == legacy(looking)
    assert 4 == run(*MIGRATE)
    assert 0 == run("validate", "--json")
    assert 0 == run("certificate", "1")
    assert 0 == run("status", "--json")
    assert -9 == run("rollback", "--json", failpoint="after:rollback.delete_rows")
    with psycopg.connect(database_url) as admin:
        admin.execute("UPDATE segue.runs SET lease_until = now() - interval '1 second'")
    assert 0 == run("rollback", "--json")
    with psycopg.connect(database_url) as looking:
        assert before == snapshot(of=looking)


def test_machines_share_a_run_through_it(songs, connection, database_url, pooled_url, copy_of, zygotes, start) -> None:
    """Three join and one is killed; its lease has to run out before another gets its partition, and then does."""
    songs(MANY)
    connection.close()
    with copy_of(database_url) as url:
        assert 4 == zygotes[0].run(url, *LEAD)[0]
        clean = shared_image(url)
    leader = start("ann", *LEAD, "--nice", "6", url=pooled_url)
    wait_until(lambda: look(database_url, "SELECT status = 'migrating' FROM segue.runs"), "the run is under way")
    killed, other = (start(name, *JOIN, url=pooled_url) for name in ("bob", "cid"))
    at_work = "SELECT count(DISTINCT lease_token) FROM segue.partitions WHERE NOT is_done AND lease_token IS NOT NULL"
    wait_until(lambda: look(database_url, at_work) == 3 or not leader.is_running, "three are at work")
    killed.kill()
    assert [4, 4] == [machine.end()[0] for machine in (leader, other)]
    with psycopg.connect(database_url) as admin:
        admin.execute("DELETE FROM segue.workers")  # the killed one's, which nobody needs to clear away
    assert clean == shared_image(database_url)
