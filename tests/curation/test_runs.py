"""Curating while a migration plans, goes on, or is complete: it goes on right, and proves itself."""

import psycopg
import pytest

from service.curation import errors
from tests.curation.desk import THEMES, song, tag_id


@pytest.mark.parametrize("load", ["fresh", "live"])
def test_merged_and_renamed_half_way(own_desk, songs, segue, load) -> None:
    """A run that goes on gives the texts of a merged tag the target, proves it in full, and its rollback is exact."""
    songs([(song(number), themes) for number, themes in THEMES.items()])
    desk = own_desk
    assert 6 == segue("migrate", "--load", load, "--batch-size", "1", "--max-chunks", "2").code
    joy, hope = tag_id(desk, "joy"), tag_id(desk, "hope")
    desk.merge(joy, hope)
    desk.rename(tag_id(desk, "christmas"), "Nativity")

    result = segue("migrate", "--load", load, "--validate", "--json")

    assert (0, True) == (result.code, result.json["digest"]["equal"])
    assert ([1, 2, 3, 4], []) == (desk.songs(hope), desk.wrong_counts())
    assert [1, 4] == desk.songs(tag_id(desk, "nativity"))
    assert 0 == segue("validate").code
    assert 7 == segue("rollback").code
    assert ([], []) == (desk.songs(hope), desk.wrong_counts())


def test_merged_while_a_run_goes_on(own_desk, songs, segue_process, segue) -> None:
    """Chunks in flight are converted again: no link is lost, none leads to a tag that is gone, all of it is proven."""
    desk = own_desk
    songs([(song(number), [f"theme {number % 3}", "common"]) for number in range(1, 301)])
    # A tag that the run uses and did not make, so that it is there before.
    tags = [desk.make(f"Theme {number}") for number in range(3)]
    process = segue_process("migrate", "--batch-size", "2", "--workers", "2", "--validate", "--json")
    merged = []
    try:
        while process.poll() is None:
            started = desk.connection.execute("SELECT sum(row_count) FROM segue.partitions").fetchone()[0]
            if started and not merged:
                merged.append(desk.merge(tags[0], tags[1]))
            if started and started > 60 and len(merged) == 1:
                desk.undo(merged[0].log_id)
                merged.append(desk.merge(tags[2], tags[1]))
    finally:
        said = process.communicate()[1]

    assert process.returncode == 0, said
    assert 2 == len(merged), "the run was over too soon"
    assert (0, []) == (desk.orphans(), desk.wrong_counts())
    assert 300 == len(desk.songs(tag_id(desk, "common")))
    assert [number for number in range(1, 301) if number % 3] == desk.songs(tags[1])
    assert [number for number in range(1, 301) if not number % 3] == desk.songs(tags[0])
    assert 0 == segue("rollback").code
    assert ([], []) == (desk.songs(tags[1]), desk.wrong_counts())


@pytest.mark.parametrize("act", ["merge", "rename", "undo"])
def test_a_chunk_in_flight_is_converted_again(app, database_url, act) -> None:
    """A chunk that has read the vocabulary before an act commits its checkpoint as a serialization failure, or first."""
    created = app.create("Hope")
    hope, joy = created.tags[0].id, app.make("Joy")
    app.connection.execute(
        "INSERT INTO segue.runs (id, migration, status, settings, fingerprint, lease_token) VALUES (7, 'themes', 'migrating', '{}', '', gen_random_uuid())"
    )
    app.connection.execute("INSERT INTO segue.partitions (run_id, ordinal, chunk_size) VALUES (7, 0, 1)")
    app.connection.execute(
        "INSERT INTO segue.vocabulary (run_id, raw, normalized, outcome, uses) VALUES (7, '', '', 'blank', 1)"
    )
    args = {"merge": [hope, joy], "rename": [hope, "Trust"], "undo": [created.log_id]}
    with psycopg.connect(database_url) as chunk:
        chunk.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        chunk.execute("SELECT raw, tag_id FROM segue.vocabulary")
        getattr(app, act)(*args[act])
        with pytest.raises(psycopg.errors.SerializationFailure):
            chunk.execute("UPDATE segue.partitions SET seq = seq + 1")


def test_not_while_a_run_plans(app, connection) -> None:
    """A run that resolves its vocabulary now would not see the change; nothing is changed."""
    hope, joy = app.make("Hope"), app.make("Joy")
    connection.execute(
        "INSERT INTO segue.runs (migration, status, settings, fingerprint, lease_until) VALUES ('themes', 'preparing', '{}', '', now() + '1 min')"
    )
    before = app.state()

    for act in (lambda: app.merge(hope, joy), lambda: app.rename(hope, "Trust")):
        with pytest.raises(errors.RunIsPlanning):
            act()
    assert before == app.state()
    connection.execute("UPDATE segue.runs SET lease_until = now()")
    assert app.merge(hope, joy).log_id


def test_after_a_merge_a_validation_is_repaired(app, segue) -> None:
    """The checkpoints' digests tell of the tag that went: the repair states them anew and changes no link."""
    segue("migrate")
    christmas, joy = tag_id(app, "christmas"), tag_id(app, "joy")
    app.merge(christmas, joy)
    before = app.state()

    assert 3 == segue("validate").code
    assert 0 == segue("validate", "--repair").code
    assert before == app.state()
    assert 0 == segue("validate").code


def test_decisions_follow_the_tag(own_desk, songs, segue, tmp_path) -> None:
    """What an admin decided about a text leads to the tag under its new name, and back when that is undone."""
    desk = own_desk
    songs([(song(1), ["Freude"]), (song(2), ["Joyful"])])
    file = tmp_path / "decisions.csv"
    file.write_text("raw,canonical,category,how,count\nFreude,Elan,theme,new,1\n")
    assert 0 == segue("vocabulary", "import", str(file)).code
    assert 0 == segue("migrate").code
    elan, joyful = tag_id(desk, "elan"), tag_id(desk, "joyful")
    before = desk.state()

    renamed = desk.rename(elan, "Delight")
    merged = desk.merge(elan, joyful)
    decided = "SELECT canonical, canonical_normalized FROM segue.decisions"
    assert [("Joyful", "joyful")] == desk.connection.execute(decided).fetchall()
    assert 0 == segue("migrate", "--fresh", "--validate").code
    assert 1 == desk.connection.execute("SELECT count(*) FROM tags").fetchone()[0]
    assert 0 == segue("rollback").code

    desk.undo(merged.log_id)
    desk.undo(renamed.log_id)
    assert before == desk.state()
    assert [("Elan", "elan")] == desk.connection.execute(decided).fetchall()
    words = "SELECT raw, canonical, tag_id::text FROM segue.vocabulary WHERE raw <> '' ORDER BY raw"
    assert [("Freude", "elan", elan), ("Joyful", "joyful", joyful)] == desk.connection.execute(words).fetchall()


def test_undo_of_a_creation_that_a_run_uses(app, segue) -> None:
    """A text that became this tag would have nowhere to go."""
    created = app.create("Hope")
    segue("migrate")
    app.connection.execute("DELETE FROM song_tags WHERE tag_id = %s", [created.tags[0].id])

    with pytest.raises(errors.TagInUse, match="texts"):
        app.undo(created.log_id)
