"""Merging: what moves, what is dropped, what leads where; and undoing it around what people did since."""

import pytest

from service.curation import errors, reading
from sql.schema.serving import follow
from tests.curation.desk import song


def redirects(desk) -> dict[str, str]:
    """Return where ids lead."""
    rows = desk.connection.execute("SELECT old_id::text, tag_id::text FROM segue.tag_redirects").fetchall()
    return dict(rows)


@pytest.fixture
def pair(desk) -> tuple[str, str]:
    """Xmas with songs 1-3 and a synonym, Christmas with songs 3-4 and another one."""
    xmas, christmas = desk.make("Xmas", links=(1, 2, 3), color="#00ff00"), desk.make("Christmas", links=(3, 4))
    desk.synonym(xmas, "X-mas")
    desk.synonym(christmas, "Noel")
    return xmas, christmas


def test_merge(desk, pair) -> None:
    """Links move, the double one is dropped, name, synonyms and id lead to the target, whose own look stays."""
    xmas, christmas = pair

    (tag,) = desk.merge(xmas, christmas).tags

    assert (christmas, "Christmas", None, 4) == (tag.id, tag.name, tag.color, tag.usage_count)
    assert ("noel", "x-mas", "xmas") == tag.synonyms
    assert [1, 2, 3, 4] == desk.songs(christmas)
    assert {xmas: christmas} == redirects(desk)
    assert ([], 0) == (desk.wrong_counts(), desk.orphans())
    with pytest.raises(errors.MergedTag) as gone:
        desk.tag(xmas)
    assert (christmas, errors.Kind.GONE) == (gone.value.merged_into, gone.value.kind)
    with pytest.raises(errors.NameIsSynonym):
        desk.create("XMAS")


def test_undo_brings_everything_back(desk, pair) -> None:
    """Id, name, links with all their columns, synonyms and counts are byte for byte what they were."""
    before = desk.state()
    done = desk.merge(*pair)

    undone = desk.undo(done.log_id)

    assert before == desk.state()
    assert list(pair) == [tag.id for tag in undone.tags]
    assert [(0,)] == desk.connection.execute("SELECT count(*) FROM segue.merged_links").fetchall()
    with pytest.raises(errors.AlreadyUndone):
        desk.undo(done.log_id)
    assert desk.merge(*pair).log_id


def test_what_people_did_since_stays(desk, pair) -> None:
    """Removed links stay removed, also one that was double; links made since stay where they were made."""
    xmas, christmas = pair
    done = desk.merge(xmas, christmas)
    desk.unlink(christmas, 1, 3)  # 1 was moved, 3 was both tags'
    desk.unlink(christmas, 2)
    desk.link(christmas, 2, 9)  # 2 is somebody's new link now
    desk.unsynonym(christmas, "x-mas")
    desk.synonym(christmas, "Nativity")

    desk.undo(done.log_id)

    assert ([], [2, 4, 9]) == (desk.songs(xmas), desk.songs(christmas))
    assert ((), ("nativity", "noel")) == (desk.tag(xmas).synonyms, desk.tag(christmas).synonyms)
    assert ([], 0) == (desk.wrong_counts(), desk.orphans())


def test_merges_in_a_row(desk, pair) -> None:
    """Redirects never form chains; merges are undone last one first."""
    xmas, christmas = pair
    feast = desk.make("Feast", links=(1, 5))
    states = [desk.state()]
    first = desk.merge(xmas, christmas)
    states.append(desk.state())
    second = desk.merge(christmas, feast)

    assert {xmas: feast, christmas: feast} == redirects(desk)
    assert [1, 2, 3, 4, 5] == desk.songs(feast)
    assert ("christmas", "noel", "x-mas", "xmas") == desk.tag(feast).synonyms
    with pytest.raises(errors.MovedOn, match="not there any more"):
        desk.undo(first.log_id)
    with desk.database.transaction() as transaction:
        history = reading.list_acts(transaction, tag_id=feast)
    assert ["merge", "merge"] == [act.action for act in history if act.action == "merge"]

    desk.undo(second.log_id)
    assert states[1] == desk.state()
    desk.undo(first.log_id)
    assert states[0] == desk.state()


@pytest.mark.parametrize(
    ("since", "error"),
    [
        ([("ban", "Christmas", "why")], errors.MovedOn),
        ([("unsynonym", "Christmas", "Xmas"), ("synonym", "Other", "Xmas")], errors.NameIsSynonym),
        ([("rename", "Christmas", "Xmas")], errors.MovedOn),
        ([("unsynonym", "Christmas", "Xmas"), ("rename", "Other", "xmas")], errors.NameTaken),
        ([("merge", "Christmas", "Other")], errors.MovedOn),
    ],
)
def test_undo_refuses_when_names_moved_on(desk, pair, since, error) -> None:
    """The name or the target is not what the merge left."""
    ids = {"Christmas": pair[1], "Other": desk.make("Other")}
    done = desk.merge(*pair)
    for act, name, argument in since:
        getattr(desk, act)(ids[name], ids.get(argument, argument))
    before = desk.state()

    with pytest.raises(error):
        desk.undo(done.log_id)
    assert before == desk.state()


def test_merge_refuses(desk, pair) -> None:
    """Into itself, from or into what is banned, what is gone already."""
    xmas, christmas = pair
    spam = desk.make("Spam")
    desk.ban(spam, "why")
    done = desk.merge(xmas, christmas)

    for args, error in (
        ((christmas, christmas), errors.MergeIntoItself),
        ((christmas, christmas.upper()), errors.MergeIntoItself),
        ((spam, christmas), errors.BannedTag),
        ((christmas, spam), errors.BannedTag),
        ((xmas, christmas), errors.MergedTag),
        ((christmas, xmas), errors.MergedTag),
    ):
        with pytest.raises(error):
            desk.merge(*args)
    desk.undo(done.log_id)
    assert desk.merge(christmas, xmas).log_id, "the other way round"


def test_synonyms_that_an_application_chained(desk, pair) -> None:
    """A synonym of the source that is the target's name would lead the target to itself, so it goes."""
    xmas, christmas = pair
    desk.connection.execute("INSERT INTO tag_synonyms (synonym, canonical_tag_id) VALUES ('Christmas', %s)", [xmas])

    assert ("noel", "x-mas", "xmas") == desk.merge(xmas, christmas).tags[0].synonyms


def test_other_tables_keep_their_tag(own_desk) -> None:
    """Rows of other tables that refer to the source are neither deleted silently nor left in the way."""
    desk = own_desk
    desk.connection.execute("CREATE TABLE followers (tag text REFERENCES tags (name) ON DELETE CASCADE, id int)")
    desk.connection.execute("ALTER TABLE tags ADD parent uuid REFERENCES tags (id)")
    created = desk.create("Xmas")
    xmas, christmas = created.tags[0].id, desk.make("Christmas")
    desk.connection.execute("INSERT INTO followers VALUES ('Xmas', 1), ('Christmas', 2)")

    for act in (lambda: desk.merge(xmas, christmas), lambda: desk.undo(created.log_id)):
        with pytest.raises(errors.TagReferredTo, match="followers"):
            act()
    desk.connection.execute("UPDATE followers SET tag = 'Christmas'")
    desk.connection.execute("UPDATE tags SET parent = %s WHERE id = %s", [xmas, christmas])
    with pytest.raises(errors.TagReferredTo, match="tags"):
        desk.merge(xmas, christmas)
    desk.connection.execute("UPDATE tags SET parent = NULL")
    assert desk.merge(xmas, christmas).log_id


@pytest.mark.parametrize(("key_type", "keys"), [("bigint", [1, 2, 3]), ("text", ["a", "", "é"])])
def test_adopted_tables_with_further_columns(own_desk, key_type, keys) -> None:
    """Whatever the key's type and whatever else rows hold - generated, unique, identity - comes back."""
    desk, run = own_desk, own_desk.connection.execute
    run(f"ALTER TABLE song_tags ALTER song_id TYPE {key_type} USING NULL")
    run(
        "ALTER TABLE song_tags ADD id uuid UNIQUE NOT NULL DEFAULT gen_random_uuid(), ADD note jsonb, ADD raw bytea,"
        " ADD number bigint GENERATED ALWAYS AS IDENTITY, ADD twice text GENERATED ALWAYS AS (song_id || '!') STORED"
    )
    run("ALTER TABLE tags ADD slug text GENERATED ALWAYS AS (lower(name)) STORED, ADD about text[] DEFAULT '{new}'")
    run("ALTER TABLE tag_synonyms ADD lang text DEFAULT 'en'")
    xmas, christmas = desk.make("Xmas"), desk.make("Christmas")
    desk.synonym(xmas, "X-mas")
    run("UPDATE tags SET about = '{a,NULL,\"b c\"}'")
    run("UPDATE tag_synonyms SET lang = 'de'")
    add = "INSERT INTO song_tags (song_id, tag_id, note, raw) VALUES (%s, %s, '{\"a\": 1.50}', '\\x00ff')"
    for tag, songs in ((xmas, keys[:2]), (christmas, keys[1:])):
        for key in songs:
            run(add, [key, tag])
    run("UPDATE tags SET usage_count = 2")
    before = desk.state()

    done = desk.merge(xmas, christmas)
    assert (3, []) == (desk.tag(christmas).usage_count, desk.wrong_counts())
    run("ALTER TABLE song_tags ADD later int NOT NULL DEFAULT 7")
    run("ALTER TABLE song_tags DROP COLUMN later")
    desk.undo(done.log_id)

    assert before == desk.state()


def test_a_table_changed_since(own_desk) -> None:
    """Columns that were added since the merge get their defaults, those that were dropped are passed over."""
    desk, run = own_desk, own_desk.connection.execute
    run("ALTER TABLE song_tags ADD note text DEFAULT 'n'")
    xmas, christmas = desk.make("Xmas", links=(1, 2)), desk.make("Christmas", links=(2,))
    done = desk.merge(xmas, christmas)
    run("ALTER TABLE song_tags DROP COLUMN note, ADD later int NOT NULL DEFAULT 7")
    run("ALTER TABLE tags ADD later int NOT NULL DEFAULT 8")

    desk.undo(done.log_id)

    assert [1, 2] == desk.songs(xmas)
    assert [(7,)] == run("SELECT DISTINCT later FROM song_tags").fetchall()
    assert [(8,)] == run("SELECT DISTINCT later FROM tags").fetchall()


def test_a_log_row_holds_nothing_of_users(desk) -> None:
    """Who made a tag or a link is about a user of the application and stays out of a log that cannot be erased."""
    user = "11111111-2222-3333-4444-555555555555"
    xmas, christmas = desk.make("Xmas", links=(1,)), desk.make("Christmas", links=(1,))
    desk.connection.execute("UPDATE tags SET created_by = %s", [user])
    desk.connection.execute("UPDATE song_tags SET added_by = %s", [user])
    desk.rename(xmas, "X-mas")
    desk.undo(desk.merge(xmas, christmas).log_id)
    desk.merge(xmas, christmas)

    assert (
        []
        == desk.connection.execute(
            "SELECT id FROM segue.moderation_log l WHERE strpos(l::text, %s) > 0", [user]
        ).fetchall()
    )


def test_servers_hear_of_it(own_desk) -> None:
    """The triggers that servers follow write both tags and the songs down, in the act's own transaction."""
    desk = own_desk
    xmas, christmas = desk.make("Xmas", links=(1, 2)), desk.make("Christmas", links=(2,))
    follow(desk.database, "public")

    def heard() -> dict[str, set[str]]:
        rows = desk.connection.execute(
            "WITH old AS (DELETE FROM segue.outbox RETURNING *) SELECT kind, keys FROM old"
        ).fetchall()
        return {kind: {key for each, keys in rows if each == kind for key in keys} for kind in ("tags", "songs")}

    done = desk.merge(xmas, christmas)
    assert {"tags": {xmas, christmas}, "songs": {song(1), song(2)}} == heard()
    desk.undo(done.log_id)
    assert {"tags": {xmas, christmas}, "songs": {song(1), song(2)}} == heard()
    desk.ban(xmas, "why")
    assert {xmas} == heard()["tags"]
