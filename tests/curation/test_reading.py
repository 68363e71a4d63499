"""Pages of tags and of the log."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from service.curation import reading


def test_pages_of_tags(desk) -> None:
    """Every tag is on one page, in the order of names, whatever the size of pages."""
    ids = {desk.make(name, category=category) for name, category in NAMES.items()}
    desk.synonym(next(iter(ids)), "other")
    with desk.database.transaction() as transaction:
        everything = reading.list_tags(transaction, "public")
        assert sorted(NAMES, key=str.casefold) == [tag.name for tag in everything]
        assert 1 == sum(len(tag.synonyms) for tag in everything)
        for size in (1, 2, 3, 50, 10**9):
            found, after = [], None
            while page := reading.list_tags(transaction, "public", after=after, limit=size):
                found += page
                after = page[-1].normalized, page[-1].id
            assert everything == tuple(found)
        moods = reading.list_tags(transaction, "public", category="mood")
        assert ["d", "Éa"] == [tag.name for tag in moods]
        assert () == reading.list_tags(transaction, "public", after=("\uffff", "no uuid"), limit=-5)


NAMES = {"a": "theme", "B": "theme", "c": "theme", "d": "mood", "Éa": "mood"}


def test_pages_of_the_log(desk) -> None:
    """Newest first, every act once; undone acts say by which."""
    hope = desk.make("Hope")
    other = desk.make("Other")
    done = [desk.rename(hope, name) for name in ("A", "B", "C")]
    undone = desk.undo(done[-1].log_id)
    with desk.database.transaction() as transaction:
        everything = reading.list_acts(transaction)
        pages, before = [], None
        while page := reading.list_acts(transaction, before=before, limit=2):
            pages += page
            before = page[-1].id
        mine = reading.list_acts(transaction, tag_id=hope)
        assert () == reading.list_acts(transaction, tag_id="no uuid")
        assert () == reading.list_acts(transaction, tag_id=str(uuid.uuid4()))
        assert ["create"] == [act.action for act in reading.list_acts(transaction, tag_id=other)]

    assert list(everything) == pages
    assert ["undo", "rename", "rename", "rename", "create"] == [act.action for act in mine]
    assert (undone.log_id, done[-1].log_id) == (mine[1].undone_by, mine[0].undoes)


@given(st.text(max_size=40))
def test_identifiers(text: str) -> None:
    """Whatever a client sends as an id is a uuid in its usual spelling, or none."""
    found = reading.identifier(text)
    assert found is None or str(uuid.UUID(text)) == found
