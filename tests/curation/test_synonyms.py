"""Synonyms: one text leads to one tag, and never to a text that leads on."""

import pytest

from service.curation import errors


def test_stored_in_normal_form(desk) -> None:
    """Any spelling of a known synonym is that synonym."""
    hope = desk.make("Hope")

    assert ("espérance",) == desk.synonym(hope, "  ESPÉRANCE ").tags[0].synonyms
    assert desk.synonym(hope, "Espe\u0301rance").log_id is None
    assert () == desk.unsynonym(hope, "Espérance").tags[0].synonyms


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("HOPE", errors.SynonymOfItself, "itself"),
        ("grace", errors.SynonymIsTag, "merge"),
        ("Mercy", errors.SynonymTaken, "'Grace'"),
        ("spam", errors.NameBanned, "advertising"),
        ("", errors.InvalidName, "blank"),
        ("x" * 51, errors.InvalidName, "longer"),
    ],
)
def test_refused(desk, text, error, says) -> None:
    """No chains, no second meaning, nothing that cannot be a name."""
    hope, grace = desk.make("Hope"), desk.make("Grace")
    desk.synonym(grace, "Mercy")
    desk.ban(desk.make("Spam"), "advertising")
    desk.connection.execute("DELETE FROM tags WHERE name = 'Spam'")
    before = desk.state()

    with pytest.raises(error, match=says) as refused:
        desk.synonym(hope, text)
    assert getattr(refused.value, "tag_id", grace) == grace
    assert before == desk.state()


def test_replace_moves_it(desk) -> None:
    """With `replace` the text leaves the other tag; both are returned, and undoing moves it back."""
    hope, grace = desk.make("Hope"), desk.make("Grace")
    desk.synonym(grace, "Mercy")
    before = desk.state()

    done = desk.synonym(hope, "MERCY", replace=True)

    assert [(hope, ("mercy",)), (grace, ())] == [(tag.id, tag.synonyms) for tag in done.tags]
    assert [hope, grace] == [tag.id for tag in desk.undo(done.log_id).tags]
    assert before == desk.state()


def test_replace_does_not_reach_a_banned_tag(desk) -> None:
    """A banned tag is left as it is, with its synonyms."""
    hope, spam = desk.make("Hope"), desk.make("Spam")
    desk.synonym(spam, "Junk")
    desk.ban(spam, "why")

    with pytest.raises(errors.BannedTag):
        desk.synonym(hope, "Junk", replace=True)


def test_undo_of_a_moved_synonym_needs_its_owner(desk) -> None:
    """The tag that it came from is merged away: then it stays."""
    hope, grace = desk.make("Hope"), desk.make("Grace")
    desk.synonym(grace, "Mercy")
    moved = desk.synonym(hope, "Mercy", replace=True)
    desk.merge(grace, desk.make("Other"))

    with pytest.raises(errors.MovedOn, match="not there any more"):
        desk.undo(moved.log_id)


def test_spellings_that_an_application_stored(desk) -> None:
    """Synonyms are found in whatever spelling they are stored, and taken away in it."""
    hope, grace = desk.make("Hope"), desk.make("Grace")
    for text in ("Trust", " faith  and ", "ΣΊΣΥΦΟΣ", "TRUST"):
        desk.connection.execute("INSERT INTO tag_synonyms (synonym, canonical_tag_id) VALUES (%s, %s)", [text, grace])

    for text in ("trust", "Faith And", "σίσυφος"):
        with pytest.raises(errors.SynonymTaken):
            desk.synonym(hope, text)
        with pytest.raises(errors.NameIsSynonym):
            desk.create(text)
    before = desk.state()
    done = desk.unsynonym(grace, "trust")
    assert {" faith  and ", "ΣΊΣΥΦΟΣ"} == set(done.tags[0].synonyms)
    desk.undo(done.log_id)
    assert before == desk.state()


def test_unknown(desk) -> None:
    """Taking away what is not there says whose it is."""
    hope, grace = desk.make("Hope"), desk.make("Grace")
    desk.synonym(grace, "Mercy")

    with pytest.raises(errors.UnknownSynonym, match="'Grace'"):
        desk.unsynonym(hope, "Mercy")
    with pytest.raises(errors.UnknownSynonym):
        desk.unsynonym(hope, "nothing")


@pytest.mark.parametrize(
    ("as_what", "error"), [("tag", "name of tag"), ("synonym", "of tag 'Other'"), ("ban", "banned")]
)
def test_undo_refuses_a_text_that_means_something_else_now(desk, as_what, error) -> None:
    """A synonym does not come back over a tag, another synonym or a ban."""
    hope = desk.make("Hope")
    desk.synonym(hope, "Trust")
    done = desk.unsynonym(hope, "Trust")
    if as_what == "synonym":
        desk.synonym(desk.make("Other"), "Trust")
    else:
        trust = desk.make("Trust")
        if as_what == "ban":
            desk.ban(trust, "why")
            desk.connection.execute("DELETE FROM tags WHERE id = %s", [trust])

    with pytest.raises(errors.MovedOn, match=error):
        desk.undo(done.log_id)
