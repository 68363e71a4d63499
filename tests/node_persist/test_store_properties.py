"""Whatever was stored comes back; whatever lies in a file, the scan goes on."""

import base64
import json
import string
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from migrator.node_persist import generations
from migrator.node_persist.contents import unwrap
from migrator.node_persist.document import parse
from migrator.node_persist.store import Damaged, Store
from tests.node_persist.stores import GENERATIONS, NOW_MS, file_name, stringify, write

TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from('"\\/\x00\u2028\ud800\udc00'), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)
TTL = st.none() | st.integers(1, 10**12) | st.sampled_from(["5000", "soon", -1, True])

#: Keys for which the name of the file says the generation: see `key_of_name`.
LEGIBLE = st.text(string.ascii_letters + string.digits + "/:._- é", min_size=1, max_size=40)
KEYS = {
    0: st.lists(st.text(string.ascii_letters + string.digits + ":_é", min_size=1), min_size=1, max_size=4)
    .map("/".join)
    .map("user:".__add__),
    1: LEGIBLE.map("users/".__add__),
    4: TEXT.filter(bool) | LEGIBLE,
}
KEYS[2] = KEYS[3] = KEYS[4]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_round_trip(generation: int) -> None:
    """Any key, value and ttl of each generation reads back as it was stored."""

    @settings(max_examples=60)
    @given(KEYS[generation], JSON, TTL)
    def check(key: str, value: Any, ttl: Any) -> None:
        with tempfile.TemporaryDirectory() as home:
            directory = Path(home) / "store"
            file = write(directory, generation, key, value, ttl)
            data = file.read_bytes()
            path = file_name(generation, key)
            content = unwrap(path, data)

            assert content.key == key
            assert content.generation == (2 if generation == 3 else generation)
            assert bytes(content.value) == (value if content.rescued else stringify(value)).encode()
            (found,) = Store(directory, ("{id}",)).scan()
            assert (found.path, found.key, found.reason) == (path, key, None)

    check()


@settings(max_examples=10)
@given(st.lists(st.tuples(st.sampled_from(GENERATIONS), JSON, TTL), min_size=20, max_size=40))
def test_a_store_of_every_generation(items: list[tuple[int, Any, Any]]) -> None:
    """Items of all generations side by side, as an application leaves them that was upgraded again and again."""
    with tempfile.TemporaryDirectory() as home:
        directory = Path(home) / "store"
        for place, (generation, value, ttl) in enumerate(items):
            write(directory, generation, f"users/no. {place}/data", value, ttl)
        store = Store.open(str(directory), None)
        found = {entry.user_id: store.read(entry.path) for entry in store.scan()}

    assert set(found) == {f"no. {place}" for place in range(len(items))}
    for place, (generation, value, ttl) in enumerate(items):
        item = found[f"no. {place}"]
        assert item.generation == (2 if generation == 3 else generation)
        assert item.rescued or bytes(item.value) == stringify(value).encode()
        is_gone = generation >= 3 and (ttl is True or ttl in ("soon", -1))
        assert item.is_expired(NOW_MS) == is_gone
        assert (item.expires_at_ms is None) == (ttl is None)


WHOLE = stringify({"key": "ann", "value": {"name": "Zoë \ud800", "plays": [1, 2.5, None]}, "ttl": NOW_MS}).encode()


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Draw a file that was cut, overlapped, padded, or changed in some bytes."""
    content = bytearray(draw(st.sampled_from([WHOLE, b'"' + base64.b16encode(WHOLE) + b'"', b"[[1,2],{}]", b"17"])))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, len(content)))
        content[start:end] = draw(
            st.binary(max_size=4) | st.sampled_from([b"", b"\0" * 9, b"}", b'"', b"\\", WHOLE[5:]])
        )
    return bytes(content)


NAMES = st.sampled_from([file_name(generation, "ann") for generation in GENERATIONS] + ["a/b", "ann-1"])


@settings(max_examples=400)
@given(st.binary(max_size=60) | spoiled(), NAMES)
@example(b"\xef\xbb\xbf", "ann-1")
@example(b"\xef\xbb\xbf\0", "ann-1")
@example(b'"' + b'\\"' * 50, file_name(4, "ann"))
def test_any_content(content: bytes, path: str) -> None:
    """Any bytes under any name are an item or damaged: nothing else is raised."""
    try:
        json.loads(bytes(unwrap(path, content).value))
    except Damaged as damaged:
        said = damaged
    else:
        return

    assert said.reason
    assert said.outcome in {"damaged", "stray"}


@settings(max_examples=400)
@given(st.binary(max_size=30) | spoiled())
def test_good_json_is_what_python_takes_for_it(content: bytes) -> None:
    """Nothing that is JSON is damaged, and nothing that is not JSON is taken, mark and padding apart."""
    try:
        json.loads(
            content.removeprefix(b"\xef\xbb\xbf").rstrip(b"\0").decode(), parse_int=float, parse_constant=_refuse
        )
        is_good = True
    except ValueError:
        is_good = False
    try:
        parse(content)
        is_taken = True
    except Damaged:
        is_taken = False

    assert is_good == is_taken


@settings(max_examples=2)
@given(st.lists(st.binary(max_size=30) | spoiled(), min_size=300, max_size=300))
def test_damaged_files_do_not_stop_the_scan(contents: list[bytes]) -> None:
    """Every file of a store of rubbish is reported once, and reading one has no effect on the next."""
    with tempfile.TemporaryDirectory() as home:
        for place, content in enumerate(contents):
            (Path(home) / f"file-{place}").write_bytes(content)
        store = Store.open(home, None)
        found = [entry.path for entry in store.scan()]
        assert sorted(found) == sorted(f"file-{place}" for place in range(len(contents)))
        for path in found:
            with suppress(Damaged):
                store.read(path)


@given(st.text(max_size=40) | LEGIBLE)
def test_base64_names(key: str) -> None:
    """The name that 1.x gives a key is the writer's, and reads back as the key with its lower bytes."""
    name = file_name(1, key)
    assert generations.base64_name(key) == name
    if key and (name.endswith("=") or (key.isascii() and key.isprintable())):
        kept = key.encode("utf-16-le", "surrogatepass")[::2].decode("latin-1")
        assert generations.key_of_name(name) == (generations.BASE64, kept)


@given(
    st.text("0123456789abcdef", min_size=32, max_size=32)
    | st.text(string.ascii_letters + string.digits, min_size=20, max_size=30)
)
def test_raw_keys_are_not_taken_for_base64(key: str) -> None:
    """Digests and ids of letters and digits are not legible as base64."""
    try:
        text = base64.b64decode(key, validate=True).decode("ascii")
    except ValueError:
        text = ""
    if not text.isprintable() or not text:
        assert generations.key_of_name(key)[0] == generations.RAW


def _refuse(name: str) -> object:
    raise ValueError(name)
