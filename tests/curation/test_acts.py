"""Acts on one tag: what they change, what they refuse, what they log, and that they can be undone."""

import uuid

import pytest

from service.curation import errors, reading
from service.curation.errors import CurationError, Kind
from tests.curation.desk import tag_id

NOBODY = str(uuid.UUID(int=1))


def test_create(desk) -> None:
    """A tag is made with its clean name, its normal form, and nothing counted."""
    done = desk.create("  Holy\u00a0 SPIRIT ", category="mood", color="#AABBCC")

    (tag,) = done.tags
    assert ("Holy SPIRIT", "holy spirit", "mood", "#aabbcc") == (tag.name, tag.normalized, tag.category, tag.color)
    assert (0, False, False, ()) == (tag.usage_count, tag.is_standard, tag.is_banned, tag.synonyms)
    assert desk.tag(tag.id) == tag


@pytest.mark.parametrize(
    ("name", "values", "error"),
    [
        ("", {}, errors.InvalidName),
        (" \u200b ", {}, errors.InvalidName),
        ("x" * 51, {}, errors.InvalidName),
        ("a\0b", {}, errors.InvalidName),
        ("a\ud800b", {}, errors.InvalidName),
        ("New", {"category": "genre"}, errors.InvalidCategory),
        ("New", {"category": ""}, errors.InvalidCategory),
        ("New", {"color": "red"}, errors.InvalidColor),
        ("New", {"color": "#12345"}, errors.InvalidColor),
        ("HOPE", {}, errors.NameTaken),
        ("Espérance", {}, errors.NameIsSynonym),
        ("SPAM", {}, errors.NameTaken),
    ],
)
def test_create_refuses(desk, name, values, error) -> None:
    """Values that cannot be, and names that mean something, are refused and nothing changes."""
    hope = desk.make("Hope")
    desk.synonym(hope, "Espérance")
    desk.ban(desk.make("Spam"), "advertising")
    before = desk.state()

    with pytest.raises(error) as refused:
        desk.create(name, **values)

    assert before == desk.state()
    assert refused.value.code
    assert refused.value.kind in Kind
    assert str(refused.value)


def test_banned_name_without_its_tag(desk) -> None:
    """The name stays banned when the tag is deleted, until the ban is undone; undoing it needs no tag."""
    spam = desk.make("Spam")
    banned = desk.ban(spam, "advertising")
    desk.connection.execute("DELETE FROM tags")

    with pytest.raises(errors.NameBanned, match="advertising"):
        desk.create("spam")
    hope = desk.make("Hope")
    with pytest.raises(errors.NameBanned):
        desk.rename(hope, "Spam")
    with pytest.raises(errors.NameBanned):
        desk.synonym(hope, "Spam")
    assert () == desk.undo(banned.log_id).tags
    assert "Spam" == desk.create("Spam").tags[0].name


def test_a_ban_of_a_name_whose_tag_is_gone(desk) -> None:
    """A tag that an application makes with a banned name can be banned, too; undoing that leaves the first ban."""
    desk.ban(desk.make("Spam"), "advertising")
    desk.connection.execute("DELETE FROM tags")
    bans = desk.state()["segue.banned_tags"]
    desk.connection.execute("INSERT INTO tags (name, normalized_name) VALUES ('Spam', 'spam')")
    again = desk.ban(tag_id(desk, "spam"), "again")
    assert bans != desk.state()["segue.banned_tags"]

    assert not desk.undo(again.log_id).tags[0].is_banned
    assert bans == desk.state()["segue.banned_tags"]


def test_a_name_taken_by_the_exact_spelling_alone(desk) -> None:
    """A table whose normal forms are the application's own is not trusted to tell that a name is free."""
    desk.connection.execute("INSERT INTO tags (name, normalized_name) VALUES ('Hope', 'hope!')")

    with pytest.raises(errors.NameTaken):
        desk.create("Hope")


def test_rename_keeps_the_old_name(desk) -> None:
    """The old name leads to the tag unless asked otherwise; another spelling changes no more than the spelling."""
    hope = desk.make("Hope")

    assert ("Hopes", ("hope",)) == _named(desk.rename(hope, "Hopes"))
    assert ("HOPES", ("hope",)) == _named(desk.rename(hope, "HOPES"))
    assert ("Trust", ("hope",)) == _named(desk.rename(hope, "Trust", keep_old=False))
    assert desk.rename(hope, " Trust ").log_id is None


def test_rename_to_an_own_synonym_swaps_them(desk) -> None:
    """A synonym can become the name: then the old name is the synonym, and undoing swaps them back."""
    tag = desk.make("Xmas")
    desk.synonym(tag, "Christmas")
    before = desk.tag(tag)

    done = desk.rename(tag, "Christmas")

    assert ("Christmas", ("xmas",)) == _named(done)
    assert before == desk.undo(done.log_id).tags[0]


@pytest.mark.parametrize(
    ("name", "error"),
    [("GRACE", errors.NameTaken), ("mercy", errors.NameIsSynonym), ("\t", errors.InvalidName)],
)
def test_rename_refuses(desk, name, error) -> None:
    """A name that means another tag is refused, and says whose it is."""
    hope, grace = desk.make("Hope"), desk.make("Grace")
    desk.synonym(grace, "Mercy")

    with pytest.raises(error) as refused:
        desk.rename(hope, name)
    assert getattr(refused.value, "tag_id", grace) == grace
    assert "Hope" == desk.tag(hope).name


def _named(done) -> tuple[str, tuple[str, ...]]:
    return done.tags[0].name, done.tags[0].synonyms


@pytest.mark.parametrize(
    ("act", "args"),
    [
        ("rename", ["New"]),
        ("recategorise", ["mood"]),
        ("recolour", [None]),
        ("promote", []),
        ("synonym", ["New"]),
        ("unsynonym", ["New"]),
        ("ban", ["why"]),
        ("merge", [NOBODY]),
    ],
)
def test_unknown_banned_and_malformed(desk, act, args) -> None:
    """No act works on a tag that is not there or is banned; an id that is no uuid is one of no tag."""
    spam = desk.make("Spam")
    desk.ban(spam, "spam")

    for wrong, error in ((NOBODY, errors.UnknownTag), ("no uuid", errors.UnknownTag), (spam, errors.BannedTag)):
        if act == "merge" and error is errors.BannedTag:
            args = [desk.make("Hope")]
        with pytest.raises(error):
            getattr(desk, act)(wrong, *args)


def test_nothing_to_change_is_not_logged(desk) -> None:
    """An act that finds everything as it was to be is done, and leaves no row."""
    hope = desk.make("Hope", color="#123456")
    desk.synonym(hope, "Trust")
    desk.promote(hope)
    acts = [("rename", "Hope"), ("recategorise", "theme"), ("recolour", "#123456"), ("promote",), ("synonym", "TRUST")]

    for act, *args in acts:
        assert getattr(desk, act)(hope, *args).log_id is None
    with desk.database.transaction() as transaction:
        assert ["promote", "synonym", "create"] == [act.action for act in reading.list_acts(transaction)]


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\0b"])
def test_a_ban_needs_a_reason(desk, reason) -> None:
    """The reason is for people to read."""
    with pytest.raises(errors.InvalidReason):
        desk.ban(desk.make("Spam"), reason)


def test_a_ban_hides_and_keeps_links(desk) -> None:
    """A banned tag is not listed, keeps its links, and can be read by its id."""
    spam = desk.make("Spam", links=(1, 2))
    desk.ban(spam, "spam")

    with desk.database.transaction() as transaction:
        assert () == reading.list_tags(transaction, "public")
        assert [spam] == [tag.id for tag in reading.list_tags(transaction, "public", with_banned=True)]
    assert [1, 2] == desk.songs(spam)
    assert desk.tag(spam).is_banned


def test_every_error_says_itself() -> None:
    """Codes are unique, and each error has a kind."""
    kinds = CurationError.__subclasses__()

    assert len({kind.code for kind in kinds}) == len(kinds) > 20
    assert all(kind.kind in Kind and kind.__doc__ for kind in kinds)


def test_an_application_has_its_own_categories(own_desk) -> None:
    """In an adopted table its own rule says which categories there are."""
    desk = own_desk
    desk.connection.execute("ALTER TABLE tags DROP CONSTRAINT tags_category_check")
    desk.connection.execute("ALTER TABLE tags ADD CHECK (category IN ('genre', 'theme')), DROP COLUMN promoted_at")
    desk.connection.execute("UPDATE segue.tables SET is_adopted = true WHERE name = 'tags'")

    rock = desk.make("Rock", category="genre")
    for act in (lambda: desk.create("New", category="mood"), lambda: desk.recategorise(rock, "mood")):
        with pytest.raises(errors.InvalidCategory):
            act()
    promoted = desk.promote(rock)
    assert (True, None) == (promoted.tags[0].is_standard, promoted.tags[0].promoted_at)
    assert not desk.undo(promoted.log_id).tags[0].is_standard
