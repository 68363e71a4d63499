"""Dry runs: everything happens, nothing stays, and the numbers are those of the real run."""

import uuid

import pytest
from psycopg.types.json import Jsonb

A, B, C, D = (str(uuid.UUID(int=number)) for number in (1, 2, 3, 4))
SONGS = [(A, ["Xmas", "Hope", None]), (B, ["Hope", "HOPE", "Hopee"]), (C, ["x" * 51, "Grace"]), (D, [])]


@pytest.mark.system
@pytest.mark.parametrize("column", ["text[]", "varchar[]", "varchar(60)[]", "jsonb"])
@pytest.mark.parametrize("key", ["uuid", "text"])
def test_leaves_no_trace(segue, songs, snapshot, column, key) -> None:
    """Both schemas, their sequences included, are the same before and after, also chunk by chunk."""
    wrap = Jsonb if column == "jsonb" else list
    songs([(song, wrap(themes)) for song, themes in SONGS], themes_type=column, key_type=key)
    before = snapshot("public", "segue")

    for options in ((), ("--batch-size", "1"), ("--batch-size", "2", "--validate"), ("--load", "live")):
        assert 0 == segue("migrate", "--dry-run", *options).code
        assert before == snapshot("public", "segue")


@pytest.mark.system
def test_numbers_are_those_of_the_real_run(segue, songs, connection) -> None:
    """Rows, elements and what is created are what the real run then makes; only the dry run has vocabulary and ETA."""
    songs(SONGS)
    connection.execute("INSERT INTO tags (name, normalized_name) VALUES ('Grace', 'grace')")
    connection.execute("INSERT INTO song_tags (song_id, tag_id) SELECT %s, id FROM tags", [C])

    dry, real = segue("migrate", "-d", "--json").json, segue("migrate", "--json").json

    for name in ("rows", "elements", "created"):
        assert real[name] == dry[name]
    assert real["digest"]["expected"].partition(":")[0] == dry["digest"]["expected"].partition(":")[0]
    assert (True, None, "complete") == (dry["dry_run"], dry["run_id"], dry["status"])
    assert {"exact": 3, "synonym": 1, "fuzzy": 1, "new": 1} == {
        k: dry["vocabulary"][k] for k in ("exact", "synonym", "fuzzy", "new")
    }
    assert dry["eta_seconds"] > 0
    assert [(C, "longer than 50 characters")] == [(item["key"], item["error"]) for item in dry["errors"]]


@pytest.mark.parametrize("load", ["auto", "live"])
def test_beside_an_unfinished_run(segue, songs, snapshot, load) -> None:
    """An unfinished run is neither resumed nor touched, and ends as if nothing had been."""
    songs(SONGS)
    assert 6 == segue("migrate", "--load", load, "--batch-size", "1", "--max-chunks", "2").code
    before = snapshot("public", "segue")

    dry = segue("migrate", "--dry-run", "--json", "--load", load)

    assert (0, before) == (dry.code, snapshot("public", "segue"))
    real = segue("migrate", "--load", load, "--json")
    assert (4, dry.json["elements"]) == (real.code, real.json["elements"])


def test_after_a_complete_run(segue, songs, snapshot) -> None:
    """On a complete run nothing would be created."""
    songs(SONGS)
    segue("migrate")
    before = snapshot("public", "segue")

    dry = segue("migrate", "--dry-run", "--json")

    assert {"tags": 0, "tag_synonyms": 0, "song_tags": 0} == dry.json["created"]
    assert before == snapshot("public", "segue")


@pytest.mark.parametrize(("chunks", "code", "rows"), [("0", 6, 0), ("2", 6, 2), ("5", 0, 4)])
def test_max_chunks(segue, songs, snapshot, chunks, code, rows) -> None:
    """`--max-chunks` stops a dry run early with 6; it tells how far it saw."""
    songs(SONGS)
    before = snapshot("public", "segue")

    result = segue("migrate", "--dry-run", "--json", "--batch-size", "1", "--max-chunks", chunks)

    assert (code, rows, 4) == (result.code, result.json["rows"]["processed"], result.json["rows"]["total"])
    assert before == snapshot("public", "segue")


def test_empty_key_text(segue, songs) -> None:
    """A chunk that ends at the empty text as key is followed by the next one."""
    songs([("", ["Hope"]), ("b", ["Grace"])], key_type="text")

    assert 2 == segue("migrate", "--dry-run", "--json", "--batch-size", "1").json["rows"]["processed"]


@pytest.mark.parametrize(
    ("options", "code"),
    [(("--table", "nowhere"), 2), (("--column", "title"), 5), (("--key", "title"), 5), (("--split", " "), 2)],
)
def test_refusals(segue, songs, snapshot, options, code) -> None:
    """What the real run would refuse, the dry run refuses with the same exit code."""
    songs(SONGS)
    before = snapshot("public", "segue")

    assert [code, code] == [segue("migrate", "--dry-run", *options).code, segue("migrate", *options).code]
    assert before == snapshot("public", "segue")


def test_empty_table(segue, songs, snapshot) -> None:
    """A source without rows is rehearsed to its end."""
    songs([])
    before = snapshot("public", "segue")

    result = segue("migrate", "--dry-run", "--json")

    assert (0, 0, "complete") == (result.code, result.json["rows"]["total"], result.json["status"])
    assert before == snapshot("public", "segue")
