"""SIGKILL at every boundary of a rollback."""

import json
import uuid

import psycopg
import pytest

from tests.conftest import dump
from tests.crash.conftest import boundary
from tests.crash.state import SONGS, image, legacy, song_id

ROLLED_BACK = [("rolled_back",)]

#: How often the rollback of each half-done state is called again; a state is what the database holds, leases aside.
TRIES_OF_A_STATE = 2


@pytest.mark.slow
@pytest.mark.parametrize("load", ["fresh", "live"])
def test_kill_at_every_boundary(load, songs, connection, database_url, copy_of, sweep, zygotes) -> None:
    """A rollback killed at any boundary and called again leaves every byte as before, and counts what it removed."""
    songs(SONGS)
    hope = uuid.UUID(int=1)
    connection.execute("INSERT INTO tags (id, name, normalized_name) VALUES (%s, 'Hope', 'hope')", [hope])
    if load == "live":
        connection.execute("INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s)", [song_id(8), hope])
        connection.execute("UPDATE tags SET usage_count = 1")
    before, untouched = dump(connection), legacy(connection)
    assert 4 == zygotes[0].run(database_url, "migrate", "--load", load, "--workers", "1")[0]
    assert before != dump(connection)
    connection.close()
    with copy_of(database_url) as url:
        clean = json.loads(zygotes[0].run(url, "rollback", "--json")[1])
    tries: dict[str, int] = {}
    assert {"song_tags", "tag_synonyms", "tags"} == clean["removed"].keys()

    def attempt(zygote, number: int) -> bool:
        with copy_of(database_url) as url:
            code, _, stderr = zygote.run(url, "rollback", "1", failpoint=boundary(number))
            assert code in {-9, 0}, stderr
            with psycopg.connect(url) as looking:
                was_done = looking.execute("SELECT status FROM segue.runs").fetchall() == ROLLED_BACK
                assert untouched == legacy(looking)
                progress = looking.execute("SELECT rollback FROM segue.runs").fetchall()
                state = repr((image(looking), progress))
            tries[state] = tries.get(state, 0) + 1
            if tries[state] > TRIES_OF_A_STATE:
                return code == -9
            again = zygote.run(url, "rollback", "1", "--json")
            assert (5 if was_done else 0) == again[0], again
            if not was_done:
                assert clean["removed"] == json.loads(again[1])["removed"]
            with psycopg.connect(url) as looking:
                assert before == dump(looking)
                assert untouched == legacy(looking)
                assert ROLLED_BACK == looking.execute("SELECT status FROM segue.runs").fetchall()
                for table in ("quarantine", "vocabulary"):
                    assert [] == looking.execute(f"SELECT * FROM segue.{table}").fetchall()
        return code == -9

    assert sweep(attempt) > 15
    assert len(tries) >= 8
