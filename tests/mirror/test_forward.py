"""A mirror carries users' writes over in their own transactions, and no write of theirs fails because of it."""

import uuid
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tags.normalise import clean, normalise, problem
from tests.properties.themes_model import TEXTS, THEMES, Model
from tests.tags.test_normalise import characters

HOPE = [(number, ["Hope", f"Theme {number % 3}"]) for number in range(1, 31)]
FORWARD = ("migrate", "--mirror", "forward")


def tags_of(connection: psycopg.Connection[Any], song: object) -> set[str]:
    """Return the normalised names of a song's tags."""
    query = "SELECT t.normalized_name FROM song_tags l JOIN tags t ON t.id = l.tag_id WHERE l.song_id::text = %s::text"
    return {name for (name,) in connection.execute(query, [song]).fetchall()}


def late(connection: psycopg.Connection[Any]) -> list[Any]:
    """Return the songs that are not up to date, with the reason."""
    return connection.execute("SELECT key, reason FROM segue.mirror_late ORDER BY key").fetchall()


@pytest.fixture
def mirrored(songs, segue, connection) -> psycopg.Connection[Any]:
    """30 songs, migrated, with a mirror."""
    songs(HOPE, key_type="bigint")
    assert 0 == segue(*FORWARD).code
    return connection


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(themes=st.none() | st.lists(st.none() | TEXTS | st.text(characters(), max_size=60), max_size=6))
def test_resolution_is_the_python_one(themes: Any, mirrored) -> None:
    """What the database makes of any text is what Python's normalisation and the batch path's rules make of it."""
    mirrored.execute("UPDATE songs SET themes = %s WHERE id = 1", [themes])
    model = Model({1: themes})

    assert {tag for _, tag in model.links()} == tags_of(mirrored, 1)
    odd = sum(model.tag_of(text) is None for text in themes or ())
    query = "SELECT coalesce(sum(elements), 0)::bigint FROM segue.quarantine WHERE key = '1'"
    assert (odd,) == mirrored.execute(query).fetchone()
    words = mirrored.execute(
        "SELECT raw, normalized, outcome, reason FROM segue.vocabulary WHERE raw = ANY(%s)", [themes or []]
    ).fetchall()
    assert {text for text in themes or () if text is not None} == {raw for raw, *_ in words}
    for raw, normalized, outcome, reason in words:
        due = "blank" if not normalise(raw) else "quarantine" if problem(raw) else "tag"
        assert (normalise(raw), due, problem(raw) if due == "quarantine" else None) == (normalized, outcome, reason)
    named = mirrored.execute(
        "SELECT name FROM tags WHERE normalized_name = ANY(%s)", [[normalise(t or "") for t in themes or []]]
    )
    assert all(clean(name) == name for (name,) in named.fetchall())
    assert [] == late(mirrored)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=st.lists(THEMES, min_size=1, max_size=8))
def test_mirror_and_batch_path_make_the_same(rows: Any, mirrored, segue) -> None:
    """Songs written under the mirror are, when the batch path looks at all of them again, as it would have them."""
    mirrored.execute("DELETE FROM songs WHERE id > 100")
    for number, themes in enumerate(rows):
        mirrored.execute("INSERT INTO songs VALUES (%s, 't', %s)", [101 + number, themes])

    assert 0 == segue("validate").code
    body = segue("migrate", "--json").json
    assert (0, True) == (body["caught_up"], body["validated_equal"])
    model = Model({**dict(HOPE), **dict(enumerate(rows, 101))})
    assert model.elements() == body["elements"]


def test_every_kind_of_write(mirrored) -> None:
    """INSERT, UPDATE, a changed key, DELETE and TRUNCATE; and a transaction shows its tags when it commits."""
    mirrored.execute("INSERT INTO songs VALUES (50, 't', '{Grace, xmas, Brand New}'), (51, 't', NULL)")
    assert ({"grace", "christmas", "brand new"}, set()) == (tags_of(mirrored, 50), tags_of(mirrored, 51))
    mirrored.execute("UPDATE songs SET themes = array_remove(themes, 'Grace') WHERE id = 50")
    assert {"christmas", "brand new"} == tags_of(mirrored, 50)
    mirrored.execute("UPDATE songs SET id = 52, themes = '{Praise}' WHERE id = 51")
    assert (set(), {"praise"}) == (tags_of(mirrored, 51), tags_of(mirrored, 52))
    with mirrored.transaction():
        mirrored.execute("UPDATE songs SET themes = '{Joy}' WHERE id < 11")
        mirrored.execute("UPDATE songs SET themes = themes || '{Peace}' WHERE id < 11")
    assert {"joy", "peace"} == tags_of(mirrored, 7)
    mirrored.execute("UPDATE songs SET themes = %s WHERE id = 8", [["x" * 51, "Joy"]])
    assert [("8", "x" * 51)] == mirrored.execute("SELECT key, payload FROM segue.quarantine").fetchall()
    mirrored.execute("DELETE FROM songs WHERE id IN (8, 52)")
    assert (set(), []) == (tags_of(mirrored, 52), mirrored.execute("SELECT 1 FROM segue.quarantine").fetchall())
    mirrored.execute("TRUNCATE songs CASCADE")
    assert (0,) == mirrored.execute("SELECT count(*) FROM song_tags").fetchone()
    assert [] == late(mirrored)


def test_an_undone_write_leaves_nothing(mirrored, snapshot) -> None:
    """A rolled back transaction, or savepoint, changes no tag."""
    before = snapshot("public", "segue")
    with mirrored.transaction(force_rollback=True):
        mirrored.execute("UPDATE songs SET themes = '{Never Was}'")
    with mirrored.transaction():
        with mirrored.transaction(force_rollback=True):
            mirrored.execute("DELETE FROM songs")
        mirrored.execute("UPDATE songs SET title = title WHERE id = 1")
    assert before == snapshot("public", "segue")


def test_links_of_people_stay(mirrored) -> None:
    """A link that a person made is not the mirror's, whatever the legacy array says."""
    mirrored.execute("INSERT INTO song_tags (song_id, tag_id) SELECT 1, id FROM tags WHERE normalized_name = 'theme 0'")
    mirrored.execute("UPDATE songs SET themes = '{}' WHERE id = 1")
    assert {"theme 0"} == tags_of(mirrored, 1)


def test_a_tag_that_is_gone_is_resolved_anew(mirrored) -> None:
    """Somebody deleted the tag of a text that a user writes again."""
    mirrored.execute("DELETE FROM tags WHERE normalized_name = 'hope'")
    mirrored.execute("UPDATE songs SET themes = themes || '{Joy}' WHERE id = 4")
    assert {"hope", "joy", "theme 1"} == tags_of(mirrored, 4)


def test_known_texts_in_every_number_and_spelling(mirrored) -> None:
    """One song or several, a text twice, in other spellings, blank: the same as for texts that nobody knows."""
    mirrored.execute("UPDATE songs SET themes = '{Hope, hope, HOPE, \"  \", Theme 1}' WHERE id = 1")
    mirrored.execute("UPDATE songs SET themes = '{Theme 1, hope, Hope}' WHERE id IN (1, 2)")
    assert {"hope", "theme 1"} == tags_of(mirrored, 1) == tags_of(mirrored, 2)
    mirrored.execute("UPDATE songs SET themes = '{HOPE, hope, \"  \", NULL}' WHERE id = 1")
    mirrored.execute("UPDATE songs SET themes = '{}' WHERE id = 2")
    assert ({"hope"}, set()) == (tags_of(mirrored, 1), tags_of(mirrored, 2))
    mirrored.execute("UPDATE songs SET themes = '{Hope}' WHERE id = 2")
    assert ({"hope"}, []) == (tags_of(mirrored, 2), late(mirrored))


def test_a_small_write_reads_no_whole_table(mirrored) -> None:
    """Planned while tables are small, as they are here, a session's statements must stay with their indexes."""
    with mirrored.transaction():
        mirrored.execute("UPDATE songs SET themes = '{Hope, Theme 2}' WHERE id = 1")
        mirrored.execute("SET CONSTRAINTS ALL IMMEDIATE")
        assert {"hope", "theme 2"} == tags_of(mirrored, 1)
        scanned = mirrored.execute(
            "SELECT relname FROM pg_stat_xact_all_tables WHERE schemaname = 'segue' AND seq_scan > 0"
        ).fetchall()
    assert [] == scanned


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_old_snapshots_are_late(level, mirrored, segue) -> None:
    """Under a snapshot others' tags cannot be seen: such a song is noted, and brought up to date by the next command."""
    mirrored.execute(f"BEGIN ISOLATION LEVEL {level}")
    mirrored.execute("UPDATE songs SET themes = '{Joy}' WHERE id = 3")
    mirrored.execute("COMMIT")
    assert ({"hope", "theme 0"}, ["3"]) == (tags_of(mirrored, 3), [key for key, _ in late(mirrored)])
    said = [f for f in segue("doctor", "--json").json["findings"] if f["check"] == "mirror"]
    assert [("warning", "segue validate 1")] == [(f["level"], f["fix"]) for f in said]

    assert 0 == segue("validate").code
    assert ({"joy"}, []) == (tags_of(mirrored, 3), late(mirrored))


def test_a_write_never_fails_because_of_the_mirror(mirrored, segue) -> None:
    """Where the target refuses, the user's transaction goes through and the song is late."""
    mirrored.execute("ALTER TABLE song_tags ADD CONSTRAINT nothing_new CHECK (false) NOT VALID")
    with mirrored.transaction():
        mirrored.execute("UPDATE songs SET themes = '{Joy}' WHERE id = 3")
        mirrored.execute("DELETE FROM songs WHERE id = 5")
    assert [("3", "23514"), ("5", "23514")] == late(mirrored)
    mirrored.execute("ALTER TABLE song_tags DROP CONSTRAINT nothing_new")

    assert 0 == segue("migrate").code
    assert ({"joy"}, []) == (tags_of(mirrored, 3), late(mirrored))


def test_a_role_without_privileges_may_write(mirrored, database_url) -> None:
    """A user of the application needs nothing in Segue's schema, and cannot lead its functions astray."""
    role = f"app_{uuid.uuid4().hex[:8]}"
    mirrored.execute(f"CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON songs TO {role}")
    try:
        with psycopg.connect(database_url.replace("postgres@", f"{role}@"), autocommit=True) as user:
            user.execute("CREATE TEMP TABLE vocabulary (raw text); SET search_path = pg_temp, public")
            user.execute("UPDATE public.songs SET themes = '{Joy, Unheard Of}' WHERE id = 3")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                user.execute("SELECT segue.mirror_resolve('{x}')")
    finally:
        mirrored.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert {"joy", "unheard of"} == tags_of(mirrored, 3)


@pytest.mark.parametrize(
    ("key_type", "themes_type", "split", "keys"),
    [
        ("uuid", "varchar(60)[]", None, [str(uuid.UUID(int=n)) for n in range(3)]),
        ("text", "jsonb", None, ["a%s", "b{}", "c'd"]),
        ("integer", "text[]", ",", [1, 2, 3]),
        ("varchar(20)", "jsonb", ",", ["x", "y", "z"]),
    ],
)
def test_other_shapes(key_type, themes_type, split, keys, songs, segue, connection) -> None:
    """Keys and columns of every type, odd names, and elements that are split."""
    is_json = themes_type == "jsonb"
    first: Any = psycopg.types.json.Jsonb(["Hope", ["deep"], 7]) if is_json else ["Hope", "deep"]
    songs([(key, first) for key in keys], key_type=key_type, themes_type=themes_type)
    connection.execute(
        'ALTER TABLE songs RENAME COLUMN themes TO "100% {odd} ""name"""; ALTER TABLE songs RENAME TO "So ng"'
    )
    options = ("--table", '"So ng"', "--column", '100% {odd} "name"', *(("--split", split) if split else ()))
    assert segue(*FORWARD, *options).code in (0, 4)

    after: Any = psycopg.types.json.Jsonb(["Joy,Peace", {"a": 1}, None]) if is_json else ["Joy,Peace", ""]
    connection.execute('UPDATE "So ng" SET "100%% {odd} ""name""" = %s WHERE id = %s', [after, keys[0]])

    assert ({"joy", "peace"} if split else {"joy,peace"}) == tags_of(connection, keys[0])
    assert [] == late(connection)
    assert 0 == segue("validate").code
