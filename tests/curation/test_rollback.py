"""Curating tags that a migration made: its rollback stays exact, and nothing that people did is lost silently."""

import pytest

from service.curation import errors
from tests.curation.desk import song, tag_id


def test_rename_makes_a_conflict(app, segue, snapshot) -> None:
    """A tag of the run that was renamed is kept with its new name and its old one as a synonym, and reported."""
    before = snapshot()
    segue("migrate")
    hope = tag_id(app, "hope")
    renamed = app.rename(hope, "Trust")

    dry = segue("rollback", "--dry-run", "--json").json
    assert [hope] == [conflict["key"] for conflict in dry["conflicts"]]
    app.undo(renamed.log_id)
    assert [] == segue("rollback", "--dry-run", "--json").json["conflicts"]
    app.rename(hope, "Trust")

    assert 7 == segue("rollback").code
    assert ("Trust", ("hope",), 0) == _of(app.tag(hope))
    assert ([], [1]) == (app.wrong_counts(), app.songs(app.ours))
    app.connection.execute("DELETE FROM tags WHERE id = %s", [hope])
    assert before == snapshot()


def test_other_acts(own_desk, songs, segue) -> None:
    """What was edited is kept and reported; a ban outlives its tag, because it is kept by name."""
    desk = own_desk
    songs([(song(1), ["One", "Two", "Three", "Four", "Five", "Six"])])
    segue("migrate")
    desk.recategorise(tag_id(desk, "one"), "liturgical")
    desk.recolour(tag_id(desk, "two"), "#000001")
    desk.promote(tag_id(desk, "three"))
    desk.synonym(tag_id(desk, "four"), "IV")
    desk.ban(tag_id(desk, "five"), "why")
    edited = {tag_id(desk, name) for name in ("one", "two", "three", "four")}

    result = segue("rollback", "--json").json

    assert edited == {conflict["key"] for conflict in result["conflicts"]}
    assert edited == {row[0] for row in desk.connection.execute("SELECT id::text FROM tags").fetchall()}
    with pytest.raises(errors.NameBanned):
        desk.create("Five")
    assert [] == desk.wrong_counts()


def _of(tag) -> tuple[str, tuple[str, ...], int]:
    return tag.name, tag.synonyms, tag.usage_count


@pytest.mark.parametrize("chunks", ["9", "2"])
def test_undone_merges_leave_no_trace(app, segue, snapshot, chunks) -> None:
    """After merge, undo and rollback everything is byte-identical to before the run, however far that was."""
    before = snapshot()
    assert segue("migrate", "--batch-size", "1", "--max-chunks", chunks).code in (0, 6)
    merged = [app.merge(tag_id(app, "hope"), app.ours), app.merge(tag_id(app, "joy"), tag_id(app, "christmas"))]
    merged.append(app.merge(app.ours, tag_id(app, "christmas")))
    for act in reversed(merged):
        app.undo(act.log_id)

    assert 0 == segue("rollback").code
    assert before == snapshot()


@pytest.mark.parametrize("chunks", ["9", "2"])
def test_a_tag_of_the_run_into_one_of_the_people(app, segue, chunks) -> None:
    """The rollback takes the run's links from the target and its share off the count; the people's link stays."""
    segue("migrate", "--batch-size", "1", "--max-chunks", chunks)
    hope = tag_id(app, "hope")
    app.link(hope, 9)
    app.link(app.ours, 8)
    merged = app.merge(hope, app.ours)

    assert 0 == segue("rollback").code
    assert ([1, 8, 9], []) == (app.songs(app.ours), app.wrong_counts())
    assert ("Our Theme", ("hope",), 3) == _of(app.tag(app.ours))

    undone = app.undo(merged.log_id)
    assert [("Hope", (), 1), ("Our Theme", (), 2)] == [_of(tag) for tag in undone.tags]
    assert ([9], [1, 8]) == (app.songs(hope), app.songs(app.ours))
    assert [(None,)] == app.connection.execute("SELECT run_id FROM tags WHERE id = %s", [hope]).fetchall()


def test_a_tag_of_the_people_into_one_of_the_run(app, segue) -> None:
    """The target is kept and reported, with exactly the people's links; undoing then gives them back."""
    segue("migrate")
    joy = tag_id(app, "joy")
    merged = app.merge(app.ours, joy)
    assert ([1, 2, 3, 4], []) == (app.songs(joy), app.wrong_counts())

    result = segue("rollback", "--json")

    assert (7, [joy]) == (result.code, [conflict["key"] for conflict in result.json["conflicts"]])
    assert ([1], []) == (app.songs(joy), app.wrong_counts())
    app.undo(merged.log_id)
    assert ([1], [], []) == (app.songs(app.ours), app.songs(joy), app.wrong_counts())


def test_two_tags_of_the_run(app, segue, snapshot) -> None:
    """The target has a synonym of the people's now, so it is kept and reported; forced, all of it goes."""
    before = snapshot()
    segue("migrate")
    joy = tag_id(app, "joy")
    app.merge(tag_id(app, "hope"), joy)

    assert [joy] == [conflict["key"] for conflict in segue("rollback", "--dry-run", "--json").json["conflicts"]]
    assert 0 == segue("rollback", "--on-conflict", "force").code
    assert before == snapshot()
    with pytest.raises(errors.UnknownTag):
        app.tag(joy)


def test_a_person_s_link_survives_a_merge_into_a_run_s(app, segue) -> None:
    """Where a song had the source from a person and the target from the run, the link that is left is the person's."""
    segue("migrate")
    joy, other = tag_id(app, "joy"), app.make("Other", links=(2, 9))  # the run gave song 2 Joy
    merged = app.merge(other, joy)
    again = app.undo(merged.log_id)
    assert [2, 9] == app.songs(other) != app.songs(joy) == [2, 3, 4]
    assert again.log_id
    app.merge(other, joy)

    assert 7 == segue("rollback").code
    assert ([2, 9], []) == (app.songs(joy), app.wrong_counts())


def test_links_of_a_run_that_was_taken_back_do_not_come_back(app, segue) -> None:
    """A double link of the run's that the merge dropped stays gone when the run was rolled back since."""
    segue("migrate")
    joy, other = tag_id(app, "joy"), app.make("Other", links=(2, 9))
    merged = app.merge(joy, other)
    assert [2, 3, 4, 9] == app.songs(other)
    segue("rollback")
    assert ([2, 9], []) == (app.songs(other), app.wrong_counts())

    app.undo(merged.log_id)
    assert ([], [2, 9], []) == (app.songs(joy), app.songs(other), app.wrong_counts())


def test_undo_of_a_synonym_of_a_run_that_was_taken_back(app, segue) -> None:
    """A synonym that a curator took away or moved comes back as people's own, and no rollback takes a moved one."""
    segue("migrate")
    christmas = tag_id(app, "christmas")
    moved = app.synonym(app.ours, "Xmas", replace=True)
    app.recolour(christmas, "#000001")

    assert 7 == segue("rollback").code
    assert ("xmas",) == app.tag(app.ours).synonyms
    app.undo(moved.log_id)
    assert ("xmas",) == app.tag(christmas).synonyms
    assert [(None,)] == app.connection.execute("SELECT run_id FROM tag_synonyms").fetchall()
