"""The life of a mirror that works both ways: switched, refused, cleaned up with the column, and rolled back without loss."""

import uuid
from collections import Counter
from typing import Any

import psycopg
import pytest

from sql.database import Database
from sql.schema import downgrade
from tests.mirror.test_both import BOTH, both, link, tag, themes, unlink, unwritten  # noqa: F401 - a fixture
from tests.mirror.test_forward import FORWARD, HOPE, tags_of
from tests.mirror.test_life import ALL, triggers

BACK = ["mirror_back_apply", "mirror_back_drop", "mirror_back_later", "mirror_back_note", "mirror_back_settle"]
BACK += ["mirror_back_settle", *(f"segue_mirror_back_{kind}" for kind in ("delete", "drop", "gone", "insert", "move"))]
BACK += [f"segue_mirror_back_{kind}" for kind in ("remove", "rename", "update")]


def test_rollback_leaves_no_trace(songs, segue, connection, snapshot) -> None:
    """Without edits the application's tables are byte for byte what they were, and the triggers are gone."""
    songs(HOPE, key_type="bigint")
    before = snapshot()
    assert 0 == segue(*BOTH).code
    assert sorted(ALL + BACK) == triggers(connection)
    assert "mirror both" in segue("status").stdout
    assert 0 == segue("rollback").code
    assert ([], before) == (triggers(connection), snapshot())


def test_rollback_keeps_every_edit(both, segue) -> None:  # noqa: F811
    """What people did on either side is in the legacy arrays, and the rollback's own deletions are not."""
    link(both, 1, "Theme 2")
    link(both, 2, "Quite New")
    unlink(both, 3, "hope")
    both.execute("UPDATE tags SET name = 'Despair', normalized_name = 'despair' WHERE normalized_name = 'theme 0'")
    both.execute("UPDATE songs SET themes = '{Old Way}' WHERE id = 4")
    with psycopg.connect(both.info.dsn, autocommit=True) as other:
        other.execute("BEGIN; SELECT FROM songs WHERE id = 5 FOR UPDATE")
        unlink(both, 5, "hope")
        other.execute("COMMIT")
    assert [("5", "unlinked", "55P03")] == unwritten(both)
    due = [themes(both, song) for song in range(1, 31)]
    due[4] = ["Theme 2"]

    body = segue("rollback", "--dry-run", "--json").json
    kinds = Counter((item["object"], item["edit"], item["fate"]) for item in body["edits"]["listed"])
    assert {
        ("tag", "edited", "kept"): 1,
        ("link", "linked", "kept"): 2,
        ("link", "unlinked", "nothing"): 2,
    } == kinds
    assert 5 == body["edits"]["total"]
    said = {item["key"]: item["legacy"] for item in body["edits"]["listed"] if item["edit"] == "unlinked"}
    assert "is gone from the legacy column, too" == said[f"3/{tag(both, 'hope')}"]
    assert "still in the legacy column (55P03)" in str(said[f"5/{tag(both, 'hope')}"])
    forced = segue("rollback", "--dry-run", "--json", "--on-conflict", "force").json["edits"]["listed"]
    assert {"removed", "kept", "nothing"} == {item["fate"] for item in forced}
    assert "4 rows" not in segue("rollback", "--dry-run").stdout

    assert 7 == segue("rollback").code
    assert due == [themes(both, song) for song in range(1, 31)]
    assert ["Hope", "Theme 1", "Theme 2"] == due[0]
    assert ["Hope", "Despair"] == due[5]
    kept = both.execute("SELECT song_id, run_id FROM song_tags ORDER BY 1").fetchall()
    assert [(1, None), (2, None)] == kept
    assert ([], (0,)) == (triggers(both), both.execute("SELECT count(*) FROM segue.mirror_edits").fetchone())


def test_switched_there_and_back(songs, segue, connection) -> None:
    """Every direction leads to every other; each switch is an event, and what is off does nothing."""
    songs(HOPE, key_type="bigint")
    assert 0 == segue(*FORWARD).code
    link(connection, 1, "Before")
    assert 0 == segue(*BOTH).code
    link(connection, 2, "Meanwhile")
    assert 0 == segue("migrate").code
    assert sorted(ALL + BACK) == triggers(connection)
    assert 0 == segue(*FORWARD).code
    assert ALL == triggers(connection)
    link(connection, 3, "After")
    assert 0 == segue(*BOTH).code
    assert 0 == segue("migrate", "--mirror", "off").code
    assert [] == triggers(connection)
    connection.execute("DELETE FROM song_tags WHERE song_id = 4")
    found = [themes(connection, song) for song in (1, 2, 3, 4)]
    # What was linked before comes with the switch.
    due = [["Hope", "Theme 1", "Before"], ["Hope", "Theme 2", "Meanwhile"], ["Hope", "Theme 0", "After"]]
    assert [*due, ["Hope", "Theme 1"]] == found
    query = "SELECT detail ->> 'from', detail ->> 'to' FROM segue.events WHERE kind = 'mirror' ORDER BY id"
    switches = [("forward", "both"), ("both", "forward"), ("forward", "both"), ("both", "off")]
    assert switches == connection.execute(query).fetchall()[1:]


def test_missing_triggers_are_found(both, segue) -> None:  # noqa: F811
    """`doctor` names what is gone, disabled or not written; `migrate` makes what is missing."""
    both.execute("DROP TRIGGER segue_mirror_back_insert ON song_tags")
    assert 0 == segue("migrate").code
    assert sorted(ALL + BACK) == triggers(both)
    both.execute("ALTER TABLE tags DISABLE TRIGGER segue_mirror_back_rename")
    both.execute("ALTER TABLE songs ADD CONSTRAINT few CHECK (cardinality(themes) < 3)")
    with both.transaction():
        link(both, 1, "Too Many")
        unlink(both, 2, "hope")
    assert [("1", "linked", "23514")] == unwritten(both)
    assert ["Theme 2"] == themes(both, 2)
    said = sorted(f["message"] for f in segue("doctor", "--json").json["findings"] if f["check"] == "mirror")
    assert ["run 1: 1 edits of links are not in", "segue_mirror_back_rename on public"] == [line[:34] for line in said]
    both.execute("ALTER TABLE songs DROP CONSTRAINT few")
    assert 0 == segue("validate").code
    assert ([], ["Hope", "Theme 1", "Too Many"]) == (unwritten(both), themes(both, 1))


def test_what_is_refused(songs, segue, connection, database_url) -> None:
    """A role that may not write the column, or make the triggers, is told which GRANTs it lacks."""
    songs(HOPE, key_type="bigint")
    role = f"weak_{uuid.uuid4().hex[:8]}"
    connection.execute(f"CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA segue TO {role}")
    connection.execute(f"GRANT SELECT, TRIGGER, UPDATE (title) ON songs TO {role}")
    connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA segue TO {role}")
    connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON tags, song_tags, tag_synonyms TO {role}")
    try:
        said = segue(*BOTH, url=database_url.replace("postgres@", f"{role}@"))
    finally:
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert 5 == said.code
    for grant in ('GRANT UPDATE ("themes") ON "public"."songs"', 'GRANT TRIGGER ON "public"."song_tags"'):
        assert f'{grant} TO "{role}"' in said.stderr
    assert [] == triggers(connection)


def test_a_role_without_privileges_may_link(both, database_url) -> None:  # noqa: F811
    """A user of the new version needs no privilege on the songs or in Segue's schema."""
    role = f"app_{uuid.uuid4().hex[:8]}"
    both.execute(f"CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON song_tags, tags TO {role}")
    try:
        with psycopg.connect(database_url.replace("postgres@", f"{role}@"), autocommit=True) as user:
            user.execute("CREATE TEMP TABLE vocabulary (raw text); SET search_path = pg_temp, public")
            link(user, 1, "Unheard Of")
            unlink(user, 1, "hope")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                user.execute("SELECT segue.mirror_back_apply('{}', '{}', '{}')")
    finally:
        both.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert ["Theme 1", "Unheard Of"] == themes(both, 1)


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_cleanup_takes_the_mirror_along(direction, songs, segue, connection) -> None:
    """A cleanup drops every trigger with the column, its undo brings the column back, and the next run the mirror."""
    songs(HOPE, key_type="bigint")
    assert 0 == segue("migrate", "--mirror", direction).code
    before = connection.execute("SELECT id, themes FROM songs ORDER BY id").fetchall()
    said = segue("cleanup", "--json")
    assert 0 == said.code, said.stdout
    wanted = [name for name in ALL + (BACK if direction == "both" else []) if name.startswith("segue_")]
    assert sorted(wanted) == sorted(name.partition(" ")[0] for name in said.json["mirrors"])
    assert [] == [name for name in triggers(connection) if name.startswith("segue_")]
    link(connection, 1, "Afterwards")

    assert 0 == segue("rollback").code
    assert before == connection.execute("SELECT id, themes FROM songs ORDER BY id").fetchall()
    assert 0 == segue("migrate").code
    assert sorted(ALL + (BACK if direction == "both" else [])) == triggers(connection)
    link(connection, 2, "Again")
    connection.execute("UPDATE songs SET themes = themes || '{Joy}' WHERE id = 3")
    assert (direction == "both") == ("Again" in themes(connection, 2))
    assert {"hope", "theme 0", "joy"} == tags_of(connection, 3)


def test_a_downgrade_takes_it_away(both, database_url) -> None:  # noqa: F811
    """Taking the schema back drops the way back first; the forward mirror stays."""
    database = Database(database_url)
    downgrade(database, revision="0010")
    database.close()
    assert ALL == triggers(both)
    both.execute("DELETE FROM song_tags WHERE song_id = 1")
    both.execute("UPDATE songs SET themes = '{After}' WHERE id = 2")
    assert {"after"} == tags_of(both, 2)


CASES: list[Any] = [
    ("uuid", "varchar(60)[]", None, [str(uuid.UUID(int=n)) for n in range(3)]),
    ("text", "jsonb", None, ["a%s", "b{}", "c'd"]),
    ("integer", "text[]", ",", [1, 2, 3]),
    ("varchar(20)", "jsonb", ",", ["x", "y", "z"]),
]


@pytest.mark.parametrize(("key_type", "themes_type", "split", "keys"), CASES)
def test_other_shapes(key_type, themes_type, split, keys, songs, segue, connection) -> None:
    """Keys and columns of every type, odd names, and elements that are split."""
    is_json = themes_type == "jsonb"

    def stored(value: Any) -> Any:
        return psycopg.types.json.Jsonb(value) if is_json else value

    deep: list[Any] = [["joy", "Praise", []], {"a": "Joy"}, 7] if is_json else ["joy"]
    songs([(key, stored(["Hope", "Peace"])) for key in keys], key_type=key_type, themes_type=themes_type)
    connection.execute(
        'ALTER TABLE songs RENAME COLUMN themes TO "100% {odd} ""name"""; ALTER TABLE songs RENAME TO "So ng"'
    )
    options = ("--table", '"So ng"', "--column", '100% {odd} "name"', *(("--split", split) if split else ()))
    said = segue(*BOTH, *options)
    assert 0 == said.code, said.stderr
    query = 'UPDATE "So ng" SET "100%% {odd} ""name""" = %s WHERE id = %s'
    connection.execute(query, [stored(["Joy, Peace ,Hope", " JOY", "", None, *deep]), keys[0]])
    connection.execute(query, [None, keys[1]])

    for name in ("joy", "hope") if split else ("joy",):
        unlink(connection, keys[0], name)
    link(connection, keys[0], "New One")
    link(connection, keys[1], "New One")
    link(connection, keys[2], "A, B")

    first, *_ = connection.execute(
        'SELECT "100% {odd} ""name""", id FROM "So ng" WHERE id = %s'.replace("%", "%%").replace("%%s", "%s"), [keys[0]]
    ).fetchall()[0]
    kept = [["Praise", []], {"a": "Joy"}, 7] if is_json else []
    assert [" Peace " if split else "Joy, Peace ,Hope", "", None, *kept, "New One"] == first
    rest = dict(connection.execute('SELECT id::text, "100% {odd} ""name""" FROM "So ng"').fetchall())
    assert ["New One"] == rest[str(keys[1])]
    # With a split its name would be two tags: it is not written, and said.
    assert (["Hope", "Peace"] + ([] if split else ["A, B"])) == rest[str(keys[2])]
    assert (1 if split else 0) == len(unwritten(connection))
    assert 0 == segue("validate").code


def test_values_that_are_no_list(songs, segue, connection) -> None:
    """A JSON value that is no list, and an array of arrays, are left alone; the edit says so."""
    value = psycopg.types.json.Jsonb
    songs([(1, value({"a": 1})), (2, value("Hope")), (3, value(None))], key_type="bigint", themes_type="jsonb")
    assert 4 == segue(*BOTH).code
    for song in (1, 2, 3):
        link(connection, song, "Joy")
    assert [{"a": 1}, "Hope", ["Joy"]] == [themes(connection, song) for song in (1, 2, 3)]
    assert [("1", "linked"), ("2", "linked")] == [(song, edit) for song, edit, _ in unwritten(connection)]
