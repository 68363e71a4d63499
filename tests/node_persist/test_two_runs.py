"""More than one run over the same people: the later one leaves the earlier one's rows, and both can be taken back."""

import pytest

from tests.node_persist.people import artist, rows, saved, tables, track, user, write_users
from tests.node_persist.stores import file_name, write


@pytest.fixture
def migrate(segue, tmp_path):
    """Return a function that imports one of several stores and returns the report."""

    def run(*arguments: str, store: str = "storage", code: int = 0):
        result = segue("migrate", "node-persist", "--source", str(tmp_path / store), "--json", *arguments)
        assert code == result.code, result.stderr
        return result.json

    return run


def test_fresh_run_over_a_complete_one(migrate, segue, connection, snapshot, tmp_path) -> None:
    """--fresh makes a second run that finds everything in place, proves it, and rolls back to nothing."""
    write_users(tmp_path / "storage", 6)
    before = snapshot()
    migrate()
    first = tables(connection)
    report = migrate("--fresh", "--validate")
    assert (2, {0}) == (report["run_id"], set(report["created"].values()))
    assert report["digest"]["equal"] is True
    assert first == tables(connection)
    assert 0 == segue("validate", "1").code
    assert 5 == segue("rollback", "1").code
    assert 0 == segue("rollback", "2").code
    assert first == tables(connection)
    assert 0 == segue("rollback", "1").code
    assert before == snapshot()


def test_two_stores(migrate, segue, connection, snapshot, tmp_path) -> None:
    """A second store adds what the first lacks; rolled back, the first run's rows are as they were, and proven."""
    write_users(tmp_path / "storage", 6)
    write(tmp_path / "storage", 4, "u02", user("u02", 2, profile={"id": "u02"}))
    other = tmp_path / "other"
    write(other, 4, "u02", user("u02", 60, profile={"id": "u02", "email": "new@example.org", "country": "FR"}))
    write(other, 4, "u03", user("u03", 3, savedTracks=[saved("s3", popularity=99, explicit=True), saved("s61")]))
    write(other, 4, "zoe", user("zoe", 2, topArtists={"short_term": [artist("a3", genres=["jazz"], popularity=3)]}))
    migrate()
    first = snapshot()
    report = migrate("--validate", store="other")
    assert report["digest"]["equal"] is True
    query = "SELECT email, country, run_id FROM users WHERE spotify_id = 'u02'"
    assert [("new@example.org", "FR", 1)] == rows(connection, query)
    query = "SELECT popularity, explicit, run_id FROM tracks WHERE id = 's3'"
    assert [(50, False, 1)] == rows(connection, query)  # of another run: only what it lacks is filled
    assert [("s3", 1), ("s61", 2)] == rows(
        connection,
        "SELECT track_id, s.run_id FROM user_saved_tracks AS s JOIN users AS u ON u.id = s.user_id"
        " WHERE spotify_id = 'u03' ORDER BY 1",
    )
    assert 0 == segue("validate", "2").code
    assert 0 == segue("validate", "1").code
    assert 0 == segue("rollback").code
    assert first == snapshot()
    assert 0 == segue("validate", "1").code


def test_quarantine_is_tried_again(migrate, segue, connection, tmp_path) -> None:
    """A file that was mended leaves quarantine by `quarantine retry`; one that was not stays."""
    write_users(tmp_path / "storage", 2)
    damaged = write(tmp_path / "storage", 4, "bob", user("bob", 3))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-7])
    write(tmp_path / "storage", 4, "cat", user("cat", 4, savedTracks=[5]))
    migrate(code=4)
    assert 4 == segue("quarantine", "retry").code
    damaged.write_bytes(whole)
    retried = segue("quarantine", "retry", "--json")
    assert (4, 2, 1) == (retried.code, retried.json["before"], retried.json["after"])
    assert [("bob",)] == rows(connection, "SELECT spotify_id FROM users WHERE spotify_id = 'bob'")
    assert [(file_name(4, "cat"), "/savedTracks/0")] == rows(connection, "SELECT key, pointer FROM segue.quarantine")
    assert 0 == segue("validate").code
    write(tmp_path / "storage", 4, "cat", user("cat", 4))
    assert 0 == segue("quarantine", "retry").code


def test_paused_and_resumed(migrate, connection, tmp_path) -> None:
    """Chunk by chunk over many commands is the same as at once; other settings are refused while it is unfinished."""
    write_users(tmp_path / "storage", 7)
    write(tmp_path / "storage", 4, "odd", {"topTracks": {"short_term": [track("t1"), 4]}})
    for number in range(1, 4):
        report = migrate("-b", "2", "--max-chunks", "1", code=6)
        assert (2 * number, number > 1) == (report["rows"]["processed"], report["resumed"])
    migrate("--load", "live", code=5)
    report = migrate("-b", "2", code=4)
    assert (True, 8) == (report["resumed"], report["rows"]["processed"])
    assert [(8,)] == rows(connection, "SELECT count(*) FROM users")
    assert [(1, 8)] == rows(connection, "SELECT count(*), max(row_count) FROM segue.partitions")


@pytest.mark.parametrize("batch", ["1", "100"])
@pytest.mark.parametrize("load", ["fresh", "live"])
def test_rival_is_mended_before_its_turn(load, batch, migrate, connection, tmp_path) -> None:
    """A file that could not be read when the store was listed, and can be in its turn, still competes with its user's other."""
    write_users(tmp_path / "storage", 3)
    rival = write(tmp_path / "storage", 4, "users/u01/data", user("u01", 30, lastUpdated="2025-09-09T00:00:00Z"))
    whole = rival.read_bytes()
    rival.write_bytes(whole[:-9])
    migrate("--load", load, "-b", batch, "--max-chunks", "0", code=6)
    rival.write_bytes(whole)
    migrate("--load", load, "-b", batch)
    query = "SELECT path, outcome FROM segue.files WHERE user_id = 'u01'"
    assert {rival.name: "imported", file_name(4, "u01"): "superseded"} == dict(rows(connection, query))
    query = "SELECT track_id FROM user_saved_tracks JOIN users AS u ON u.id = user_id WHERE spotify_id = 'u01'"
    assert [("s30",)] == rows(connection, query)
