"""`tags.normalise` and its twin `segue.normalise_tag`: the rules, the case folding's data, and that the two are equal.

Where the server's Unicode is older than Python's, the characters that it does not know are left out; a test says so.
"""

import re
import sys
import time
import unicodedata
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sql import script
from tags import case_folding
from tags.normalise import LONGEST, SPACE, ZERO_WIDTH, clean, is_blank, normalise, problem

Rows = list[tuple[str, str, str, str | None]]

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
PERSIAN = "می\u200cخواهم"

NASTY = [
    *(SPACE + ZERO_WIDTH),
    *"aAiIsSkKåÅµμ'|-_09\x07\x1f",
    *"ßẞſĿŉİıǰÀÉàéΣσςΐΰΆᾼᾳᾴάᾷῼͺΩΩKÅŸΌ",  # casing
    *"ﬁﬃﬅﬗﷺﷻ´¨¯¸‗῾ﹰﱞ①Ⅷ㎏㍿ＡａＺ１ｱﾞﾟガ゛ﾡￂ￥％",  # compatibility
    *"ᎠᏰᏸꭰꮿ𐐀𐐨𐓏Ააⴀ𞤀",  # scripts with late or odd casing
    *"\u0300\u0301\u0307\u0308\u0323\u0327\u0331\u0334\u0342\u0344\u0345\u0340\u0653\u05b0\u0f71\u0f72\u0f73\u3099",
    *"가각힣\u1100\u1112\u1161\u1175\u11a7\u11a8\u11c2\u115f\u1160\u3164\uffa0",  # Hangul, and U+11A7 beside its finals
    *"नऩ\u093c\u09c7\u09be\u0dd9\u0dca\u0dcf𑂚𝅗𝅘𝅥\ufb1d\ufa0e豈",
    *"\u200e\u2061\ufe0f\U000e0001\U000e0100\ufff9\ufffd\uffff\ue000\U0010ffff☃🎄",
    FAMILY,
    PERSIAN,
]


def characters(exclude: str = "\0") -> st.SearchStrategy[str]:
    """Draw any character that this Python knows, but for surrogates."""
    return st.characters(exclude_categories=["Cs", "Cn"], exclude_characters=exclude)


def texts(exclude: str = "\0") -> st.SearchStrategy[str]:
    """Draw texts of any character, texts of troublemakers, and both mixed."""
    nasty = st.sampled_from([piece for piece in NASTY if not set(piece) & set(exclude)])
    return (
        st.text(characters(exclude)) | st.lists(nasty | characters(exclude)).map("".join) | st.lists(nasty).map("".join)
    )


def python(raws: list[str]) -> Rows:
    """Return what Python makes of each text."""
    return [(raw, clean(raw), normalise(raw), problem(raw)) for raw in raws]


def server(connection: psycopg.Connection[Any], raws: list[str]) -> Rows:
    """Return what PostgreSQL makes of each text, in one query."""
    return connection.execute(
        "SELECT raw, segue.clean_tag(raw), segue.normalise_tag(raw), segue.tag_problem(raw)"
        " FROM unnest(%s::text[]) AS raw",
        [raws],
    ).fetchall()


def differences(connection: psycopg.Connection[Any], raws: list[str]) -> list[tuple[str, ...]]:
    """Return the first texts on which the sides differ, in ASCII for the reader of a failed test."""
    pairs = zip(python(raws), server(connection, raws), strict=True)
    return [tuple(map(ascii, (*ours, *theirs[1:]))) for ours, theirs in pairs if ours != theirs][:10]


def assigned() -> list[str]:
    """List every character that this Python knows, without U+0000, surrogates and the private planes' insides."""
    every = map(chr, [*range(1, 0xF0010), *range(0x10FFF0, sys.maxunicode + 1)])
    return [character for character in every if unicodedata.category(character) not in ("Cn", "Cs")]


@pytest.fixture
def unknown(connection: psycopg.Connection[Any]) -> str:
    """Return U+0000 and the characters that the server's Unicode lacks, found by decomposing and by ordering."""
    # Marks of the last and of the first combining class around a character: another order tells another class.
    probes = [f"\u0345{character}\u0334" for character in assigned()]
    rows = connection.execute("SELECT normalize(probe, NFKD) FROM unnest(%s::text[]) AS probe", [probes]).fetchall()
    pairs = zip(probes, rows, strict=True)
    return "\0" + "".join(probe[1] for probe, (theirs,) in pairs if unicodedata.normalize("NFKD", probe) != theirs)


def on_server(examples: int) -> settings:
    """Run so many examples, one query each; the connection is only read, so examples may share it."""
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.mark.parametrize(
    ("raw", "shown", "compared"),
    [
        ("  Xmas\u00a0", "Xmas", "xmas"),
        ("ＨＯＰＥ", "HOPE", "hope"),
        ("Straße", "Straße", "strasse"),
        ("STRASSE", "STRASSE", "strasse"),
        ("STRAẞE", "STRAẞE", "strasse"),
        ("ΣΊΣΥΦΟΣ", "ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("Σίσυφος", "Σίσυφος", "σίσυφοσ"),
        ("İstanbul", "İstanbul", "i\u0307stanbul"),
        ("TITLE", "TITLE", "title"),
        ("ısı", "ısı", "ısı"),
        ("E\u0301te\u0301", "Été", "été"),
        ("ﬁre", "fire", "fire"),
        ("a\t \r\n\u3000b", "a b", "a b"),
        ("\ufeffrain\u200b", "rain", "rain"),
        ("rain \u200b\u200b drop", "rain drop", "rain drop"),
        ("rain\u200b drop", "rain drop", "rain drop"),
        ("soft\xadhyphen", "soft\xadhyphen", "soft\xadhyphen"),
        (FAMILY, FAMILY, FAMILY),
        (PERSIAN, PERSIAN, PERSIAN),
        ("\u00b4", "\u0301", "\u0301"),
        ("a\u200d\u00b4", "a \u0301", "a \u0301"),
        ("\u037a", "\u0345", "ι"),
        ("ᾼ", "ᾼ", "αι"),
        ("ᏸꭰ", "ᏸꭰ", "ᏰᎠ"),
        ("가\u11a7", "가\u11a7", "가\u11a7"),
        ("\x1ca\x1c", "\x1ca\x1c", "\x1ca\x1c"),
        (" \t\u200b\u3000", "", ""),
        ("", "", ""),
    ],
)
def test_a_text_has_one_shown_and_one_compared_form(
    raw: str, shown: str, compared: str, connection: psycopg.Connection[Any]
) -> None:
    """A text becomes the stated display and comparison forms, in Python and in PostgreSQL."""
    assert (shown, compared) == (clean(raw), normalise(raw))
    assert [(raw, shown, compared, problem(raw))] == server(connection, [raw])


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("love", None),
        ("", None),
        (" \u200b ", None),
        ("tab\tand\nnewline", None),
        ("a\x85b", None),
        (" " * 5_000 + "love" + "\u200b" * 5_000, None),
        ("x" * 50, None),
        ("x" * 51, "longer than 50 characters"),
        ("é" * 51, "longer than 50 characters"),
        ("ß" * 25, None),
        ("ß" * 26, "longer than 50 characters"),
        ("\ufdfa" * 3, "longer than 50 characters"),
        ("e\u0301" * 50, None),
        ("bell\x07", "control character U+0007"),
        ("\x1f" + "x" * 99, "control character U+001F"),
        ("é\x9f", "control character U+009F"),
        ("a\x7f", "control character U+007F"),
    ],
)
def test_a_problem_has_a_short_stable_reason(
    raw: str, expected: str | None, connection: psycopg.Connection[Any]
) -> None:
    """A text that cannot be a name says why in the same words on both sides; a blank one has no problem."""
    assert expected == problem(raw)
    assert [(raw, clean(raw), normalise(raw), expected)] == server(connection, [raw])


@pytest.mark.parametrize(
    ("raw", "expected"), [("nul\0", "control character U+0000"), ("half \ud83c\x07", "lone surrogate U+D83C")]
)
def test_a_text_that_no_server_can_hold_is_a_problem(raw: str, expected: str) -> None:
    """U+0000 and lone surrogates are named, and nothing raises on them."""
    assert expected == problem(raw)
    assert normalise(raw) == normalise(clean(raw))


@given(texts(exclude=""))
@settings(max_examples=500)
def test_normalising_is_a_fixed_point(raw: str) -> None:
    """Both functions change nothing the second time, in either order; both are blank for the same texts."""
    shown, compared = clean(raw), normalise(raw)
    assert (shown, compared, compared) == (clean(shown), normalise(compared), normalise(shown))
    assert compared == clean(compared)
    assert is_blank(raw) == (shown == "") == (compared == "")


@given(st.text())
@settings(max_examples=500)
def test_nothing_raises(raw: str) -> None:
    """Any str is taken, surrogates and unassigned code points included."""
    assert (problem(raw) is None) or isinstance(normalise(raw), str)


@pytest.mark.untraced
def test_every_character_is_a_fixed_point() -> None:
    """Each character alone, and between letters, keeps its comparison form for good."""
    raws = [raw for character in assigned() for raw in (character, f"a{character}B")]
    moving = [raw for raw in raws if not normalise(raw) == normalise(normalise(raw)) == normalise(clean(raw))]
    assert moving == []


def test_white_space_is_the_unicode_property() -> None:
    """SPACE is what str.isspace says, without the four separators U+001C to U+001F that only Python adds."""
    spaces = {character for character in map(chr, range(sys.maxunicode + 1)) if character.isspace()}
    assert spaces - set("\x1c\x1d\x1e\x1f") == set(SPACE)


def folding_table() -> str:
    """Make the table in `tags/case_folding.py` anew; its line breaks are for the eye."""
    runs: list[tuple[int, int, int, int]] = []
    longer = []
    for code in range(sys.maxunicode + 1):
        folded = chr(code).casefold()
        if folded == chr(code) or chr(code) != unicodedata.normalize("NFKC", chr(code)):
            continue
        if len(folded) > 1:
            longer.append(f"{code:04X}=" + "+".join(f"{ord(character):04X}" for character in folded))
            continue
        first, last, step, offset = runs[-1] if runs else (0, 0, 0, 0)
        if offset == ord(folded) - code and (code - last == step or (step == 0 and code - last <= 2)):
            runs[-1] = (first, code, code - last, offset)
        else:
            runs.append((code, code, 0, ord(folded) - code))
    ranges = [
        f"{first:04X}" + (f"-{last:04X}" if step else "") + ("/2" if step == 2 else "") + f"{offset:+d}"
        for first, last, step, offset in runs
    ]
    return " ".join(ranges + longer)


@pytest.mark.skipif(unicodedata.unidata_version != case_folding.UNICODE_VERSION, reason="another Unicode's casefold")
def test_the_folding_table_is_pythons() -> None:
    """The table is the one that this Unicode's str.casefold gives for the characters that NFKC leaves alone."""
    assert folding_table() == " ".join(case_folding._TABLE.split())


def test_the_folding_agrees_with_a_newer_python() -> None:
    """Each entry is str.casefold's, folds to what folds no further, and makes no space."""
    foldings = case_folding.FOLDINGS
    assert foldings == {code: chr(code).casefold() for code in foldings}
    assert set() == {ord(character) for folded in foldings.values() for character in folded} & (
        set(foldings) | set(map(ord, SPACE + ZERO_WIDTH))
    )


@given(texts(exclude=""))
@settings(max_examples=500)
def test_normalise_is_nfkc_casefold_nfkc(raw: str) -> None:
    """For a text without outer or double spaces the result is what Python's own casefold gives."""
    text = re.sub(f"[{SPACE}{ZERO_WIDTH}]", "", unicodedata.normalize("NFKC", raw))
    known = "".join(c for c in text if ord(c) in case_folding.FOLDINGS or c.casefold() == c)
    expected = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", known).casefold())
    assert expected == normalise(known)


def test_the_sql_holds_the_same_folding() -> None:
    """The SQL file contains what `python -m tags.case_folding` prints."""
    assert case_folding.sql() in script("functions/normalise.sql")


@pytest.mark.untraced
def test_every_character_is_equal_on_the_server(connection: psycopg.Connection[Any], unknown: str) -> None:
    """Each character, alone, has the same three answers in Python and in PostgreSQL."""
    assert differences(connection, [character for character in assigned() if character not in set(unknown)]) == []


def test_only_an_older_server_knows_fewer_characters(connection: psycopg.Connection[Any], unknown: str) -> None:
    """A server whose Unicode is no older than Python's decomposes and orders every character as Python does."""
    servers = {14: "13.0.0", 15: "14.0.0", 16: "15.0.0", 17: "15.1.0", 18: "16.0.0"}
    version = servers.get(connection.info.server_version // 10_000, "16.0.0")
    is_older = [*map(int, version.split("."))] < [*map(int, unicodedata.unidata_version.split("."))]
    assert unknown == "\0" or is_older


@pytest.mark.untraced
@given(data=st.data())
@on_server(150)
def test_any_texts_are_equal_on_the_server(
    connection: psycopg.Connection[Any], unknown: str, data: st.DataObject
) -> None:
    """Whatever the texts, Python and PostgreSQL give the same display form, comparison form and problem."""
    assert differences(connection, data.draw(st.lists(texts(unknown), min_size=20, max_size=60))) == []


@pytest.mark.untraced
def test_every_pair_of_troublemakers_is_equal_on_the_server(connection: psycopg.Connection[Any], unknown: str) -> None:
    """Any two nasty pieces side by side, between letters and between spaces, are equal on both sides."""
    nasty = [piece for piece in NASTY if not set(piece) & set(unknown)]
    pairs = [first + second for first in nasty for second in nasty]
    assert differences(connection, [*pairs, *(f"É{pair}b" for pair in pairs), *(f" {pair} " for pair in pairs)]) == []


LONG = {
    "marks in the wrong order": "\u0301\u0316" * 500_000,
    "zero width": "a" + "\u200d" * 1_000_000 + "b c",
    "ideographic spaces": "a" + "\u3000" * 1_000_000 + "B",
    "blanks": " " * 1_000_000 + "A",
    "alternating": "\u200b " * 500_000,
    "capitals": "ÀÉ" * 500_000,
    "ASCII": "Ab " * 333_333,
    "just normalised": "Ａ" * LONGEST,
    "just not normalised": "Ａ" * (LONGEST + 1),
    "just not normalised ASCII": "A" * (LONGEST + 1),
    "ligatures": "\ufdfa" * LONGEST,
}


@pytest.mark.parametrize("raw", LONG.values(), ids=LONG.keys())
def test_a_megabyte_takes_linear_time(raw: str, connection: psycopg.Connection[Any]) -> None:
    """A text of a million characters is answered in seconds and equally on both sides, and stays a fixed point."""
    started = time.monotonic()
    assert differences(connection, [raw]) == []
    assert time.monotonic() - started < 10
    assert normalise(raw) == normalise(normalise(raw)) == normalise(clean(raw))


def collations(connection: psycopg.Connection[Any]) -> list[str]:
    """List collations with their own ideas of letters: Turkish, the built-in ones, and one that ignores case."""
    try:
        with connection.transaction():
            connection.execute(
                "CREATE COLLATION pg_temp.caseless (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
            )
    except psycopg.Error:  # a server built without ICU
        caseless = []
    else:
        caseless = ["pg_temp.caseless"]
    found = connection.execute(
        "SELECT quote_ident(collname) FROM pg_collation"
        " WHERE collname IN ('C', 'default', 'ucs_basic', 'tr-x-icu', 'tr_TR.utf8', 'pg_c_utf8', 'pg_unicode_fast')"
    ).fetchall()
    return caseless + [name for (name,) in found]


def test_no_collation_changes_the_result(connection: psycopg.Connection[Any]) -> None:
    """Turkish, caseless and built-in collations of the argument give the same forms."""
    raws = ["TITLE Iı İ", "  ÀÉ\u00a0 ǰΣς", "bell\x07", "ß" * 30, "  I  "]
    expected = [row[1:] for row in python(raws)]
    with connection.transaction(force_rollback=True):
        for name in collations(connection):
            query = (
                f"SELECT segue.clean_tag(raw COLLATE {name}), segue.normalise_tag(raw COLLATE {name}),"
                f" segue.tag_problem(raw COLLATE {name}) FROM unnest(%s::text[]) AS raw"
            )
            assert (name, expected) == (name, connection.execute(query.encode(), [raws]).fetchall())


def test_no_search_path_changes_the_result(connection: psycopg.Connection[Any]) -> None:
    """Functions and operators that shadow PostgreSQL's own, on a caller's path, are not called."""
    raws = ["  Xmas\u00a0", "bell\x07", "ß" * 30, "Ab", "É" * (LONGEST + 1)]
    with connection.transaction(force_rollback=True):
        connection.execute("CREATE SCHEMA shadow")
        for name in ("lower", "btrim", "upper"):
            connection.execute(f"CREATE FUNCTION shadow.{name}(text) RETURNS text RETURN 'shadow'".encode())
        for name in ("char_length", "octet_length", "ascii"):
            connection.execute(f"CREATE FUNCTION shadow.{name}(text) RETURNS int RETURN 7".encode())
        connection.execute("CREATE FUNCTION shadow.never(int, int) RETURNS boolean RETURN false")
        connection.execute("CREATE OPERATOR shadow.> (FUNCTION = shadow.never, LEFTARG = int, RIGHTARG = int)")
        connection.execute("SET LOCAL search_path = shadow, pg_catalog")
        assert python(raws) == server(connection, raws)


def test_the_functions_may_be_indexed_and_run_in_parallel(connection: psycopg.Connection[Any]) -> None:
    """Every function of the file is immutable and safe in parallel plans, and NULL gives NULL."""
    names = re.findall(r"FUNCTION segue\.(\w+)\(", script("functions/normalise.sql"))
    rows = connection.execute(
        "SELECT DISTINCT provolatile::text, proparallel::text FROM pg_proc"
        " WHERE pronamespace = 'segue'::regnamespace AND proname = ANY (%s)",
        [names],
    ).fetchall()
    assert rows == [("i", "s")]
    nulls = "SELECT segue.clean_tag(NULL), segue.normalise_tag(NULL), segue.tag_problem(NULL)"
    assert connection.execute(nulls).fetchall() == [(None, None, None)]
