"""What writers leave in the outbox: every change of tags and songs, nothing else, and nothing when they roll back."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sql.database import Database
from sql.schema.serving import follow

pytestmark = pytest.mark.usefixtures("followed")

Noted = Callable[[], list[tuple[str, set[str] | None]]]
AddTag = Callable[..., UUID]
Connection = psycopg.Connection[Any]


def test_each_kind_of_change_is_noted(connection: Connection, add_tag: AddTag, noted: Noted) -> None:
    """Insert, update and delete of tags, synonyms, links, bans and redirects, each with the ids that it concerns."""
    grace, mercy = add_tag("Grace"), add_tag("Mercy")
    song, other = uuid4(), uuid4()
    assert [("tags", {str(grace)}), ("tags", {str(mercy)})] == noted()

    tag, both, songs = {str(grace)}, {str(grace), str(mercy)}, {str(song)}
    for statement, values, due in [
        ("UPDATE tags SET usage_count = 5 WHERE id = %s", [grace], [("tags", tag)]),
        ("UPDATE tags SET category = 'mood'", [], [("tags", both)]),
        ("INSERT INTO tag_synonyms (synonym, canonical_tag_id) VALUES ('charis', %s)", [grace], [("tags", tag)]),
        ("UPDATE tag_synonyms SET synonym = 'kharis'", [], [("tags", tag)]),
        ("UPDATE tag_synonyms SET canonical_tag_id = %s", [mercy], [("tags", both)]),
        ("DELETE FROM tag_synonyms", [], [("tags", {str(mercy)})]),
        ("INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s)", [song, grace], [("songs", songs)]),
        ("UPDATE song_tags SET tag_id = %s", [mercy], [("songs", songs)]),
        ("UPDATE song_tags SET song_id = %s", [other], [("songs", {str(song), str(other)})]),
        ("DELETE FROM song_tags", [], [("songs", {str(other)})]),
        ("INSERT INTO segue.banned_tags VALUES (%s, 'grace', 'why', 'me')", [grace], [("tags", tag)]),
        ("UPDATE segue.banned_tags SET tag_id = %s", [mercy], [("tags", both)]),
        ("DELETE FROM segue.banned_tags", [], [("tags", {str(mercy)})]),
        ("INSERT INTO segue.tag_redirects VALUES (%s, %s)", [grace, mercy], [("tags", both)]),
        ("DELETE FROM segue.tag_redirects", [], [("tags", both)]),
        ("DELETE FROM tags WHERE id = %s", [grace], [("tags", tag)]),
    ]:
        connection.execute(statement, values)
        assert (statement, due) == (statement, noted())


def test_update_that_changes_nothing_is_not_noted(connection: Connection, add_tag: AddTag, noted: Noted) -> None:
    """Rows written again as they were, no rows at all, and columns that no answer shows."""
    grace = add_tag("Grace")
    connection.execute("INSERT INTO tag_synonyms (synonym, canonical_tag_id) VALUES ('charis', %s)", [grace])
    connection.execute("INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s)", [uuid4(), grace])
    connection.execute("INSERT INTO segue.banned_tags VALUES (%s, 'grace', 'why', 'me')", [grace])
    noted()

    for statement in (
        "UPDATE tags SET name = name, usage_count = usage_count + 0",
        "UPDATE tags SET usage_count = 7 WHERE name = 'nothing'",
        "UPDATE tag_synonyms SET created_at = now()",
        "UPDATE song_tags SET added_at = now()",
        "UPDATE segue.banned_tags SET reason = 'because'",
        "DELETE FROM tags WHERE name = 'nothing'",
        "INSERT INTO tags (name, normalized_name) SELECT 'Grace', 'grace' ON CONFLICT DO NOTHING",
    ):
        connection.execute(statement)
        assert (statement, []) == (statement, noted())


def test_deleted_tag_takes_its_links_and_synonyms_along(connection: Connection, add_tag: AddTag, noted: Noted) -> None:
    """The cascades are noted like other deletions."""
    grace, song = add_tag("Grace"), uuid4()
    connection.execute("INSERT INTO tag_synonyms (synonym, canonical_tag_id) VALUES ('charis', %s)", [grace])
    connection.execute("INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s)", [song, grace])
    noted()

    connection.execute("DELETE FROM tags")

    found = noted()
    assert {"tags", "songs"} == {kind for kind, _ in found}
    assert {str(grace)} == set().union(*(keys for kind, keys in found if kind == "tags" and keys))
    assert ("songs", {str(song)}) in found


def test_many_tags_are_cut_into_rows(connection: Connection, noted: Noted) -> None:
    """At most 1,000 ids a row, and together every id once; a COPY counts as one statement."""
    for tags, rows in [(1_000, [1_000]), (1_001, [1, 1_000]), (2_500, [500, 1_000, 1_000])]:
        ids = [uuid4() for _ in range(tags)]
        with connection.cursor().copy("COPY tags (id, name, normalized_name) FROM STDIN") as copy:
            for tag_id in ids:
                copy.write_row((tag_id, f"T{tag_id}", f"t{tag_id}"))

        found = noted()

        assert rows == sorted(len(keys or ()) for _, keys in found)
        assert {str(tag_id) for tag_id in ids} == set().union(*(keys or () for _, keys in found))


def test_many_songs_are_not_named(connection: Connection, add_tag: AddTag, noted: Noted) -> None:
    """Up to 1,000 songs are named; of more the row says that any may have changed."""
    add_tag("Grace")
    noted()

    for songs, is_named in [(1_000, True), (1_001, False), (12_000, False)]:
        for statement in (
            f"INSERT INTO song_tags (song_id, tag_id) SELECT gen_random_uuid(), id FROM tags, generate_series(1, {songs})",
            "UPDATE song_tags SET song_id = gen_random_uuid()",
            "DELETE FROM song_tags",
        ):
            connection.execute(statement)
            ((kind, keys),) = noted()
            # An update names the songs before and after it, so twice as many.
            assert ("songs", is_named and "UPDATE" not in statement) == (kind, keys is not None)


def test_truncate_is_noted(connection: Connection, noted: Noted) -> None:
    """Anything may have changed; also in the tables that a CASCADE empties."""
    for table, kinds in [("tags", ["songs", "tags", "tags"]), ("song_tags", ["songs"])]:
        connection.execute(f"TRUNCATE {table} CASCADE")
        found = noted()
        assert kinds == sorted(kind for kind, _ in found)
        assert {None} == {keys for _, keys in found}


def test_rolled_back_transaction_leaves_nothing(connection: Connection, add_tag: AddTag, noted: Noted) -> None:
    """No row, and no number used up: Segue's outbox and changes have no sequences."""
    before = connection.execute(
        "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2"
    ).fetchall()
    with connection.transaction(force_rollback=True):
        connection.execute("INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s)", [uuid4(), add_tag("Grace")])

    assert [] == noted()
    assert (
        before
        == connection.execute("SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2").fetchall()
    )
    assert not [name for _, name, _ in before if "outbox" in name or "change" in name or "relay" in name]


def test_role_without_privileges_on_segue_can_write(connection: Connection, add_tag: AddTag, noted: Noted) -> None:
    """The application's role needs to know nothing of Segue, and a search_path of its own changes nothing."""
    grace = add_tag("Grace")
    noted()
    role = f"app_{uuid4().hex}"
    connection.execute(
        f"CREATE ROLE {role}; GRANT SELECT, INSERT, UPDATE, DELETE ON tags, song_tags, tag_synonyms TO {role}"
    )
    try:
        connection.execute(
            f"CREATE SCHEMA decoy AUTHORIZATION {role}; SET ROLE {role};"
            "CREATE TABLE decoy.outbox (kind text, keys text[]); CREATE FUNCTION decoy.cardinality(text[]) RETURNS int"
            " LANGUAGE sql AS 'SELECT 0'; SET search_path = decoy, public, pg_catalog"
        )
        connection.execute("UPDATE tags SET usage_count = 3; INSERT INTO song_tags SELECT id, id FROM tags")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM segue.outbox")
    finally:
        connection.execute("RESET ROLE; RESET search_path")
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    assert [("tags", {str(grace)}), ("songs", {str(grace)})] == noted()


def test_dropped_columns_and_json_do_not_disturb(connection: Connection, add_tag: AddTag, noted: Noted) -> None:
    """A table that was altered meanwhile, with a type that has no equality, is still compared column by column."""
    grace = add_tag("Grace")
    connection.execute(
        "ALTER TABLE tags ADD COLUMN extra json DEFAULT '{}', ADD COLUMN gone int, DROP COLUMN created_by"
    )
    connection.execute("UPDATE tags SET usage_count = 1; ALTER TABLE tags DROP COLUMN gone")
    noted()

    connection.execute("UPDATE tags SET extra = extra, name = name")
    assert [] == noted()
    connection.execute("UPDATE tags SET extra = '[]'")
    assert [("tags", {str(grace)})] == noted()


def test_songs_are_noted_by_key_and_title(connection: Connection, database: Database, noted: Noted) -> None:
    """New and deleted songs, and changed titles; other columns are not searched. Names and titles may be odd."""
    connection.execute(
        """CREATE TABLE "Odd 100% Songs" (id bigint PRIMARY KEY, "the 'title'" text, themes text);
        INSERT INTO "Odd 100% Songs" VALUES (1, 'a'), (2, 'b')"""
    )
    follow(database, "public", '"Odd 100% Songs"', title="the 'title'")

    for statement, due in [
        ("""INSERT INTO "Odd 100% Songs" VALUES (3, 'x', '{}'), (4, 'y', '{}')""", [("songs", {"3", "4"})]),
        ("""UPDATE "Odd 100% Songs" SET themes = '{c}'""", []),
        ("""UPDATE "Odd 100% Songs" SET "the 'title'" = 'x'""", [("songs", {"1", "2", "4"})]),
        ("""UPDATE "Odd 100% Songs" SET id = 9 WHERE id = 4""", [("songs", {"4", "9"})]),
        ("""DELETE FROM "Odd 100% Songs" WHERE id < 3""", [("songs", {"1", "2"})]),
        ("""TRUNCATE "Odd 100% Songs" """, [("songs", None)]),
        ("""INSERT INTO "Odd 100% Songs" SELECT n, '' FROM generate_series(1, 10001) AS n""", [("songs", None)]),
        ("""UPDATE "Odd 100% Songs" SET "the 'title'" = NULL""", [("songs", None)]),
        ("""UPDATE "Odd 100% Songs" SET "the 'title'" = NULL WHERE id < 10""", []),
    ]:
        connection.execute(statement)
        assert (statement, due) == (statement, noted())


STATEMENTS = st.sampled_from(
    [
        "INSERT INTO tags (name, normalized_name) VALUES ('T{a}', 't{a}') ON CONFLICT DO NOTHING",
        "UPDATE tags SET usage_count = {b} WHERE normalized_name <= 't{a}'",
        "UPDATE tags SET name = name || 'x' WHERE normalized_name = 't{a}'",
        "UPDATE tags SET name = 'T{a}' WHERE normalized_name = 't{a}'",
        "UPDATE tags SET id = gen_random_uuid() WHERE normalized_name = 't{a}' AND id NOT IN (SELECT canonical_tag_id FROM tag_synonyms)",
        "DELETE FROM tags WHERE normalized_name = 't{a}'",
        "INSERT INTO tag_synonyms (synonym, canonical_tag_id) SELECT 's{b}', id FROM tags WHERE normalized_name = 't{a}' ON CONFLICT DO NOTHING",
        "UPDATE tag_synonyms SET canonical_tag_id = (SELECT min(id::text)::uuid FROM tags) WHERE synonym <= 's{b}'",
        "UPDATE tag_synonyms SET synonym = synonym || 'y' WHERE synonym = 's{b}'",
        "DELETE FROM tag_synonyms WHERE synonym <= 's{b}'",
        "INSERT INTO segue.banned_tags SELECT id, 't{a}', '', '' FROM tags WHERE normalized_name = 't{a}' ON CONFLICT DO NOTHING",
        "DELETE FROM segue.banned_tags WHERE normalized_name = 't{a}'",
    ]
)
SHOWN = """
    SELECT id::text, (name, normalized_name, category, color, usage_count, is_standard)::text
        || ARRAY(SELECT synonym FROM tag_synonyms WHERE canonical_tag_id = id ORDER BY 1)::text
    FROM tags WHERE id NOT IN (SELECT tag_id FROM segue.banned_tags)
"""


@given(
    st.lists(st.tuples(STATEMENTS, st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12), st.integers(0, 12)
)
def test_what_is_shown_changes_only_when_noted(
    connection: Connection, statements: list[tuple[str, int, int]], done_before: int
) -> None:
    """Whatever is written, every tag that looks different afterwards is named, and no tag that never existed."""
    with connection.transaction(force_rollback=True):
        before: dict[str, str] = {}
        ids: set[str] = set()
        for number, (statement, a, b) in enumerate([*statements, ("SELECT", 0, 0)]):
            if number == min(done_before, len(statements) - 1):
                connection.execute("DELETE FROM segue.outbox")
                before = dict(connection.execute(SHOWN).fetchall())
            connection.execute(statement.format(a=a, b=b))
            ids |= {tag_id for (tag_id,) in connection.execute("SELECT id::text FROM tags").fetchall()}
        after = dict(connection.execute(SHOWN).fetchall())
        named = {
            key
            for (keys,) in connection.execute("SELECT keys FROM segue.outbox WHERE kind = 'tags'").fetchall()
            for key in keys
        }

    assert {tag_id for tag_id in before | after if before.get(tag_id) != after.get(tag_id)} <= named <= ids


def test_key_type_may_change_below_the_triggers(connection: Connection, add_tag: AddTag, noted: Noted) -> None:
    """A migration may give the table of links the type of its songs' keys; the session's plans follow."""
    grace = add_tag("Grace")
    connection.execute("INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s)", [uuid4(), grace])
    connection.execute("DELETE FROM song_tags")
    noted()

    connection.execute("ALTER TABLE song_tags ALTER COLUMN song_id TYPE bigint USING 0")
    connection.execute("INSERT INTO song_tags (song_id, tag_id) VALUES (17, %s)", [grace])

    assert [("songs", {"17"})] == noted()


def test_moderation_log_is_append_only(connection: Connection) -> None:
    """Rows are added, never changed, deleted or truncated, whoever asks."""
    connection.execute(
        "INSERT INTO segue.moderation_log (actor, action, tag_id) VALUES ('me', 'ban', gen_random_uuid())"
    )

    for statement in (
        "UPDATE segue.moderation_log SET actor = 'you'",
        "DELETE FROM segue.moderation_log",
        "DELETE FROM segue.moderation_log WHERE false",
        "TRUNCATE segue.moderation_log CASCADE",
    ):
        with pytest.raises(psycopg.errors.RaiseException, match=r"segue\.moderation_log is append-only"):
            connection.execute(statement)
    assert ("me",) == connection.execute("SELECT actor FROM segue.moderation_log").fetchone()
