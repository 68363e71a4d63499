"""Which entries of a directory are reported, as what, and that nothing in it is touched."""

import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from migrator.errors import Refused
from migrator.node_persist.store import Damaged, Gone, Store
from tests.node_persist.stores import file_name, write

USER = {"profile": {"id": "ann"}}
HEX = file_name(4, "ann")
CONTENT = b'{"key":"ann","value":{"profile":{"id":"ann"}}}'

STRAY = [
    ".DS_Store", "._" + HEX, ".git", ".nfs000000000012", ".sync-conflict-20200101-1", "desktop.ini", "Desktop.ini", "Thumbs.db",
    "Icon\r", f"{HEX} (conflicted copy 2020-01-01)", f"{HEX} (Ann's conflicted copy 2020-01-01)", f"{HEX} (1)", "ann (12)",
    "ann (1).json", f"{HEX}.sync-conflict-20200101-120000-ABCDEFG", "ann_conflict-20200101-120000", "ann copy", "ann copy 2",
    "ann - Copy", "Copy of ann", f"{HEX}.tmp", "ann.tmp.12345", "ann.part", "ann.crdownload", f".{HEX}.swp", "ann.swp", "ann.swo",
    "ann~", "~$ann", "#ann#", "ann.bak", "ann.orig", f"{HEX}.old", "ann.icloud", "ann.gdoc", "ann.lnk", "ann (Case Conflict)",
]  # fmt: skip


@pytest.mark.parametrize("name", STRAY)
def test_stray_names(name: str, store_directory: Path) -> None:
    """What systems, editors and sync services leave is stray whatever it holds; so says reading it."""
    store_directory.mkdir()
    (store_directory / name).write_bytes(CONTENT)
    store = Store.open(str(store_directory), None)
    (found,) = store.scan()

    assert found.reason
    assert (found.path, found.key, found.user_id, found.generation) == (name, None, None, None)
    with pytest.raises(Damaged) as caught:
        store.read(name)
    assert (caught.value.reason, caught.value.outcome) == (found.reason, "stray")


@pytest.mark.parametrize(
    "name", [file_name(4, "bob"), file_name(2, "bob"), file_name(1, "bob"), "ann", HEX.upper(), HEX[:40], f"{HEX}-laptop", "sub/" + HEX]
)  # fmt: skip
def test_an_envelope_under_another_name(name: str, store_directory: Path) -> None:
    """Since 3.0 an item is looked up by the digest of its key, so a file of another name is a copy: the key is told."""
    (store_directory / name).parent.mkdir(parents=True)
    (store_directory / name).write_bytes(CONTENT)
    store = Store.open(str(store_directory), None)
    (found,) = store.scan()

    assert (found.key, found.user_id, found.generation) == ("ann", None, None)
    assert found.reason == "its name is not that of its key: a copy, or renamed"
    with pytest.raises(Damaged) as caught:
        store.read(name)
    assert (caught.value.reason, caught.value.outcome) == (found.reason, "stray")


def test_names_that_are_keys(store_directory: Path) -> None:
    """Names that look odd and are none of the above are what the library wrote."""
    keys = ["session:1", "x.json", "temporary", "copy", "a~b", "conflict", "user#1", "(1)", "old", "tmp", "a.temporary"]
    for key in keys:
        write(store_directory, 0, key, 1)
    # A bare value of 0.x may have a member `key`, and a raw key may look like a digest.
    write(store_directory, 0, "keyed", {"key": "a", "name": 1})
    write(store_directory, 0, "0" * 32, {"key": "a", "name": 1})
    # Base64, but not as 1.x would have written it; 1.x would have written YQ==.
    write(store_directory, 0, "YW==", 1)
    keys.append("YW==")
    store = Store.open(str(store_directory), None)

    assert {found.key for found in store.scan()} == {*keys, "keyed", None}
    assert {found.reason for found in store.scan()} == {None}
    assert {store.read(found.path).key for found in store.scan()} == {*keys, "keyed", "0" * 32}


def test_sub_directories(store_directory: Path) -> None:
    """A 0.x key with `/` is a path; what is no JSON there, hidden, or too deep is stray."""
    write(store_directory, 0, "users/ann/data", USER)
    write(store_directory, 0, "tokens/ann", {"token": 1})
    (store_directory / "users" / "notes.txt").write_text("Buy milk")
    (store_directory / "users" / "empty").write_text("")
    (store_directory / ".git" / "objects").mkdir(parents=True)
    (store_directory / ".git" / "objects" / "ab").write_text("{}")
    deep = store_directory.joinpath(*["d"] * 20)
    deep.mkdir(parents=True)
    (deep / "x").write_text("{}")
    long = store_directory.joinpath(*["n" * 250] * 5)
    long.mkdir(parents=True)
    (long / "x").write_text("{}")
    store = Store.open(str(store_directory), None)
    found = {entry.path: (entry.user_id, entry.generation, entry.reason) for entry in store.scan()}

    assert found == {
        "users/ann/data": ("ann", 0, None),
        "tokens/ann": (None, 0, None),
        "users/notes.txt": (None, None, "in a sub-directory, and not JSON"),
        "users/empty": (None, 0, None),
        ".git/objects/ab": (None, None, "in a hidden directory"),
        "/".join(["d"] * 16): (None, None, "a directory too deep for any key; what is in it was not looked at"),
        "/".join(["n" * 250] * 4): (None, None, "a directory too deep for any key; what is in it was not looked at"),
    }
    assert store.read("users/ann/data").key == "users/ann/data"


def test_links_and_special_files(store_directory: Path, tmp_path: Path) -> None:
    """No link is followed, inside or out; nothing else than regular files is opened, also when it comes later."""
    write(tmp_path / "elsewhere", 4, "ann", USER)
    write(store_directory, 4, "ann", USER)
    (store_directory / file_name(4, "out")).symlink_to(tmp_path / "elsewhere" / HEX)
    (store_directory / file_name(4, "in")).symlink_to(store_directory / HEX)
    (store_directory / "directory").symlink_to(tmp_path / "elsewhere")
    (store_directory / "broken").symlink_to("nowhere")
    (store_directory / "loop").symlink_to("loop")
    os.mkfifo(store_directory / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(store_directory)  # the name of a socket is short
        listener.bind("socket")
        os.chdir(here)
    store = Store.open(str(store_directory), None)
    found = {entry.path: entry.reason for entry in store.scan()}
    link, special = "a link; links are not followed", "not a regular file"

    assert found == {
        HEX: None,
        file_name(4, "out"): link,
        file_name(4, "in"): link,
        "directory": link,
        "broken": link,
        "loop": link,
        "pipe": special,
        "socket": special,
    }
    for path in found.keys() - {HEX, "socket"}:
        with pytest.raises(Damaged) as caught:
            store.read(path)
        assert caught.value.outcome == "stray"
    with pytest.raises(Damaged):
        store.read("socket")
    for path in (f"directory/{HEX}", "../elsewhere/" + HEX, f"/{HEX}", f"./{HEX}", "", "a\0b"):
        with pytest.raises((Damaged, Gone)):
            store.read(path)


def test_a_store_named_by_a_link(store_directory: Path, tmp_path: Path) -> None:
    """The operator's own name for the store may be a link."""
    write(store_directory, 4, "ann", USER)
    (tmp_path / "current").symlink_to(store_directory)
    store = Store.open(str(tmp_path / "current"), None)

    assert ["ann"] == [store.read(found.path).key for found in store.scan()]


def test_names_that_are_not_utf8(store_directory: Path) -> None:
    """Such a path can be stored, and stays another than that of a file with the same characters."""
    store_directory.mkdir()
    (store_directory / os.fsdecode(b"sub\xfe")).mkdir()
    for name in (b"a\xff", b"a\\xff", b"a\\\xff", b"sub\xfe/x"):
        (store_directory / os.fsdecode(name)).write_bytes(b"{}")
    found = {entry.path: entry.reason for entry in Store.open(str(store_directory), None).scan()}

    assert found == {
        "./a\\xff": "its name is not UTF-8",
        "./a\\\\\\xff": "its name is not UTF-8",
        "./sub\\xfe/x": "its name is not UTF-8",
        "a\\xff": None,
    }
    assert all(path.encode() for path in found)


def test_signs_are_those_of_the_scan(store_directory: Path) -> None:
    """`sign`, `scan` and `find` report the same entries, sizes and times."""
    for generation in (0, 1, 2, 4):
        write(store_directory, generation, f"users/{generation}/data", USER)
    (store_directory / ".DS_Store").write_bytes(b"\0")
    (store_directory / "link").symlink_to("nowhere")
    store = Store.open(str(store_directory), None)

    assert sorted(store.sign()) == sorted((found.path, found.size, found.mtime_ns) for found in store.scan())
    assert len(list(store.sign())) == 6
    assert all(store.find(found.path) == found for found in store.scan())
    assert [store.find(path) for path in ("missing", "users", "users/0/data/x", "link/x")] == [None] * 4


def test_the_directory_is_not_touched(store_directory: Path) -> None:
    """Not a byte, name, mode or time of it changes, access times included where the system lets us."""
    for generation in (0, 1, 2, 4):
        write(store_directory, generation, f"users/{generation}/data", USER, ttl=5)
    (store_directory / "half").write_bytes(b"{")
    everything = sorted([store_directory.parent, *store_directory.parent.rglob("*")])
    for path in everything:
        os.utime(path, (1_000_000_000, 1_100_000_000))

    def image() -> list[tuple[object, ...]]:
        return [
            (path, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns, None if path.is_dir() else s.st_atime_ns)
            for path in everything
            for s in [path.stat()]
        ]

    before = image()
    store = Store.open(str(store_directory), None)
    for found in store.scan():
        try:
            store.read(found.path)
        except Damaged:
            assert found.path == "half"

    assert before == image()
    assert everything == sorted([store_directory.parent, *store_directory.parent.rglob("*")])


def test_a_store_without_write_permission(store_directory: Path) -> None:
    """Reading needs no more than reading."""
    write(store_directory, 4, "ann", USER).chmod(0o444)
    store_directory.chmod(0o555)
    store = Store.open(str(store_directory), None)

    assert ["ann"] == [store.read(found.path).key for found in store.scan()]
    store_directory.chmod(0o755)


def test_stores_that_cannot_be_opened(tmp_path: Path) -> None:
    """A missing store, or a file, is refused, also when it goes away later."""
    (tmp_path / "file").write_text("")
    for name in ("missing", "file", "file/below"):
        with pytest.raises(Refused, match="cannot be read"):
            Store.open(str(tmp_path / name), None)
    store = Store(tmp_path / "missing", ("{id}",))
    for entries in (store.scan(), store.sign()):
        with pytest.raises(Refused, match="No such file or directory"):
            list(entries)


def test_many_files_need_little_memory(store_directory: Path) -> None:
    """Scanning holds no list of names: 8,000 files cost no more than 300 kB."""
    store_directory.mkdir()
    for number in range(8_000):
        os.close(os.open(store_directory / f"file-{number:05}", os.O_CREAT | os.O_WRONLY))
    store = Store.open(str(store_directory), None)
    tracemalloc.start()
    try:
        assert 8_000 == sum(1 for _ in store.scan()) == sum(1 for _ in store.sign())
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()
