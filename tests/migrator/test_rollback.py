"""Rollback: exactly what the run made goes, what it changed comes back, and what people did stays."""

import uuid

import pytest

A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
SONGS = [(A, ["Xmas", "Hope"]), (B, ["Hope", "Our Theme"]), (C, ["x" * 51, "Grace"])]
HOPE = "segue.tag_id('hope')"


@pytest.fixture
def app(connection, songs) -> None:
    """Songs, and an application that has a tag with a link, a synonym and a count of its own."""
    songs(SONGS)
    connection.execute("INSERT INTO tags (name, normalized_name, usage_count) VALUES ('Our Theme', 'our theme', 1)")
    connection.execute("INSERT INTO tag_synonyms (synonym, canonical_tag_id) SELECT 'ours', id FROM tags")
    connection.execute("INSERT INTO song_tags (song_id, tag_id) SELECT %s, id FROM tags", [A])


def usage(connection, tag: str) -> int:
    """Return the stored count of a tag."""
    return connection.execute("SELECT usage_count FROM tags WHERE normalized_name = %s", [tag]).fetchone()[0]


@pytest.mark.system
@pytest.mark.parametrize("load", ["auto", "live"])
@pytest.mark.parametrize("chunks", ["0", "1", "2", "9"])
def test_byte_identical_at_any_stage(segue, app, snapshot, chunks, load) -> None:
    """A paused or complete run leaves the schema as it was; a second rollback is refused and changes nothing."""
    before = snapshot()
    code = segue("migrate", "--load", load, "--batch-size", "1", "--max-chunks", chunks).code
    assert (4 if chunks == "9" else 6) == code

    result = segue("rollback", "--json")

    assert (0, "rolled_back", []) == (result.code, result.json["status"], result.json["conflicts"])
    assert before == snapshot()
    everything = snapshot("public", "segue")
    assert 5 == segue("rollback", "1").code
    assert 5 == segue("rollback").code
    assert everything == snapshot("public", "segue")


def test_failed_run_rolls_back(segue, songs, connection, snapshot) -> None:
    """A run whose validation failed is rolled back like any other."""
    songs(SONGS)
    before = snapshot()
    assert 6 == segue("migrate", "--batch-size", "1", "--max-chunks", "1").code
    connection.execute("DELETE FROM song_tags")
    assert 3 == segue("migrate").code

    assert 0 == segue("rollback").code
    assert before == snapshot()


def test_dry_run_says_what_the_rollback_does(segue, app, connection, snapshot) -> None:
    """`rollback --dry-run` changes nothing and shows the numbers and conflicts of the real one."""
    segue("migrate")
    connection.execute(f"INSERT INTO song_tags (song_id, tag_id) VALUES ('{C}', {HOPE})")
    everything = snapshot("public", "segue")

    dry = segue("rollback", "--dry-run", "--json").json

    assert everything == snapshot("public", "segue")
    real = segue("rollback", "--json").json
    assert (real["removed"], real["conflicts"]) == (dry["removed"], dry["conflicts"])


@pytest.mark.system
def test_tags_in_use_are_kept_and_reported(segue, app, connection, links) -> None:
    """A person's link keeps the run's tag, with its right count; the conflict is listed and the exit code is 7."""
    segue("migrate")
    connection.execute(f"INSERT INTO song_tags (song_id, tag_id) VALUES ('{C}', {HOPE})")
    connection.execute(f"UPDATE tags SET usage_count = usage_count + 1 WHERE id = {HOPE}")

    result = segue("rollback", "--json")

    assert 7 == result.code
    assert [str(connection.execute(f"SELECT {HOPE}").fetchone()[0])] == [c["key"] for c in result.json["conflicts"]]
    assert [(A, "our theme"), (C, "hope")] == links()
    assert (1, 1) == (usage(connection, "hope"), usage(connection, "our theme"))
    assert 2 == connection.execute("SELECT count(*) FROM tags").fetchone()[0]


def test_force_removes_tags_in_use(segue, app, connection, snapshot) -> None:
    """`--on-conflict force` takes the run's tags with the uses that people made of them: the schema is as before."""
    before = snapshot()
    segue("migrate")
    connection.execute(f"INSERT INTO song_tags (song_id, tag_id) VALUES ('{C}', {HOPE})")
    connection.execute("UPDATE tags SET color = '#123456' WHERE normalized_name = 'grace'")

    assert 0 == segue("rollback", "--on-conflict", "force").code
    assert before == snapshot()


def test_abort_changes_nothing(segue, app, connection, snapshot) -> None:
    """`--on-conflict abort` is refused with 5 while there are conflicts, and leaves the application alone."""
    segue("migrate")
    connection.execute(f"INSERT INTO song_tags (song_id, tag_id) VALUES ('{C}', {HOPE})")
    before = snapshot()

    assert 5 == segue("rollback", "--on-conflict", "abort").code
    assert before == snapshot()
    assert "complete" == segue("status", "--json").json["runs"][0]["status"]


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE tags SET name = 'HOPE' WHERE normalized_name = 'hope'",
        "UPDATE tags SET color = '#123456' WHERE normalized_name = 'hope'",
        "UPDATE tags SET category = 'mood' WHERE normalized_name = 'hope'",
        f"INSERT INTO tag_synonyms (synonym, canonical_tag_id) VALUES ('hopes', {HOPE})",
    ],
)
def test_edited_tags_are_kept(segue, app, connection, edit) -> None:
    """A tag of the run that somebody edited or gave a synonym stays, without the run's links."""
    segue("migrate")
    connection.execute(edit)

    assert 7 == segue("rollback").code
    assert 0 == usage(connection, "hope")


def test_counts_of_own_tags_keep_users_increments(segue, app, connection) -> None:
    """A tag that existed before gets its count back, and what users added since stays added."""
    segue("migrate")
    assert 2 == usage(connection, "our theme")
    connection.execute("INSERT INTO song_tags (song_id, tag_id) SELECT %s, id FROM tags WHERE name = 'Our Theme'", [C])
    connection.execute("UPDATE tags SET usage_count = usage_count + 1 WHERE name = 'Our Theme'")

    assert 0 == segue("rollback").code
    assert 2 == usage(connection, "our theme")


def test_runs_go_back_in_reverse(segue, app, connection, snapshot) -> None:
    """Two runs rolled back last one first leave the schema as it was before both."""
    before = snapshot()
    segue("migrate")
    assert 4 == segue("migrate", "--fresh").code

    assert [0, 0] == [segue("rollback").code, segue("rollback").code]
    assert before == snapshot()


def test_without_a_run_it_is_refused(segue, songs, snapshot) -> None:
    """There is nothing to roll back: exit 5; an unknown run is a usage error, exit 2."""
    songs([])
    before = snapshot("public", "segue")

    assert (5, 2) == (segue("rollback").code, segue("rollback", "77").code)
    assert before == snapshot("public", "segue")


def test_migrates_again_after_a_rollback(segue, app, links) -> None:
    """After a rollback the same command starts a new run with the same result."""
    segue("migrate")
    first = links()
    segue("rollback")

    assert 2 == segue("migrate", "--json").json["run_id"]
    assert first == links()
