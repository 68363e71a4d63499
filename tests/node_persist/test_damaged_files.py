"""Files that a crash, a second writer, an editor or a sync service spoiled: rescued where certain, else damaged."""

import json
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from migrator.node_persist.document import parse
from migrator.node_persist.reading import LARGEST
from migrator.node_persist.store import Damaged, Gone, Store
from tests.conftest import ROOT
from tests.node_persist.stores import file_name, stringify, write

VALUE = {"profile": {"display_name": "Zoë", "id": "ann"}, "topTracks": {"short_term": [{"id": "t1"}]}}
TEXT = stringify(VALUE).encode()
WHOLE = b'{"key":"ann","value":' + TEXT + b"}"


def put(directory: Path, content: bytes, name: str = file_name(4, "ann")) -> Store:
    """Make a store of one file."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_bytes(content)
    return Store.open(str(directory), None)


def why(store: Store, path: str = file_name(4, "ann")) -> str:
    """Return why a file is damaged."""
    with pytest.raises(Damaged) as caught:
        store.read(path)
    assert caught.value.outcome == "damaged"
    return caught.value.reason


SPOILED = {
    "zero bytes": (b"", "empty"),
    "white space": (b" \r\n\t ", "empty"),
    "half-written": (WHOLE[:-20], "cut short: the JSON text ends too early"),
    "only a brace": (b"{", "cut short: the JSON text ends too early"),
    "overlapped": (WHOLE + b'"}]}}', f"more text after the end of the JSON text, at byte {len(WHOLE) + 1}: two writes overlapped"),
    "twice": (WHOLE + b"\n" + WHOLE, f"more text after the end of the JSON text, at byte {len(WHOLE) + 2}: two writes overlapped"),
    "not UTF-8": (WHOLE.replace("ë".encode(), b"\xeb"), f"not UTF-8 at byte {WHOLE.index(b'Zo') + 3}"),
    "surrogate bytes": (WHOLE.replace("ë".encode(), b"\xed\xa0\x80"), f"not UTF-8 at byte {WHOLE.index(b'Zo') + 3}"),
    "UTF-8 cut at the end": (WHOLE[:-1] + b'"\xc3', f"not UTF-8 at byte {len(WHOLE) + 1}"),
    "UTF-16": (WHOLE.decode().encode("utf-16"), "a NUL byte at byte 4"),
    "Latin-1": (WHOLE.decode().encode("latin-1"), f"not UTF-8 at byte {WHOLE.index(b'Zo') + 3}"),
    "NUL inside": (WHOLE.replace(b"Zo", b"Z\0"), f"a NUL byte at byte {WHOLE.index(b'Zo') + 2}"),
    "a block of NULs inside": (WHOLE[:30] + bytes(4096) + WHOLE[30:], "a NUL byte at byte 31"),
    "nothing but NULs": (bytes(9000), "nothing but NUL bytes: the content never reached the disk"),
    "cut short, then NULs": (WHOLE[:-5] + bytes(10), "cut short: the JSON text ends too early"),
    "NaN": (WHOLE.replace(b'"t1"', b"NaN"), f"not JSON at byte {WHOLE.index(b't1')}"),
    "a trailing comma": (WHOLE[:-1] + b",}", f"not JSON at byte {len(WHOLE) + 1}"),
    "a control character": (WHOLE.replace(b"Zo", b"Z\n"), f"not JSON at byte {WHOLE.index(b'Zo') + 2}"),
    "a text file": (b"Dear Sir or Madam", "not JSON at byte 1"),
    "a ZIP": (b"PK\x03\x04\xff\xfe", "not UTF-8 at byte 5"),
    "too deep": (b'{"key":"ann","value":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
    "too deep, with a lone surrogate": (b'{"key":"ann","value":["\\ud800",' + b"[" * 200_000 + b"]" * 200_000 + b"]}", "nested too deeply"),
    "a key with a bad escape": (WHOLE.replace(b"ann", b"\\x", 1), "not JSON at byte 10"),
    "a lone surrogate, members in another order": (b'{"value":"\\ud800","key":"ann"}', "an unpaired surrogate in a file whose members are not in the library's order"),
    "cut short, with a lone surrogate": (b'{"key":"ann","value":["\\ud800"', "cut short: the JSON text ends too early"),
}  # fmt: skip


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Store]:
    """Return a store for each case, all written at once: a fresh file is given half a second."""
    home = tmp_path_factory.mktemp("spoiled")
    return {case: put(home / str(place), content) for place, (case, (content, _)) in enumerate(SPOILED.items())}


@pytest.mark.parametrize("case", SPOILED)
def test_damaged(case: str, spoiled: dict[str, Store]) -> None:
    """The reason says what and where; the file's name is in the scan like any other."""
    content, reason = SPOILED[case]
    store = spoiled[case]

    assert reason == why(store)
    (found,) = store.scan()
    assert (found.path, found.size, found.reason) == (file_name(4, "ann"), len(content), None)


@pytest.mark.parametrize("generation", [0, 1])
def test_damaged_bare_values(generation: int, store_directory: Path) -> None:
    """Generations without an envelope know key and user by the name, also of a damaged file."""
    store = put(store_directory, TEXT[:-3], file_name(generation, "ann-1"))
    (found,) = store.scan()

    assert (found.key, found.user_id, found.generation) == ("ann-1", "ann-1", generation)
    assert "cut short: the JSON text ends too early" == why(store, found.path)


RESCUED = {
    "byte order mark": (b"\xef\xbb\xbf" + WHOLE, "byte order mark removed"),
    "NULs at the end": (WHOLE + bytes(5000), "trailing NUL bytes removed"),
    "mark and NULs": (b"\xef\xbb\xbf" + WHOLE + b"\0", "byte order mark removed; trailing NUL bytes removed"),
    "white space after": (WHOLE + b"\r\n", None),
    "white space before": (b"\n " + WHOLE, None),
    "pretty-printed": (json.dumps(json.loads(WHOLE), indent=4, ensure_ascii=False).encode(), None),
    "double-encoded value": (b'{"key":"ann","value":' + json.dumps(TEXT.decode()).encode() + b"}", "double-encoded JSON unwrapped"),
    "double-encoded file": (json.dumps(WHOLE.decode()).encode(), "double-encoded JSON unwrapped"),
    "double-encoded, with a mark": (b'\xef\xbb\xbf{"key":"ann","value":' + json.dumps(TEXT.decode()).encode() + b"}", "byte order mark removed; double-encoded JSON unwrapped"),
    "members in another order": (b'{"ttl":null,"value":' + TEXT + b',"key":"ann"}', None),
}  # fmt: skip


@pytest.mark.parametrize("case", RESCUED)
def test_rescued(case: str, store_directory: Path) -> None:
    """What is certain is read, and what was put right is said."""
    content, note = RESCUED[case]
    item = put(store_directory, content).read(file_name(4, "ann"))

    assert (item.key, item.generation, item.rescued, item.size) == ("ann", 4, note, len(content))
    assert json.loads(bytes(item.value)) == VALUE


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"\xef\xbb\xbf" + TEXT, "byte order mark removed"),
        (json.dumps(TEXT.decode()).encode(), "double-encoded JSON unwrapped"),
        (TEXT + b"\0\0", "trailing NUL bytes removed"),
    ],
)
def test_rescued_bare_values(content: bytes, note: str, store_directory: Path) -> None:
    """The same for generations without an envelope."""
    item = put(store_directory, content, "ann-1").read("ann-1")

    assert (item.key, item.generation, item.rescued) == ("ann-1", 0, note)
    assert json.loads(bytes(item.value)) == VALUE


@pytest.mark.parametrize("text", ['"plain"', '"[1]"', '"{"', '"{\\"a\\":}"', '"\\"{}\\""', '""', '" "', '"{}x"'])
def test_a_string_that_holds_no_object_stays(text: str, store_directory: Path) -> None:
    """Only a string with a whole JSON object in it was double-encoded."""
    item = put(store_directory, b'{"key":"ann","value":' + text.encode() + b"}").read(file_name(4, "ann"))

    assert (bytes(item.value), item.rescued) == (text.encode(), None)


LONE = [
    r'{"name":"x\ud800y","next":1}',
    r'["\ud83d\ude00","\ude00\ud83d","\\ud800","\\\ud800","\ud800\ud800\udc00"]',
    r'{"\udfff":[{"a":"\uD83D"}],"b":"\uDBFF\uDFFF"}',
    r'"\ud800"',
]


@pytest.mark.parametrize("value", LONE)
@pytest.mark.parametrize("generation", [0, 1, 2, 4])
def test_lone_surrogates_pass(value: str, generation: int, store_directory: Path) -> None:
    """An unpaired surrogate is good JSON: the item is there, its value to the byte."""
    file = write(store_directory, generation, "ann-1", value.encode(), ttl=5000)
    item = Store.open(str(store_directory), None).read(file.name)

    assert (item.key, bytes(item.value), item.rescued) == ("ann-1", value.encode(), None)
    assert item.expires_at_ms is not None


def test_lone_surrogates_in_double_encoded_json(store_directory: Path) -> None:
    """A surrogate in the outer text means the same as an escape in the inner one."""
    inner = '{"a":"x\ud800y","b":"\\ud800"}'
    item = put(store_directory, b'{"key":"ann","value":' + json.dumps(inner).encode() + b"}").read(file_name(4, "ann"))

    assert bytes(item.value) == rb'{"a":"x\ud800y","b":"\ud800"}'


def test_empty_key(store_directory: Path) -> None:
    """`isValidStorageFileContent` asks for a key that is not empty, so the library never returns such an item."""
    store = put(store_directory, b'{"key":"","value":1}', file_name(4, ""))

    assert "its key is empty; the library does not take it for a file of its own" == why(store, file_name(4, ""))


def test_too_large(store_directory: Path) -> None:
    """A file that V8 cannot hold as one string is not read (this one has no blocks)."""
    store = put(store_directory, b"")
    os.truncate(store_directory / file_name(4, "ann"), LARGEST + 1)

    assert f"larger than {LARGEST} bytes, which the library itself cannot read" == why(store)


def test_unreadable_file() -> None:
    """A file without permission is damaged, a directory without is stray; the others are read."""
    script = (
        "import os, sys; from migrator.node_persist.store import *\n"
        "if os.geteuid() == 0: os.setegid(65534); os.seteuid(65534)\n"
        "store = Store.open(sys.argv[1], None)\n"
        "for found in sorted(store.scan(), key=lambda found: found.key or ''):\n"
        "    try: print(found.reason, store.read(found.path).key)\n"
        "    except Damaged as damaged: print(found.reason, damaged.outcome, damaged.reason)\n"
    )
    with tempfile.TemporaryDirectory() as home:  # others cannot reach pytest's own directories
        Path(home).chmod(0o755)
        directory = Path(home) / "storage"
        put(directory, WHOLE)
        write(directory, 4, "bob", VALUE)
        write(directory, 0, "closed/ann", VALUE)
        write(directory, 0, "listed/ann", VALUE)
        (directory / file_name(4, "ann")).chmod(0)
        (directory / "closed").chmod(0)
        (directory / "listed").chmod(0o444)
        done = subprocess.run([sys.executable, "-c", script, directory], cwd=ROOT, capture_output=True, text=True)
        (directory / "closed").chmod(0o700)
        (directory / "listed").chmod(0o700)

    assert "" == done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "None bob",
        "None damaged cannot be read: Permission denied",
        "a directory that cannot be read, or not to its end: Permission denied damaged cannot be read: Permission denied",
        "cannot be looked at: Permission denied damaged cannot be read: Permission denied",
    ]


def test_closed_store() -> None:
    """A store that its reader may list but not enter, or not list, is refused."""
    script = (
        "import os, sys; from migrator.node_persist.store import *; from migrator.errors import Refused\n"
        "if os.geteuid() == 0: os.setegid(65534); os.seteuid(65534)\n"
        "try: Store.open(sys.argv[1], None)\n"
        "except Refused as refused: print(refused)\n"
    )
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        for mode in (0, 0o111, 0o444):
            directory = Path(home) / f"{mode:o}"
            directory.mkdir()
            directory.chmod(mode)
            done = subprocess.run([sys.executable, "-c", script, directory], cwd=ROOT, capture_output=True, text=True)
            assert (done.stdout, done.stderr) == (f"the store {directory} cannot be read: Permission denied\n", "")


def test_gone(store_directory: Path) -> None:
    """A file deleted since the scan is no damage."""
    store = put(store_directory, WHOLE)
    for path in ("other", "no/such/directory", file_name(4, "ann") + "/x"):
        with pytest.raises(Gone):
            store.read(path)


def test_damage_travels_between_processes() -> None:
    """Workers send it by pickle."""
    damaged = pickle.loads(pickle.dumps(Damaged("cut short", outcome="stray")))

    assert (damaged.reason, damaged.outcome, str(damaged)) == ("cut short", "stray", "cut short")


def test_reasons_hold_no_content() -> None:
    """No reason repeats what was in the file."""
    for content, _ in SPOILED.values():
        with pytest.raises(Damaged) as caught:
            parse(content)
        assert not any(word in caught.value.reason for word in ("Zo", "ann", "t1", "Dear"))
