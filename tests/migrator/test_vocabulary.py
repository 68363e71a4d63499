"""The vocabulary: who wins, how a tag is spelled, and what an admin's file may say."""

import uuid

import pytest

A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))


@pytest.fixture
def imports(segue, tmp_path):
    """Import lines (text or bytes) under the usual header; returns the command's result."""

    def run(*lines: str, header: str = "raw,canonical,category,how,count", raw: bytes | None = None):
        file = tmp_path / "words.csv"
        file.write_bytes(raw if raw is not None else "\n".join([header, *lines, ""]).encode())
        return segue("vocabulary", "import", str(file), "--json")

    return run


def decisions(connection) -> list[tuple[str, str]]:
    """Return what admins have decided."""
    return connection.execute("SELECT normalized, canonical FROM segue.decisions ORDER BY 1").fetchall()


@pytest.mark.system
def test_decision_before_name_before_synonym_before_new(segue, songs, links, connection, imports) -> None:
    """An admin's decision wins over a tag of that name, that over a synonym, that over a tag of its own."""
    songs([(A, ["Grace", "Xmas", "Noel", "Gladness", "Brand new"])])
    connection.execute("INSERT INTO tags (name, normalized_name) VALUES ('Xmas', 'xmas'), ('Grace', 'grace')")
    connection.execute(
        "INSERT INTO tag_synonyms (synonym, canonical_tag_id) SELECT 'GLADNESS', id FROM tags WHERE name = 'Xmas'"
    )
    assert {"decided": 1, "withdrawn": 0, "unchanged": 0} == imports("grace,Mercy,,,").json

    result = segue("migrate", "--json")

    assert 0 == result.code
    assert [(A, name) for name in ("brand new", "christmas", "mercy", "xmas")] == links()
    assert [(1, 1)] == connection.execute(
        "SELECT count(*) FILTER (WHERE name = 'Xmas'), count(*) FILTER (WHERE name = 'Grace') FROM tags"
    ).fetchall()
    assert 0 == segue("validate").code


def test_display_name_is_the_most_frequent_spelling(segue, songs, connection) -> None:
    """A new tag is called what most elements call it; a standard tag what the starter vocabulary calls it."""
    songs([(A, ["pOp", "POP", "hOPE"]), (B, ["Pop", " Pop "]), (C, ["POP"]), (str(uuid.UUID(int=4)), ["Pop"])])
    segue("migrate")

    assert [("Hope",), ("Pop",)] == connection.execute("SELECT name FROM tags ORDER BY 1").fetchall()


@pytest.mark.system
def test_likeness_merges_nothing(segue, songs, links) -> None:
    """Words that merely look alike stay apart, and suggested misspellings are only suggested."""
    words = ["pop", "hope", "house", "horse", "classical", "classic", "chritmas"]
    songs([(A, words), (B, ["Christmas"])])

    found = segue("vocabulary", "suggest", "--json").json["suggestions"]
    segue("migrate")

    assert [("chritmas", "Christmas")] == [
        (s["normalized"], s["canonical"]) for s in found if s["normalized"] == "chritmas"
    ]
    assert sorted([*((A, word) for word in words), (B, "christmas")]) == links()


def test_export_and_import_unchanged_is_a_no_op(segue, songs, connection, snapshot, tmp_path) -> None:
    """The exported file, whatever the texts hold, imports without a change, before and after a run."""
    texts = [
        "Xmas",
        "a,b",
        'say "x"',
        "line\nbreak",
        "return\rhere",
        "tab\there",
        "x" * 200_000,
        "bad\x07",
        "",
        " ",
        "=1+1",
        "é",
    ]
    songs([(A, texts), (B, ["xmas ", None])])
    file = str(tmp_path / "words.csv")
    for _ in range(2):
        before = snapshot("public", "segue")
        assert 0 == segue("vocabulary", "export", file).code
        result = segue("vocabulary", "import", file, "--json")
        assert (0, 0, 0) == (result.code, result.json["decided"], result.json["withdrawn"]), result
        assert before == snapshot("public", "segue")
        segue("migrate")


@pytest.mark.system
def test_edited_file_maps(segue, songs, links, tmp_path) -> None:
    """A changed canonical column decides, also about a text that is no name by itself; undoing it withdraws."""
    songs([(A, ["Chritmas", "x" * 60, "Hope"])])
    file = tmp_path / "words.csv"
    segue("vocabulary", "export", str(file))
    text = file.read_text("utf-8")
    edited = text.replace("Chritmas,Chritmas", "Chritmas,Christmas").replace("x" * 60 + ",", "x" * 60 + ",Xylophone")
    file.write_text(edited, "utf-8")
    assert 2 == segue("vocabulary", "import", str(file), "--json").json["decided"]
    assert 2 == segue("vocabulary", "import", str(file), "--json").json["decided"]

    assert 0 == segue("migrate").code
    assert [(A, "christmas"), (A, "hope"), (A, "xylophone")] == links()
    assert 0 == segue("validate").code


def test_decisions_outlive_the_run_that_carried_them_out(segue, songs, connection, links, tmp_path) -> None:
    """Exported and imported after a run, a decision stays one, so that it still holds after a rollback."""
    songs([(A, ["Pop"])])
    file = tmp_path / "words.csv"
    file.write_text("raw,canonical\npop,Grace\n")
    segue("vocabulary", "import", str(file))
    segue("migrate")
    segue("vocabulary", "export", str(file))
    assert 0 == segue("vocabulary", "import", str(file), "--json").json["withdrawn"]

    assert [("pop", "Grace")] == decisions(connection)
    segue("rollback")
    segue("migrate")
    assert [(A, "grace")] == links()


WRONG = {
    "cycle": (["pop,Rock", "rock,Pop"], "line 2", "cycle"),
    "chain": (["pop,Rock", "rock,Hope"], "line 2", "chain"),
    "chain to a synonym": (["pop,Xmas"], "line 2", "chain"),
    "duplicate": (["pop,Grace", "ok,Fine", " POP ,Hope"], "lines 2 and 4", "same text"),
    "long name": (["ok,Fine", "pop," + "n" * 51], "line 3", "longer than 50"),
    "control character": (["pop,Bad\x07name"], "line 2", "control character"),
    "blank text": ([" ,Hope"], "line 2", "blank"),
    "long text": (["r" * 1001 + ",Hope"], "line 2", "longer than 1000"),
    "category": (["pop,Grace,genre"], "line 2", "genre"),
    "too few columns": (["ok,Fine", "pop"], "line 3", "number of columns"),
    "too many columns": (["pop,Grace,theme,new,1,2"], "line 2", "number of columns"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_lines_are_named_and_nothing_is_applied(connection, imports, case) -> None:
    """Every wrong line is named by number with its reason, exit 1, and not even the right lines are taken."""
    lines, where, why = WRONG[case]

    result = imports(*lines, "right,Good")

    assert (1, []) == (result.code, decisions(connection)), result
    assert where in result.stderr
    assert why in result.stderr


def test_files_that_are_no_vocabulary(connection, imports, segue) -> None:
    """A missing column, another encoding, a broken quote or no file at all: said with the line."""
    header = b"raw,canonical\n"
    cases = {
        "line 1: column 'canonical' is missing": imports("pop,Hope", header="raw,kanonical"),
        "line 4": imports(raw=header + b"a,Fine\nb,Fine\nc\xe9,Hope\nd,Fine\n"),
        "line 3": imports(raw=header + b'a,Fine\n"b"x,Hope\nd,Fine\n'),
        "line 1": imports(raw=b""),
    }

    for said, result in cases.items():
        assert 1 == result.code
        assert said in result.stderr
    assert 2 == segue("vocabulary", "import", "/nowhere/words.csv").code
    assert [] == decisions(connection)


def test_import_waits_for_an_unfinished_run(segue, songs, connection, imports) -> None:
    """A run keeps the vocabulary that it started with: import is refused with 5 until it is finished."""
    songs([(A, ["Pop"]), (B, ["Hope"])])
    segue("migrate", "--batch-size", "1", "--max-chunks", "1")
    assert (5, []) == (imports("pop,Grace").code, decisions(connection))

    segue("migrate")
    assert (0, [("pop", "Grace")]) == (imports("pop,Grace").code, decisions(connection))


@pytest.mark.system
@pytest.mark.parametrize("load", ["auto", "live"])
def test_texts_that_appear_during_a_run(segue, songs, links, load) -> None:
    """Songs added while a run is paused bring texts that nobody planned for; they are resolved when met."""
    songs([(A, ["Hope"]), (B, ["Hope"])])
    assert 6 == segue("migrate", "--load", load, "--batch-size", "1", "--max-chunks", "1").code
    songs([(C, ["Never seen", "NEVER  SEEN", "Xmas", "z" * 51]), (str(uuid.UUID(int=0)), ["Earlier key"])])

    assert 4 == segue("migrate", "--load", load).code
    due = [(A, "hope"), (B, "hope"), (C, "christmas"), (C, "never seen"), (str(uuid.UUID(int=0)), "earlier key")]
    assert sorted(due) == links()
    assert 0 == segue("validate").code


def test_tag_id_that_is_taken(segue, songs, links, connection, snapshot) -> None:
    """A tag that happens to have the id which a new tag would get is left alone; the new one gets another."""
    songs([(A, ["Pop"])])
    connection.execute("INSERT INTO tags (id, name, normalized_name) VALUES (segue.tag_id('pop'), 'Other', 'other')")
    before = snapshot()

    assert 0 == segue("migrate").code
    assert [(A, "pop")] == links()
    assert 0 == segue("validate").code
    assert 0 == segue("rollback").code
    assert before == snapshot()


def test_one_name_by_a_long_and_a_short_spelling(segue, songs, links) -> None:
    """A spelling that is too long to be a name does not take the tag from the one that is not."""
    songs([(A, ["J\u030c" * 26, "ǰ" * 26])])

    result = segue("migrate", "--json")

    assert (4, 1, 1) == (result.code, result.json["elements"]["linked"], result.json["elements"]["quarantined"])
    assert [(A, "ǰ" * 26)] == links()
    assert 0 == segue("validate").code


def test_many_new_tags_are_known_to_the_planner(segue, songs, connection) -> None:
    """Where tags went and were vacuumed away, statistics say "one row": thousands of words would be joined row by row."""
    connection.execute(
        "INSERT INTO tags (name, normalized_name) SELECT 'n ' || n, 'n ' || n FROM generate_series(1, 2000) n"
    )
    connection.execute("DELETE FROM tags WHERE name <> 'n 2000'")  # the last one keeps the table's pages
    connection.execute("VACUUM ANALYZE tags")
    known = "SELECT reltuples FROM pg_class WHERE oid = 'tags'::regclass"
    assert [(1,)] == connection.execute(known).fetchall()
    songs([(A, [f"word {number}" for number in range(1, 1_500)])])

    assert 0 == segue("migrate").code

    assert [(1_500,)] == connection.execute(known).fetchall()
