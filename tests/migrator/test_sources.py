"""Every shape of legacy source: column types, key types, names and schemas, each migrated, proven and rolled back."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))

RoundTrip = Callable[..., dict[str, Any]]


@pytest.fixture
def round_trip(segue, links, snapshot) -> RoundTrip:
    """Migrate, compare the links with those expected, validate, roll back; the schema must be as it was."""

    def run(expected: list[tuple[str, str]], *options: str, code: int = 0, schemas: tuple[str, ...] = ("public",)):
        before = snapshot(*schemas)
        dry = segue("migrate", "--dry-run", "--json", *options)
        assert (0, before) == (dry.code, snapshot(*schemas)), dry
        result = segue("migrate", "--json", *options)
        assert code == result.code, result
        assert sorted(expected) == sorted(links())
        assert dry.json["elements"] == result.json["elements"]
        assert 0 == segue("validate").code
        assert 0 == segue("rollback").code
        assert before == snapshot(*schemas)
        return result.json

    return run


@pytest.mark.system
@pytest.mark.parametrize("column", ["text[]", "varchar[]", "varchar(40)[]", 'text[] COLLATE "C"', "text[][]"])
def test_arrays_of_texts(songs, round_trip, column) -> None:
    """Arrays of any text type become links, whatever their length, NULL elements and repetitions."""
    many = [f"Theme {number}" for number in range(120)]
    songs([(A, [None, "Hope", "hope", ""]), (B, many), (C, [])], themes_type=column)

    report = round_trip([(A, "hope"), *((B, name.lower()) for name in many)])

    assert {"total": 124, "linked": 121, "merged": 1, "blank": 2, "quarantined": 0} == report["elements"]


def test_odd_arrays(songs, connection, round_trip) -> None:
    """Arrays of two dimensions, and arrays whose first index is not 1, count each element once."""
    songs([])
    connection.execute(
        f"INSERT INTO songs VALUES ('{A}', 't', '{{{{a,b}},{{c,a}}}}'), ('{B}', 't', '[5:7]={{a,b,NULL}}')"
    )

    report = round_trip([(A, "a"), (A, "b"), (A, "c"), (B, "a"), (B, "b")])

    assert {"total": 7, "linked": 5, "merged": 1, "blank": 1, "quarantined": 0} == report["elements"]


@pytest.mark.system
def test_json_columns(songs, segue, round_trip) -> None:
    """Strings at any depth become links; whatever is not text goes to quarantine, one element each."""
    values = {
        "nested": (["Hope", ["Grace", ["Hope"]], None, []], ["hope", "grace"], 0),
        "not text": ([1, 1.5, True, {"a": "Hope"}, "Hope"], ["hope"], 4),
        "null": (None, [], 0),
        "a text": ("Hope", [], 1),
        "a number": (7, [], 1),
        "an object": ({"themes": ["Hope"]}, [], 1),
        "empty": ([], [], 0),
        "odd": (['"', "a,b", "\\", " "], ['"', "a,b", "\\"], 0),
    }
    keys = {name: str(uuid.UUID(int=number)) for number, name in enumerate(values, 1)}
    songs([(keys[name], Jsonb(value)) for name, (value, _, _) in values.items()], themes_type="jsonb")
    songs([(str(uuid.UUID(int=99)), None)])

    due = [(keys[name], tag) for name, (_, tags, _) in values.items() for tag in tags]
    report = round_trip(due, code=4)

    assert sum(kept for _, _, kept in values.values()) == report["elements"]["quarantined"]
    assert len(values) + 1 == report["rows"]["processed"]


@pytest.mark.parametrize(
    ("key_type", "keys"),
    [
        ("uuid", [A, B, C]),
        ("bigint", ["-5", "0", str(2**62)]),
        ("integer", ["-5", "0", "7"]),
        ("smallint", ["-5", "0", "7"]),
        ("text", ["it's", 'a "b", c', "é🎵\n"]),
        ("varchar(20)", ["", "%s", "{x}"]),
    ],
)
def test_key_types(songs, connection, round_trip, key_type, keys) -> None:
    """Keys of every supported type carry the walk; rollback gives the empty table of links its own type back."""
    songs([(key, ["Hope", f"Theme {number}"]) for number, key in enumerate(keys)], key_type=key_type)

    round_trip([(key, tag) for n, key in enumerate(keys) for tag in ("hope", f"theme {n}")], "--batch-size", "1")


@pytest.mark.system
@pytest.mark.parametrize("collation", ["C", "en-x-icu", "nocase"])
def test_collated_keys_in_partitions(segue, songs, connection, collation) -> None:
    """Text keys in an order that is not the table of links' own: partitions and their proof agree on the ranges."""
    try:
        connection.execute(
            "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
    except psycopg.errors.FeatureNotSupported:
        if collation != "C":
            pytest.skip("this server is built without ICU")
    songs([], key_type="text", collation=collation)
    connection.execute(
        "INSERT INTO songs SELECT (ARRAY['Key ', 'key-', 'kéy_'])[1 + n % 3] || n, '', ARRAY['Hope', 'Theme ' || n % 9]"
        " FROM generate_series(1, 45000) AS n"
    )

    result = segue("migrate", "--json", "--workers", "2", "--validate")

    assert (0, 90_000) == (result.code, result.json["elements"]["linked"]), result
    connection.execute("DELETE FROM song_tags WHERE song_id = 'kéy_20000'")
    found = segue("validate", "--json").json["mismatches"]
    assert {"kéy_20000"} == {item["key"] for item in found if not item["key"].startswith("tag ")}
    assert 0 == segue("validate", "--repair").code
    assert 0 == segue("rollback").code


ODD_NAMES = ['my "odd" table', "SONGS", "a.b", "100% {songs}", "sóngs 🎵", "select", "it's"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(connection, round_trip, name) -> None:
    """Tables, keys and columns may have any name that PostgreSQL allows."""
    table, key, column = (sql.Identifier(f"{name}{suffix}") for suffix in ("", " k", " c"))
    connection.execute(sql.SQL("CREATE TABLE {} ({} bigint PRIMARY KEY, {} text[])").format(table, key, column))
    connection.execute(sql.SQL("INSERT INTO {} VALUES (1, '{{Hope,Grace}}'), (2, NULL)").format(table))
    quoted = '"{}"'.format(name.replace('"', '""'))

    round_trip([("1", "grace"), ("1", "hope")], "--table", quoted, "--key", f"{name} k", "--column", f"{name} c")


@pytest.mark.parametrize("name", ["other.songs", '"o.t h%er".songs', 'other."S.ongs"'])
def test_source_in_another_schema(connection, round_trip, name) -> None:
    """A qualified --table is read where it is; that schema stays as it was."""
    schema = name.rpartition(".songs")[0] or "other"
    quoted = name
    connection.execute(f"CREATE SCHEMA {schema}")
    connection.execute(f"CREATE TABLE {quoted} (id uuid PRIMARY KEY, themes text[])".replace("%", "%"))
    connection.execute(f"INSERT INTO {quoted} VALUES ('{A}', '{{Hope}}')")

    round_trip([(A, "hope")], "--table", name, schemas=("public", schema.strip('"')))


def test_application_schema_of_its_own(segue, bare_url) -> None:
    """`--schema` has tags, links and songs in that schema; public stays empty."""
    env = {"SEGUE_SCHEMA": "App 1"}
    with psycopg.connect(bare_url, autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "App 1"')
        connection.execute('CREATE TABLE "App 1".songs (id uuid PRIMARY KEY, themes text[])')
        connection.execute(f"INSERT INTO \"App 1\".songs VALUES ('{A}', '{{Hope}}')")
        assert 0 == segue("db", "upgrade", url=bare_url, env=env).code
        assert 0 == segue("migrate", url=bare_url, env=env).code
        assert [(1,)] == connection.execute('SELECT count(*) FROM "App 1".song_tags').fetchall()
        assert 0 == segue("validate", url=bare_url, env=env).code
        assert 0 == segue("rollback", url=bare_url, env=env).code
        assert [(0,)] == connection.execute('SELECT count(*) FROM "App 1".song_tags').fetchall()
        assert [] == connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()


@pytest.mark.parametrize("column", ["text[]", "jsonb"])
def test_split(songs, round_trip, column) -> None:
    """`--split ,` makes one element of each part; an element without parts is one blank element."""
    wrap = Jsonb if column == "jsonb" else list
    songs([(A, wrap(["Hope, Grace,,hope", "", None])), (B, wrap(["a%b;c"]))], themes_type=column)

    report = round_trip([(A, "grace"), (A, "hope"), (B, "a%b;c")], "--split", ",")

    assert {"total": 7, "linked": 3, "merged": 1, "blank": 3, "quarantined": 0} == report["elements"]


def test_without_split_a_comma_is_a_letter(songs, round_trip) -> None:
    """Nothing is split unless it is asked for."""
    songs([(A, ["Hope, Grace"])])
    round_trip([(A, "hope, grace")])


@pytest.mark.parametrize("column", ["text", "integer[]", "json", "bytea"])
def test_other_columns_are_refused(segue, songs, snapshot, column) -> None:
    """A column that is no list of texts is refused with 5 before anything is written."""
    songs([], themes_type=column)
    before = snapshot("public", "segue")

    assert 5 == segue("migrate").code
    assert before == snapshot("public", "segue")


def test_json_report_is_one_object_on_the_last_line(segue, songs) -> None:
    """`--json` prints its object last on stdout, whatever else is said."""
    songs([(A, ["Hope"])])
    assert "complete" == json.loads(segue("migrate", "--json").stdout.splitlines()[-1])["status"]
