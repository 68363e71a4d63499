"""A store that changes: `migrate` again brings exactly that up to date, as if the final store had been imported."""

import threading
import time

import psycopg
import pytest

from tests.conftest import _fresh
from tests.node_persist.people import (
    MADE,
    SHARED,
    accounts,
    playlist,
    rows,
    saved,
    tables,
    user,
    write_users,
)
from tests.node_persist.stores import DAY_MS, NOW_MS, file_name, write

OLDER, NEWER = "2025-01-01T00:00:00Z", "2025-09-09T00:00:00Z"


@pytest.fixture
def second(server, template):
    """Another database."""
    yield from _fresh(server, template)


@pytest.fixture
def store(tmp_path):
    """A store of eight users."""
    write_users(tmp_path / "storage", 8)
    return tmp_path / "storage"


@pytest.fixture
def migrate(segue, store):
    """Return a function that imports the store and returns the report."""

    def run(*arguments: str, url: str | None = None, code: int = 0):
        result = segue("migrate", "node-persist", "--source", str(store), "--json", *arguments, url=url)
        assert code == result.code, result.stderr
        return result.json

    return run


@pytest.fixture
def require_like_fresh(migrate, connection, second):
    """Return a function that asserts that the database is as if the store had been imported as it is now.

    Shared facts are cumulative: all that a fresh import would make is there, and no track that nobody uses.
    """

    def compare(code: int = 0) -> None:
        report = migrate(url=second, code=code)
        with psycopg.connect(second) as other:
            expected, found = tables(other), tables(connection)
            for name in MADE:
                if name in SHARED:  # what a file once said of a track that is still used stays
                    assert set(expected[name]) <= set(found[name]), name
                else:
                    assert expected[name] == found[name], name
            assert rows(other, "SELECT id FROM tracks ORDER BY id") == rows(
                connection, "SELECT id FROM tracks ORDER BY id"
            )
            assert accounts(other) == accounts(connection)
            for table in ("quarantine", "notes"):
                query = f"SELECT (to_jsonb(t) - ARRAY['run_id', 'created_at'])::text FROM segue.{table} AS t ORDER BY 1"
                assert rows(other, query) == rows(connection, query)
        now = migrate(code=code)
        assert now["unchanged"] is True
        assert report["elements"] == now["elements"]
        for key in ("expected", "actual"):
            assert report["digest"][key].partition(":")[2] == now["digest"][key].partition(":")[2]
        for key in ("processed", "quarantined"):
            assert report["rows"][key] == now["rows"][key], key

    return compare


def places(connection) -> dict[str, list[object]]:
    """Return where each row of a user is and which transaction wrote it, by the user's id."""
    found: dict[str, list[object]] = {}
    for table in (
        "users",
        "playlists",
        "user_listening_history",
        "user_top_tracks",
        "user_top_artists",
        "user_saved_tracks",
    ):
        column = "id" if table == "users" else "user_id"
        query = f"SELECT u.spotify_id, t.xmin::text, t.ctid::text FROM {table} AS t JOIN users AS u ON u.id = t.{column} ORDER BY 3"
        for name, *place in rows(connection, query):
            found.setdefault(name, []).append((table, *place))
    return found


def test_everything_at_once(migrate, require_like_fresh, connection, store) -> None:
    """Of eight users one file changed, one is new, one is gone and one got a newer file: theirs change, others' stay."""
    migrate()
    before = places(connection)
    write(
        store, 4, "u01", user("u01", 11, savedTracks=[saved("s50")], playlists=[playlist("p9", "t1"), playlist("p1")])
    )
    write(store, 4, "u20", user("u20", 20))
    (store / file_name(4, "u05")).unlink()
    write(store, 2, "users/u06/data", user("u06", 16, lastUpdated=NEWER))

    changed = migrate()
    assert 4 == changed["caught_up"]
    assert changed["digest"]["equal"] is True
    after = places(connection)
    assert {"u00", "u02", "u03", "u04", "u07"} == {name for name in before if before[name] == after.get(name)}
    assert "u05" not in after
    require_like_fresh()


def test_user_goes_with_the_file(migrate, require_like_fresh, connection, store) -> None:
    """A user whose only file was deleted is deleted with everything that only that file gave."""
    write(store, 4, "zoe", user("zoe", 80, playlists=[playlist("pz", "tz")], topArtists=None))
    migrate()
    (store / file_name(4, "zoe")).unlink()
    migrate()
    assert [] == rows(connection, "SELECT * FROM users WHERE spotify_id = 'zoe'")
    assert [] == rows(connection, "SELECT * FROM tracks WHERE id IN ('tz', 't80', 's80')")
    require_like_fresh()


def test_checkpoints_follow_the_store(migrate, connection, second, store) -> None:
    """After a deletion the checkpoints count what is stored, so that a later look may trust them."""
    migrate()
    (store / file_name(4, "u07")).unlink()
    migrate()
    migrate(url=second)
    query = (
        "SELECT sum(row_count), sum(linked), sum(created), sum(created_sum), bit_xor(created_xor) FROM segue.partitions"
    )
    with psycopg.connect(second) as other:
        assert rows(other, query) == rows(connection, query)


def test_files_of_one_user_come_and_go(migrate, require_like_fresh, connection, store) -> None:
    """A newer second file takes over; when it is gone, expired or damaged, the older one counts again."""
    migrate()
    first, other = file_name(4, "u03"), file_name(4, "users/u03/data")

    def outcomes() -> dict[str, str]:
        return {name: of[0] for name, of in accounts(connection).items() if name in {first, other}}

    write(store, 4, "users/u03/data", user("u03", 30, lastUpdated=NEWER))
    migrate()
    assert {first: "superseded", other: "imported"} == outcomes()
    write(store, 4, "users/u03/data", user("u03", 30, lastUpdated=NEWER), ttl=1, now_ms=NOW_MS - DAY_MS)
    migrate()
    assert {first: "imported", other: "expired"} == outcomes()
    write(store, 4, "users/u03/data", user("u03", 31, lastUpdated=NEWER))
    migrate()
    assert {first: "superseded", other: "imported"} == outcomes()
    (store / other).write_bytes((store / other).read_bytes()[:-30])
    migrate(code=4)
    assert {first: "imported", other: "damaged"} == outcomes()
    (store / other).unlink()
    migrate()
    assert {first: "imported"} == outcomes()
    require_like_fresh()


@pytest.mark.parametrize("spoilt", ["damaged", "expired", "no user", "strange elements"])
def test_file_turns_bad(spoilt, migrate, require_like_fresh, connection, store) -> None:
    """A file that is no longer importable takes its rows along, and quarantine follows the file both ways."""
    migrate()
    file, code = store / file_name(4, "u02"), 4 if spoilt in {"damaged", "strange elements"} else 0
    value = {"theme": 1} if spoilt == "no user" else user("u02", 2)
    if spoilt == "strange elements":
        value["savedTracks"] = [3, *value["savedTracks"], {"track": {}}]
    write(store, 4, "u02", value, **({"ttl": 1, "now_ms": NOW_MS - DAY_MS} if spoilt == "expired" else {}))
    if spoilt == "damaged":
        file.write_bytes(file.read_bytes()[:-30])
    migrate(code=code)
    require_like_fresh(code=code)
    write(store, 4, "u02", user("u02", 22))
    migrate()
    assert [(0,)] == rows(connection, "SELECT count(*) FROM segue.quarantine")
    assert [(1,)] == rows(connection, "SELECT count(*) FROM users WHERE spotify_id = 'u02'")


def test_shared_facts_are_cumulative(migrate, connection, store) -> None:
    """What a file once said of a track stays while the track is used; what nothing refers to goes."""
    write(store, 4, "u00", user("u00", 0, savedTracks=[saved("s1", popularity=90), saved("only")]))
    migrate()
    write(store, 4, "u00", user("u00", 0, savedTracks=[saved("s1", popularity=10)]))
    migrate()
    assert [("s1", 90)] == rows(connection, "SELECT id, popularity FROM tracks WHERE id IN ('s1', 'only')")


def test_total_follows_the_store(migrate, store) -> None:
    """The report's total is the number of files that there are now."""
    assert 8 == migrate()["rows"]["total"]
    (store / file_name(4, "u05")).unlink()
    (store / file_name(4, "u06")).unlink()
    assert {"total": 6, "processed": 6, "quarantined": 0} == migrate()["rows"]
    write(store, 4, "u06", user("u06", 6))
    assert {"total": 7, "processed": 7, "quarantined": 0} == migrate()["rows"]


def test_changes_between_two_halves_of_a_run(migrate, require_like_fresh, store) -> None:
    """Files that change while the run is paused are caught up with: those already read, those to come, and new ones."""
    paths = sorted((file_name(4, f"u{number:02}"), number) for number in range(8))
    assert 2 == migrate("-b", "2", "--max-chunks", "1", code=6)["rows"]["processed"]
    for (_, number), other in ((paths[0], 40), (paths[-1], 41)):
        write(store, 4, f"u{number:02}", user(f"u{number:02}", other))
    for path, _ in (paths[1], paths[-2]):
        (store / path).unlink()
    write(store, 4, "u50", user("u50", 50))
    migrate("-b", "2")
    require_like_fresh()


@pytest.mark.slow
@pytest.mark.parametrize("load", ["fresh", "live"])
def test_store_that_is_being_written(load, segue, migrate, require_like_fresh, store) -> None:
    """While an application rewrites, adds and deletes files, runs end well; afterwards one more run has it all."""
    stop = threading.Event()

    def rewrite() -> None:
        number = 0
        while not stop.wait(0.004):
            number += 1
            name = f"u{number % 8:02}"
            write(store, 4 if number % 3 else 2, name, user(name, number % 90, lastUpdated=1_750_000_000_000 + number))
            if number % 5 == 0:
                (store / file_name(2, f"u{(number + 3) % 8:02}")).unlink(missing_ok=True)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(3):
            result = segue("migrate", "node-persist", "--source", str(store), "--load", load, "-b", "2", "--json")
            assert result.code in {0, 4}, result.stderr
    finally:
        stop.set()
        writer.join()
    time.sleep(0.03)  # a file's time must be able to tell a further change
    result = segue("migrate", "node-persist", "--source", str(store), "--load", load, "--json")
    assert 0 == result.code, result.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGUE_LOAD", load)
        require_like_fresh()
