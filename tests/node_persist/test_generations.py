"""Stores written by the five real generations of the library, and what the library itself reads from stores."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from migrator.node_persist.store import Store
from tests.node_persist.conftest import UNDEFINED, Library
from tests.node_persist.stores import DAY_MS, GENERATIONS, NOW_MS, file_name, stringify, write

#: Generation as `Item.generation` says it: 2.x and 3.x leave the same files.
SAID = {0: 0, 1: 1, 2: 2, 3: 2, 4: 4}

VALUES: list[object] = [
    {"profile": {"display_name": "  Zoë 👩‍🎤", "id": "ann"}, "lastUpdated": 1_767_000_000_000},
    {"b": 1, "10": 2, "2": 3, "01": 4, "a": {"-1": 0, "4294967295": 1, "0": 2}},
    [1.0, -0.0, 0.1, 1e21, 123456789012345680000, 1e-7, 0.000001, -1.5e300, 5e-324, 2**53, 1.7976931348623157e308],
    ['\u2028\u2029\x7f\x00\x1f\b\f\n\r\t"\\/', "\ud83d", "x\udc00y", "\U0001f600", ""],
    {"": {"__proto__": None, "constructor": [], "nested": [[[{}]]]}},
    None,
    True,
    "plain text",
    "é" * 5000,
]
TTLS: list[Any] = [
    None, False, 0, "", 1, 5000, 0.5, 1e15, "5000", "0.25", -5, "soon", True, [], {}, "0x10",
    datetime.fromtimestamp(NOW_MS / 1000 + 90, UTC), datetime.fromtimestamp(0, UTC),
]  # fmt: skip
KEYS = {
    0: ["ann", "users/ann/data", "users/31abc/data", "a b+c=", "Zoë", "日本", "k" * 200, "session:1", "x.json"],
    1: ["ann", "users/ann/data", "Zoë?>~", "日本語 key", "k" * 150, "a/b", "??>>", "\U0001f600", "x.json"],
    4: ["ann", "users/ann/data", "Zoë", "日本", "k" * 9000, 'a"\\\n\x00/b', "x\ud83dy", "\U0001f600", "../etc", " "],
}
KEYS[2] = KEYS[3] = KEYS[4]


def items(generation: int) -> list[tuple[str, object, Any]]:
    """Return every value, every ttl and every key at least once."""
    keys = KEYS[generation]
    made = [(keys[place % len(keys)], value, None) for place, value in enumerate(VALUES)]
    return made + [(f"ttl{place}", {"n": place}, ttl) for place, ttl in enumerate(TTLS)]


def told(ttl: Any) -> object:
    """Return a ttl as npm/write.js takes it."""
    return {"date": round(ttl.timestamp() * 1000)} if isinstance(ttl, datetime) else ttl


def tree(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_python_writes_what_the_library_writes(generation: int, written: Callable[..., None], tmp_path: Path) -> None:
    """Names and contents are equal byte for byte: every value, key and ttl, with the files of expiry."""
    wanted = items(generation)
    (tmp_path / "library").mkdir()
    (tmp_path / "python").mkdir()

    written(generation, tmp_path / "library" / "store", [(key, value, told(ttl)) for key, value, ttl in wanted])
    for key, value, ttl in wanted:
        write(tmp_path / "python" / "store", generation, key, value, ttl)

    assert tree(tmp_path / "library") == tree(tmp_path / "python")
    assert len(tree(tmp_path / "library" / "store")) == len({key for key, *_ in wanted})


@pytest.mark.parametrize("generation", GENERATIONS)
def test_reads_what_the_library_wrote(generation: int, written: Callable[..., None], store_directory: Path) -> None:
    """Every item comes back with its key, value and generation, known from the scan on."""
    wanted = {key: (value, ttl) for key, value, ttl in items(generation)}
    written(generation, store_directory, [(key, value, told(ttl)) for key, (value, ttl) in wanted.items()])
    store = Store.open(str(store_directory), None)
    found = {entry.path: entry for entry in store.scan()}

    assert set(found) == {file_name(generation, key) for key in wanted}
    for key, (value, _) in wanted.items():
        entry = found[file_name(generation, key)]
        item = store.read(entry.path)
        said = _as_kept(key) if generation == 1 else key
        assert (item.key, item.generation, item.rescued) == (said, SAID[generation], None)
        assert bytes(item.value) == stringify(value).encode()
        assert entry.reason is None
        assert (item.size, item.mtime_ns) == (entry.size, entry.mtime_ns)
        if len(key) < 4000:  # else the name is beyond the first 4 KiB
            assert (entry.key, entry.generation, entry.user_id) == (said, SAID[generation], store.user_id(said))


def test_undefined_is_null(written: Callable[..., None], store_directory: Path) -> None:
    """`setItem(key, undefined)` leaves an envelope without a value."""
    written(4, store_directory, [("ann", UNDEFINED, UNDEFINED), ("bob", UNDEFINED, 5)])
    store = Store.open(str(store_directory), None)

    assert {(item.key, bytes(item.value)) for item in map(store.read, (f.path for f in store.scan()))} == {
        ("ann", b"null"),
        ("bob", b"null"),
    }


#: Members `ttl`, and contents of expiry files, as JSON texts.
STORED = [
    "0", "-0", "1", "-1", "0.5", f"{NOW_MS}", f"{NOW_MS - 1}", f"{NOW_MS + 1}", f"{NOW_MS}.5", "1e999", "-1e999", "9" * 400,
    "null", "true", "false", '""', '" "', '"0"', '"1"', '"-1"', f'"{NOW_MS}5000"', f'"{NOW_MS - 1}"', '" 17 "', '"1e3"',
    '"soon"', '"2020-01-01T00:00:00Z"', '"0x10"', '"0b1"', '"0o7"', '"0x"', '"0xg"', '"-0x1"', '"Infinity"', '"-Infinity"', '"1_0"',
    '"\\u00a07\\u2003"', '".5"', '"5."', '"."', '"+5"', '"1n"', '"NaN"', '"١"', "[]", "[5]", '["6"]', "[[7]]", "[null]",
    "[true]", "[1,2]", "[[],[]]", "{}", '{"a":1}', f"[{NOW_MS + 5}]", '"12abc"', '[" 8 "]', "[{}]",
]  # fmt: skip
BROKEN = ["", " ", "12 3", "nul", "NaN", "Infinity", "-Infinity", "\ufeff5", "{", "'5'"]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_expires_what_the_library_expires(generation: int, library: Library, store_directory: Path) -> None:
    """For every ttl that can be stored, also by hand, the library returns the item exactly when it is not expired."""
    texts = STORED if generation >= 2 else STORED + BROKEN
    texts = [*texts, None]
    for place, text in enumerate(texts):
        key = f"key-{place}-!"
        file = write(store_directory, generation, key, {"n": place})
        if text is None:
            continue
        if generation >= 2:
            file.write_bytes(file.read_bytes()[:-1] + f',"ttl":{text}}}'.encode())
        else:
            beside = store_directory.with_name("storage-ttl") / file_name(generation, key)
            beside.parent.mkdir(exist_ok=True)
            beside.write_text(text, "utf-8")
    store = Store.open(str(store_directory), None)
    items = {item.key: item for item in map(store.read, [found.path for found in store.scan()])}
    keys = [f"key-{place}-!" for place in range(len(texts))]

    # The library removes what is expired, so it comes last.
    returned = dict(library("read", generation, store_directory, keys=keys, ttl=True))

    assert {(text, returned[key] is None) for text, key in zip(texts, keys, strict=True)} == {
        (text, items[key].is_expired(NOW_MS)) for text, key in zip(texts, keys, strict=True)
    }


def test_odd_ttls_expire_as_written(written: Callable[..., None], store_directory: Path) -> None:
    """A past Date, a negative number or a word is expired at once in 4.x; digits as text are far in the future."""
    past = {"date": NOW_MS - 1000}
    written(4, store_directory, [("a", 1, past), ("b", 1, -5), ("c", 1, "soon"), ("d", 1, "5000"), ("e", 1, 5000)])
    store = Store.open(str(store_directory), None)
    expiry = {item.key: item.expires_at_ms for item in map(store.read, [found.path for found in store.scan()])}

    assert expiry == {"a": DAY_MS, "b": DAY_MS, "c": DAY_MS, "d": float(f"{NOW_MS}5000"), "e": NOW_MS + 5000}


def test_removed_items_leave_nothing(library: Library, written: Callable[..., None], store_directory: Path) -> None:
    """An item that the library finds expired is a file less, so nothing of it can be found."""
    for generation in GENERATIONS:
        written(generation, store_directory, [("gone-key", 1, 5)])
        assert [["gone-key", None]] == library(
            "read", generation, store_directory, keys=["gone-key"], ttl=True, now_ms=NOW_MS + 10
        )
        assert [] == list(Store.open(str(store_directory), None).scan())
        shutil.rmtree(store_directory)


def _as_kept(key: str) -> str:
    """Return what 1.x keeps of a key: the low byte of each UTF-16 unit."""
    octets = key.encode("utf-16-le", "surrogatepass")
    return octets[::2].decode("latin-1")
