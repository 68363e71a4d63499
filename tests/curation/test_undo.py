"""Every act can be undone, once, and only while what it changed is as it left it."""

import pytest

from service.curation import errors, reading

CHANGES = [
    ("rename", ["Trust"], {}),
    ("rename", ["HOPE"], {}),
    ("rename", ["Trust"], {"keep_old": False}),
    ("recategorise", ["mood"], {}),
    ("recolour", ["#00ff00"], {}),
    ("promote", [], {}),
    ("synonym", ["Trust"], {}),
    ("unsynonym", ["Espérance"], {}),
    ("ban", ["spam"], {}),
]


@pytest.mark.parametrize(("act", "args", "kwargs"), CHANGES)
def test_every_change_is_logged_and_undone_once(desk, act, args, kwargs) -> None:
    """The log shows tag before and after; undoing brings everything back, and works once."""
    hope = desk.make("Hope", color="#123456", links=(1, 2))
    desk.synonym(hope, "espérance")
    before = desk.tag(hope)

    done = getattr(desk, act)(hope, *args, **kwargs)

    assert desk.tag(hope) == done.tags[0] != before
    with desk.database.transaction() as transaction:
        logged = reading.read_act(transaction, done.log_id)
    assert (act, "ada", hope, None) == (logged.action, logged.actor, logged.tag_id, logged.undoes)
    assert {**logged.before, **logged.after}["tag"]["id"] == hope
    undone = desk.undo(done.log_id)
    assert (before,) == undone.tags
    assert before == desk.tag(hope)
    with pytest.raises(errors.AlreadyUndone, match=str(undone.log_id)):
        desk.undo(done.log_id)
    with pytest.raises(errors.NotUndoable):
        desk.undo(undone.log_id)
    assert getattr(desk, act)(hope, *args, **kwargs).log_id, "the act can be done again"


def test_undo_of_a_creation(desk) -> None:
    """A tag that nobody uses goes; one that is used, or was changed since, stays."""
    created = desk.create("Hope")
    hope = created.tags[0].id
    assert () == desk.undo(created.log_id).tags
    with pytest.raises(errors.UnknownTag):
        desk.tag(hope)

    again = desk.create("Hope")
    desk.link(again.tags[0].id, 1)
    with pytest.raises(errors.TagInUse, match="1 links"):
        desk.undo(again.log_id)
    desk.unlink(again.tags[0].id, 1)
    renamed = desk.rename(again.tags[0].id, "Trust")
    with pytest.raises(errors.MovedOn, match="name"):
        desk.undo(again.log_id)
    desk.undo(renamed.log_id)
    assert desk.undo(again.log_id).log_id


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("rename", "Trust"), ("rename", "Faith")),
        (("recategorise", "mood"), ("recategorise", "liturgical")),
        (("recolour", "#000000"), ("recolour", None)),
        (("recolour", "#000000"), ("ban", "spam")),
        (("synonym", "Trust"), ("unsynonym", "trust")),
        (("unsynonym", "espérance"), ("synonym", "Espérance")),
    ],
)
def test_undo_refuses_when_the_tag_moved_on(desk, first, second) -> None:
    """An act is not undone over a later one; once that is undone, it can be."""
    hope = desk.make("Hope")
    desk.synonym(hope, "Espérance")
    before = desk.tag(hope)
    done = getattr(desk, first[0])(hope, *first[1:])
    later = getattr(desk, second[0])(hope, *second[1:])

    with pytest.raises(errors.MovedOn):
        desk.undo(done.log_id)

    desk.undo(later.log_id)
    desk.undo(done.log_id)
    assert before == desk.tag(hope)


def test_undo_of_a_rename_refuses_a_name_taken_since(desk) -> None:
    """The old name belongs to another tag now."""
    hope = desk.make("Hope")
    renamed = desk.rename(hope, "Trust", keep_old=False)
    desk.make("Hope")

    with pytest.raises(errors.NameTaken):
        desk.undo(renamed.log_id)


def test_undo_of_nothing(desk) -> None:
    """A number that the log does not have."""
    for number in (0, -1, 1, 2**70):
        with pytest.raises(errors.UnknownAct):
            desk.undo(number)
