"""What becomes of whole files: every one has an outcome, and two files of one user become one user."""

from pathlib import Path

import pytest

from tests.node_persist.people import UPDATED, accounts, rows, tables, track, user
from tests.node_persist.stores import DAY_MS, NOW_MS, file_name, stringify, write

OLDER, NEWER = "2025-01-01T00:00:00Z", "2025-09-09T00:00:00Z"


@pytest.fixture
def migrate(segue, tmp_path):
    """Return a function that imports the store and returns the result."""

    def run(*arguments: str):
        return segue("migrate", "node-persist", "--source", str(tmp_path / "storage"), "--json", *arguments)

    return run


def test_every_file_has_an_outcome(migrate, connection, tmp_path) -> None:
    """Files that are no users', expired, damaged and stray stop nothing; all are counted, two are in quarantine."""
    store = tmp_path / "storage"
    write(store, 4, "ann", user("ann"))
    write(store, 4, "session:1", {"cookie": "x"})
    write(store, 4, "bob", {"theme": "dark"})
    write(store, 4, "cat", user("cat"), ttl=1, now_ms=NOW_MS - 10 * DAY_MS)
    write(store, 4, "dan", user("dan"), ttl=10 * 365 * DAY_MS)
    damaged = write(store, 4, "eve", user("eve"))
    damaged.write_bytes(damaged.read_bytes()[:-40])
    (store / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    result = migrate()

    outcomes = {name: found[0] for name, found in accounts(connection).items()}
    assert {
        file_name(4, "ann"): "imported", file_name(4, "session:1"): "not_user", file_name(4, "bob"): "not_user",
        file_name(4, "cat"): "expired", file_name(4, "dan"): "imported", file_name(4, "eve"): "damaged",
        ".DS_Store": "stray",
    } == outcomes  # fmt: skip
    assert 4 == result.code
    assert {"total": 7, "processed": 7, "quarantined": 2} == result.json["rows"]
    kept = dict(rows(connection, "SELECT key, reason FROM segue.quarantine WHERE pointer = ''"))
    assert {".DS_Store", file_name(4, "eve")} == kept.keys()
    assert all(kept.values())
    assert {".DS_Store", file_name(4, "eve")} == {error["key"] for error in result.json["errors"]}
    counted = result.json["elements"]
    assert counted.pop("total") == sum(counted.values())
    assert [("ann",), ("dan",)] == rows(connection, "SELECT spotify_id FROM users ORDER BY 1")


def test_clean_store_is_done(migrate, tmp_path) -> None:
    """Without quarantine the exit code is 0, whatever else lies in the store."""
    write(tmp_path / "storage", 4, "ann", user("ann"))
    write(tmp_path / "storage", 4, "session:1", {"cookie": "x"})
    assert 0 == migrate().code


def test_empty_store_is_done(migrate, connection, tmp_path) -> None:
    """Nothing to import is no error, and leaves nothing."""
    (tmp_path / "storage").mkdir()
    before = tables(connection)
    result = migrate()
    assert (0, 0, "complete") == (result.code, result.json["rows"]["total"], result.json["status"])
    assert before == tables(connection)


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ((4, "ann"), (4, "users/ann/data")),
        ((4, "users/ann/data"), (4, "ann")),
        ((2, "ann"), (4, "ann")),
        ((1, "ann"), (4, "ann")),
        ((0, "ann"), (2, "ann")),
        ((4, "ann"), (0, "ann")),
    ],
)
def test_newest_file_of_a_user_wins(newer, older, migrate, connection, tmp_path) -> None:
    """Of two keys, or of two generations, the file with the newer lastUpdated is imported, whichever is found first."""
    for (generation, key), name, at in ((older, "old", OLDER), (newer, "new", NEWER)):
        value = user("ann", topTracks={"short_term": [track(name)]}, lastUpdated=at)
        write(tmp_path / "storage", generation, key, value)
    assert 0 == migrate().code
    found = {name: of[0] for name, of in accounts(connection).items()}
    assert {file_name(*newer): "imported", file_name(*older): "superseded"} == found
    assert [("new",)] == rows(connection, "SELECT track_id FROM user_top_tracks")
    assert [(1,)] == rows(connection, "SELECT count(*) FROM users")


@pytest.mark.parametrize("spoilt", ["damaged", "expired", "no user"])
def test_a_file_that_cannot_be_imported_wins_nothing(spoilt, migrate, connection, tmp_path) -> None:
    """The older file is imported when the newer one is damaged, expired or no user's."""
    store = tmp_path / "storage"
    write(store, 4, "ann", user("ann", lastUpdated=OLDER))
    value = {"lastUpdated": NEWER} if spoilt == "no user" else user("ann", lastUpdated=NEWER)
    expiry = {"ttl": 1, "now_ms": NOW_MS - DAY_MS} if spoilt == "expired" else {}
    file = write(store, 4, "users/ann/data", value, **expiry)
    if spoilt == "damaged":
        file.write_bytes(file.read_bytes()[:-9])
    migrate()
    found = {name: of[0] for name, of in accounts(connection).items()}
    assert {file_name(4, "ann"): "imported", file.name: spoilt.replace("no user", "not_user")} == found


def test_newer_generation_wins_a_tie(migrate, connection, tmp_path) -> None:
    """With the same lastUpdated, the file of the newer library stands."""
    for generation in (2, 4, 1):
        write(tmp_path / "storage", generation, "ann", user("ann", lastUpdated=UPDATED))
    assert 0 == migrate().code
    found = {name: of[0] for name, of in accounts(connection).items()}
    assert "imported" == found.pop(file_name(4, "ann"))
    assert ["superseded"] * 2 == list(found.values())


def encoded_twice(store: Path, key: str, value: object) -> Path:
    """Write an item whose whole text is a JSON string: certain enough to be imported, and known only when read."""
    file = write(store, 4, key, value)
    file.write_bytes(stringify(file.read_text()).encode())
    return file


def test_rescued_file_is_its_users(migrate, connection, tmp_path) -> None:
    """A file that tells its key only when it is read whole is imported like others, and keeps its user when run again."""
    encoded_twice(tmp_path / "storage", "ann", user("ann"))
    assert 0 == migrate().code
    assert [("ann",)] == rows(connection, "SELECT spotify_id FROM users")
    assert [("ann", "imported")] == rows(connection, "SELECT user_id, outcome FROM segue.files")
    assert [("double-encoded JSON unwrapped",)] == rows(connection, "SELECT problem FROM segue.notes")
    assert {0} == set(migrate().json["created"].values())
    write(tmp_path / "storage", 4, "bob", user("bob", 2))
    assert 0 == migrate().code
    assert [("ann",), ("bob",)] == rows(connection, "SELECT spotify_id FROM users ORDER BY 1")


@pytest.mark.parametrize("batch", ["1", "100"])
def test_rescued_file_is_a_rival(batch, migrate, connection, tmp_path) -> None:
    """A file that tells its key only when it is read whole competes with the user's other file."""
    store = tmp_path / "storage"
    rescued = encoded_twice(store, "ann", user("ann", lastUpdated=NEWER))
    write(store, 4, "users/ann/data", user("ann", lastUpdated=OLDER))
    assert 0 == migrate("-b", batch).code
    found = {name: of[0] for name, of in accounts(connection).items()}
    assert {rescued.name: "imported", file_name(4, "users/ann/data"): "superseded"} == found


def test_custom_keys(segue, connection, tmp_path) -> None:
    """--keys says which keys are users; others are none."""
    write(tmp_path / "storage", 4, "member:ann", user("ann"))
    write(tmp_path / "storage", 4, "bob", user("bob"))
    arguments = ("--source", str(tmp_path / "storage"), "--keys", "member:{id}")
    assert 0 == segue("migrate", "node-persist", *arguments).code
    assert [("ann",)] == rows(connection, "SELECT spotify_id FROM users")


def test_bad_options_change_nothing(segue, snapshot, tmp_path) -> None:
    """No source, a missing directory, a file, and a pattern without an id are refused before anything is made."""
    (tmp_path / "file").write_text("x")
    before = snapshot("public", "segue")
    assert 2 == segue("migrate", "node-persist").code
    for source in ("nowhere", "file"):
        assert 5 == segue("migrate", "node-persist", "--source", str(tmp_path / source)).code
    assert 2 == segue("migrate", "node-persist", "--source", str(tmp_path), "--keys", "users/data").code
    assert before == snapshot("public", "segue")


def test_store_is_never_written(migrate, tmp_path) -> None:
    """Names, contents, times and modes of the store are the same after the run."""
    store = tmp_path / "storage"
    for generation in (0, 1, 2, 4):
        write(store, generation, f"u{generation}", user(f"u{generation}", generation), ttl=10 * 365 * DAY_MS)

    def look() -> list[object]:
        return sorted(
            (str(path), path.stat().st_mtime_ns, path.stat().st_ctime_ns, path.is_file() and path.read_bytes())
            for path in tmp_path.rglob("*")
        )

    before = look()
    assert 0 == migrate().code
    assert before == look()
