"""Which keys are users."""

from pathlib import Path

import pytest

from migrator.errors import UsageError
from migrator.node_persist.patterns import KeyPatterns
from migrator.node_persist.store import Store


def test_key_patterns() -> None:
    """The first pattern that matches names the user; ids are one part of the key."""
    default, own = KeyPatterns.parse(None), KeyPatterns.parse("user:{id}, {id}.json ,{id}")

    assert [default.user_id(key) for key in ("ann", "users/ann/data", "Zoë ", "31x_y.z-1")] == [
        "ann",
        "ann",
        "Zoë ",
        "31x_y.z-1",
    ]
    assert [
        default.user_id(key)
        for key in ("a/b", "users//data", "users/a/b/data", "", "a\nb", "a\0", "x\ud800", "k" * 201)
    ] == [None] * 8
    assert [own.user_id(key) for key in ("user:ann", "ann.json", "bob", "users/a/data", "a.json/b")] == [
        "ann",
        "ann",
        "bob",
        None,
        None,
    ]
    assert KeyPatterns.parse("a.b+{id}").user_id("axb+1") is None


@pytest.mark.parametrize("patterns", ["", " , ", "users", "{id}/{id}", "{name}", "{id}{", "{}", "}{id}"])
def test_bad_key_patterns(patterns: str, tmp_path: Path) -> None:
    """A pattern holds `{id}` exactly once."""
    with pytest.raises(UsageError):
        Store.open(str(tmp_path), patterns)
