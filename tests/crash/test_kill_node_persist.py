"""SIGKILL at boundaries of a node-persist run: of the first run, of bringing it up to date, of its rollback; lost COMMITs."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import dump
from tests.crash.proxy import Proxy
from tests.crash.test_commit_in_flight import COMMITS_OF_THE_START, tcp
from tests.crash.zygote import Zygote
from tests.node_persist.people import accounts, rows, saved, tables, user, write_users
from tests.node_persist.stores import file_name, write

#: A run has some 700 boundaries and a resume takes half a second. The suite takes a sample, by a prime so that it falls
#: on all kinds of them; SEGUE_TEST_KILL_EVERY=1 takes every boundary, in about half an hour.
EVERY = int(os.environ.get("SEGUE_TEST_KILL_EVERY", "67"))
EVERY_COMMIT = 7

RAN = {0, 4}


def fill(store: Path) -> None:
    """Write nine users, one of them twice, with something for quarantine, and two files that are no users'."""
    write_users(store, 9)
    write(store, 2, "u03", user("u03", 3, lastUpdated="2025-09-09T00:00:00Z"))
    write(store, 4, "u05", user("u05", 5, savedTracks=[saved("s5"), 3, None, saved("s5")]))
    write(store, 4, "session:1", {"theme": 1})
    (store / ".DS_Store").write_bytes(b"\0")


def change(store: Path) -> None:
    """Change two files, add one, delete one, and make the older file of a user the only one."""
    write(store, 4, "u01", user("u01", 11))
    write(store, 4, "u05", user("u05", 5))
    write(store, 4, "u20", user("u20", 20))
    (store / file_name(4, "u07")).unlink()
    (store / file_name(2, "u03")).unlink()


def application(url: str) -> None:
    """Make rows that the files meet."""
    with psycopg.connect(url, autocommit=True) as connection:
        for query in (
            "INSERT INTO users (spotify_id, display_name) VALUES ('u01', 'Her own'), ('zoe', NULL)",
            "INSERT INTO artists (id, name, genres) VALUES ('a1', 'Zz', '[\"own\"]')",
            "INSERT INTO tracks (id, name) VALUES ('t1', 'Track t1')",
            "INSERT INTO user_saved_tracks (user_id, track_id) SELECT id, 't1' FROM users WHERE spotify_id = 'u01'",
        ):
            connection.execute(query)


def image(url: str) -> dict[str, Any]:
    """Return all that must not depend on interruptions: ids yes, times and run numbers no."""
    with psycopg.connect(url) as connection:
        shape = {
            name: (table["columns"], table["constraints"], table["indexes"])
            for name, table in dump(connection).items()
            if name != "sequences"
        }
        found: dict[str, Any] = {"shape": shape, **tables(connection), "accounts": accounts(connection)}
        for table, but in (
            ("quarantine", "{run_id,created_at}"),
            ("notes", "{run_id}"),
            ("journal", "{run_id,undone_at,created_at}"),
            ("partitions", "{run_id,checkpoint_at,lease_token,seq}"),
        ):
            query = f"SELECT (to_jsonb(t) - %s::text[])::text FROM segue.{table} AS t ORDER BY 1"
            found[table] = rows(connection, query, but)
        found["runs"] = rows(connection, "SELECT migration, status, total_rows FROM segue.runs")
        return found


def require_like(clean: dict[str, Any], url: str) -> None:
    """Assert that a database is as after the clean run, part by part."""
    found = image(url)
    for part, expected in clean.items():
        assert expected == found[part], part


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["fresh", "live", "up to date", "rollback", "rollback of live"])
def test_kill_at_boundaries(
    phase: str,
    database_url: str,
    copy_of: Any,
    sweep: Callable[[Callable[[Zygote, int], bool]], int],
    zygotes: list[Zygote],
    tmp_path: Path,
) -> None:
    """A command killed at a boundary and given again ends as one that was not."""
    store = tmp_path / "storage"
    fill(store)
    migrate = ("migrate", "node-persist", "--source", str(store), "-b", "5", "--workers", "1", "--json")
    if "live" in phase:
        application(database_url)
    with psycopg.connect(database_url) as connection:
        before = dump(connection)
    if phase in {"up to date", "rollback", "rollback of live"}:
        assert 4 == zygotes[0].run(database_url, *migrate)[0]
    if phase == "up to date":
        change(store)
    arguments = ("rollback", "1", "--json") if "rollback" in phase else migrate
    with copy_of(database_url) as url:
        code, out, stderr = zygotes[0].run(url, *arguments)
        assert code in RAN, stderr
        clean, report = image(url), json.loads(out)

    def attempt(zygote: Zygote, number: int) -> bool:
        with copy_of(database_url) as url:
            killed, _, stderr = zygote.run(url, *arguments, failpoint=f"*#{number * EVERY}")
            assert killed == -9 or killed == code, stderr
            was_done = "rollback" in phase and image(url)["runs"][0][1] == "rolled_back"
            if killed == -9 and not was_done:
                again, out, stderr = zygote.run(url, *arguments)
                assert code == again, stderr
                if "rollback" in phase:
                    assert report["removed"] == json.loads(out)["removed"]
            require_like(clean, url)
            if "rollback" in phase:
                with psycopg.connect(url) as looking:
                    assert before == dump(looking)
            return killed == -9

    assert sweep(attempt) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_lost_commits(
    when: str, database_url: str, server: Any, copy_of: Any, sweep: Any, zygotes: Any, tmp_path: Path
) -> None:
    """Whichever COMMIT is lost, the run goes on by itself and ends as a clean run."""
    store = tmp_path / "storage"
    fill(store)
    migrate = ("migrate", "node-persist", "--source", str(store), "-b", "5", "--workers", "1", "--json")
    with copy_of(database_url) as url, Proxy(tcp(server, url), 0, when) as proxy:
        assert 4 == zygotes[0].run(proxy.url, *migrate)[0]
        clean = image(url)
    assert proxy.commits > 20

    def attempt(zygote: Zygote, number: int) -> bool:
        nth = COMMITS_OF_THE_START + number * EVERY_COMMIT
        with copy_of(database_url) as url, Proxy(tcp(server, url), nth, when) as proxy:
            code, _, stderr = zygote.run(proxy.url, *migrate)
            assert 4 == code, stderr
            require_like(clean, url)
        return bool(proxy.has_cut)

    assert sweep(attempt) >= (proxy.commits - COMMITS_OF_THE_START) // EVERY_COMMIT - 1
