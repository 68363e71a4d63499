"""`--mirror both`: what people do to links and tags is in the legacy column in the same commit, and nothing else is."""

from typing import Any

import psycopg
import pytest

from tests.mirror.test_forward import HOPE, late, tags_of

BOTH = ("migrate", "--mirror", "both")


def themes(connection: psycopg.Connection[Any], song: object) -> Any:
    """Return a song's legacy value."""
    row = connection.execute("SELECT themes FROM songs WHERE id::text = %s::text", [song]).fetchone()
    assert row is not None
    return row[0]


def tag(connection: psycopg.Connection[Any], name: str) -> Any:
    """Return a tag's id; a new one when there is none."""
    row = connection.execute("SELECT id FROM tags WHERE normalized_name = lower(%s)", [name]).fetchone()
    if row is None:
        row = connection.execute(
            "INSERT INTO tags (name, normalized_name) VALUES (%s, lower(%s)) RETURNING id", [name, name]
        ).fetchone()
    assert row is not None
    return row[0]


def link(connection: psycopg.Connection[Any], song: object, name: str) -> None:
    """Link a song to a tag, as the new application does it."""
    connection.execute("INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s)", [song, tag(connection, name)])


def unlink(connection: psycopg.Connection[Any], song: object, name: str) -> None:
    """Take a tag away from a song."""
    connection.execute("DELETE FROM song_tags WHERE song_id = %s AND tag_id = %s", [song, tag(connection, name)])


def unwritten(connection: psycopg.Connection[Any]) -> list[Any]:
    """Return the edits that the legacy column does not have, with the reason."""
    query = "SELECT song, edit, reason FROM segue.mirror_edits WHERE reason IS NOT NULL ORDER BY song"
    return connection.execute(query).fetchall()


@pytest.fixture
def both(songs, segue, connection) -> psycopg.Connection[Any]:
    """30 songs, migrated, with a mirror that works both ways."""
    songs(HOPE, key_type="bigint")
    said = segue(*BOTH)
    assert 0 == said.code, said.stderr
    return connection


def test_a_link_appends_and_its_end_removes(both, segue) -> None:
    """Everything else in the array keeps order, spelling, NULLs, blanks, duplicates and lower bound."""
    both.execute('UPDATE songs SET themes = \'[0:5]={Xmas,NULL," ",hope,Xmas,"HOPE "}\' WHERE id = 1')
    link(both, 1, "Brand New")
    assert ('[0:6]={Xmas,NULL," ",hope,Xmas,"HOPE ","Brand New"}',) == both.execute(
        "SELECT themes::text FROM songs WHERE id = 1"
    ).fetchone()
    unlink(both, 1, "hope")
    assert ('[0:4]={Xmas,NULL," ",Xmas,"Brand New"}',) == both.execute(
        "SELECT themes::text FROM songs WHERE id = 1"
    ).fetchone()
    assert {"christmas", "brand new"} == tags_of(both, 1)
    unlink(both, 1, "christmas")
    unlink(both, 1, "brand new")
    assert [None, " "] == themes(both, 1)
    assert 0 == segue("validate").code
    assert ([], []) == (late(both), unwritten(both))


def test_what_needs_no_change_is_not_written(both) -> None:
    """A link whose tag the array says already, in whatever spelling, writes no new row version; so do other columns."""
    both.execute("UPDATE songs SET themes = '{xmas}' WHERE id = 2")
    query = "SELECT ctid, xmin FROM songs WHERE id = 2"
    before = both.execute(query).fetchone()
    with both.transaction():
        unlink(both, 2, "christmas")
        link(both, 2, "christmas")
    both.execute("UPDATE song_tags SET added_at = now() WHERE song_id = 2")
    both.execute("UPDATE tags SET color = '#123456', usage_count = 7")
    assert before == both.execute(query).fetchone()
    assert {"christmas"} == tags_of(both, 2)


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ"])
def test_tags_that_go(level, both, segue) -> None:
    """A deleted tag takes its elements along; made again in the same transaction, with the link, it leaves them."""
    both.execute("UPDATE songs SET themes = '{HOPE,Grace,hope}' WHERE id < 4")
    both.execute(f"BEGIN ISOLATION LEVEL {level}")
    both.execute("DELETE FROM tags WHERE normalized_name IN ('hope', 'theme 1')")
    both.execute("INSERT INTO tags (name, normalized_name) VALUES ('Hope', 'hope')")
    link(both, 2, "hope")
    both.execute("COMMIT")
    if level != "READ COMMITTED":
        assert "not READ COMMITTED" in str(unwritten(both))
    assert 0 == segue("validate").code
    found = [themes(both, song) for song in (1, 2, 3, 4, 5)]
    assert [["Grace"], ["HOPE", "Grace", "hope"], ["Grace"], [], ["Theme 2"]] == found
    assert [] == unwritten(both)


def test_a_renamed_tag(both, segue) -> None:
    """The elements that mean the tag are spelled anew, in place; another spelling of its name changes none."""
    both.execute("UPDATE songs SET themes = '{a,xmas,b,Christmas,xmas}' WHERE id = 1")
    both.execute("UPDATE tags SET name = 'CHRISTMAS' WHERE normalized_name = 'christmas'")
    assert ["a", "xmas", "b", "Christmas", "xmas"] == themes(both, 1)
    both.execute("UPDATE tags SET name = 'Noel', normalized_name = 'noel' WHERE normalized_name = 'christmas'")
    assert ["a", "Noel", "b", "Noel", "Noel"] == themes(both, 1)
    assert {"a", "b", "noel"} == tags_of(both, 1)
    both.execute("UPDATE songs SET themes = '{Christmas}' WHERE id = 2")
    assert {"christmas"} == tags_of(both, 2)
    assert (0, []) == (segue("validate").code, unwritten(both))


def test_two_tags_change_names(both) -> None:
    """Names that are swapped in one transaction are swapped in the arrays."""
    both.execute("UPDATE songs SET themes = '{Joy,Peace}' WHERE id = 1")
    with both.transaction():
        for old, new in (("joy", "x"), ("peace", "joy"), ("x", "peace")):
            query = "UPDATE tags SET name = initcap(%s), normalized_name = %s WHERE normalized_name = %s"
            both.execute(query, [new, new, old])
    assert ["Peace", "Joy"] == themes(both, 1)


def test_both_sides_in_one_transaction(both, segue) -> None:
    """Edits merge by song and tag; where both sides edit the same pair, what was done to the link wins."""
    with both.transaction():
        both.execute("UPDATE songs SET themes = '{Hope,Joy,Praise}' WHERE id = 1")
        unlink(both, 1, "hope")
        link(both, 1, "Grace")
    assert (["Joy", "Praise", "Grace"], {"joy", "praise", "grace"}) == (themes(both, 1), tags_of(both, 1))
    with both.transaction():
        link(both, 2, "Grace")
        unlink(both, 2, "theme 2")
        both.execute("UPDATE songs SET themes = '{Theme 2,Joy}' WHERE id = 2")
    assert (["Joy", "Grace"], {"joy", "grace"}) == (themes(both, 2), tags_of(both, 2))
    with both.transaction():
        unlink(both, 3, "hope")
        link(both, 3, "hope")
        both.execute("UPDATE songs SET themes = '{Joy}' WHERE id = 3")
    assert (["Joy", "Hope"], {"joy", "hope"}) == (themes(both, 3), tags_of(both, 3))
    with both.transaction():
        link(both, 4, "Grace")
        unlink(both, 4, "grace")
    assert (["Hope", "Theme 1"], {"hope", "theme 1"}) == (themes(both, 4), tags_of(both, 4))
    assert (0, []) == (segue("validate").code, unwritten(both))


def test_the_old_version_takes_a_persons_link_away(both, segue) -> None:
    """What a person linked is an element like any other: the old version's removal removes it from both."""
    link(both, 1, "Grace")
    link(both, 1, "Joy")
    both.execute("UPDATE songs SET themes = array_remove(themes, 'Grace') WHERE id = 1")
    assert (["Hope", "Theme 1", "Joy"], {"hope", "theme 1", "joy"}) == (themes(both, 1), tags_of(both, 1))
    both.execute("UPDATE songs SET themes = '{joy}' WHERE id = 1")
    assert {"joy"} == tags_of(both, 1)
    assert 0 == segue("validate").code


def test_a_song_takes_its_links_along(both, segue) -> None:
    """Also people's, and where no foreign key would; a song that comes back has what its new value says."""
    both.execute("ALTER TABLE song_tags DROP CONSTRAINT song_tags_song_id_fkey")
    for song in (1, 2, 3):
        link(both, song, "Joy")
    both.execute("DELETE FROM songs WHERE id = 1")
    assert (0,) == both.execute("SELECT count(*) FROM song_tags WHERE song_id = 1").fetchone()
    with both.transaction():
        both.execute("DELETE FROM songs WHERE id = 2")
        both.execute("INSERT INTO songs VALUES (2, 't', '{Peace,JOY}')")
    assert (["Peace", "JOY"], {"peace", "joy"}) == (themes(both, 2), tags_of(both, 2))
    both.execute("UPDATE songs SET id = 300 WHERE id = 3")
    assert (set(), {"hope", "theme 0", "joy"}) == (tags_of(both, 3), tags_of(both, 300))
    assert (0, []) == (segue("validate").code, unwritten(both))


def test_an_undone_edit_leaves_nothing(both, snapshot) -> None:
    """A rolled back transaction, or savepoint, changes no array."""
    before = snapshot("public", "segue")
    with both.transaction(force_rollback=True):
        both.execute("DELETE FROM song_tags")
    with both.transaction():
        with both.transaction(force_rollback=True):
            unlink(both, 1, "hope")
        both.execute("UPDATE song_tags SET added_by = NULL")
    assert before == snapshot("public", "segue")


def test_it_comes_to_rest(both, segue) -> None:
    """No loop: each edit settles each direction at most twice, and Segue's own chunks and repairs are no edits."""
    both.execute("CREATE TABLE writes (what text)")
    both.execute(
        "CREATE FUNCTION count_write() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        " $$ BEGIN INSERT INTO public.writes VALUES (TG_TABLE_NAME || ' ' || TG_OP); RETURN NULL; END $$"
    )
    for table in ("songs", "song_tags"):
        both.execute(
            f"CREATE TRIGGER count_write AFTER INSERT OR UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION count_write()"
        )

    def writes() -> list[str]:
        return [
            what
            for (what,) in both.execute("WITH w AS (DELETE FROM writes RETURNING what) SELECT what FROM w ORDER BY 1")
        ]

    link(both, 1, "Grace")
    assert ["song_tags INSERT", "songs UPDATE"] == writes()
    both.execute("UPDATE songs SET themes = '{Joy}' WHERE id = 1")
    assert ["song_tags DELETE"] * 3 + ["song_tags INSERT", "songs UPDATE"] == writes()
    unlink(both, 1, "joy")
    assert ["song_tags DELETE", "songs UPDATE"] == writes()
    assert 0 == segue("validate", "--repair").code
    both.execute("ALTER TABLE songs DISABLE TRIGGER ALL; UPDATE songs SET themes = '{Praise}' WHERE id < 9")
    both.execute("ALTER TABLE songs ENABLE TRIGGER ALL")
    writes()
    assert 0 == segue("migrate").code
    assert {"song_tags DELETE", "song_tags INSERT"} == set(writes())
    assert (["Praise"], {"praise"}) == (themes(both, 1), tags_of(both, 1))
