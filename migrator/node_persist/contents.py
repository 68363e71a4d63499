"""Telling what a file is by its path and content: whose item, of which generation, or why it is none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from migrator.node_persist import generations
from migrator.node_persist.damage import Damaged
from migrator.node_persist.document import (
    Document,
    Text,
    begins_like_json,
    key_in_head,
    parse,
    plain_members,
    unwrap_string,
)
from migrator.node_persist.expiry import expiry_of_member
from migrator.node_persist.strays import stray_reason

#: Makes something of a value's text; None when the text is no JSON object, or there is anything odd about it.
Decode = Callable[[Text], Any]

_COPY = "its name is not that of its key: a copy, or renamed"


@dataclass(frozen=True)
class Content:
    """An item, apart from its file; see `Item`."""

    key: str
    generation: int
    value: Text
    expires_at_ms: float | None
    rescued: str | None
    decoded: Any = None


def stray_path(path: str) -> str | None:
    """Return why a file of this path is none of the library's, whatever it holds, or None."""
    if generations.is_digest(path):
        return None
    *parents, name = path.split("/")
    if path.startswith("./"):
        return "its name is not UTF-8"
    if any(parent.startswith(".") for parent in parents):
        return "in a hidden directory"
    return stray_reason(name)


def identify(path: str, head: bytes) -> tuple[str | None, int | None, str | None]:
    """Return key, generation and why it is stray, as far as name and first bytes tell."""
    found = key_in_head(head)
    if found is not None and found[1]:
        key = found[0]
        generation = generations.digest_generation(path, key)
        return (key, generation, None) if generation is not None else (key, None, _COPY)
    if generations.is_digest(path):
        return None, None, None
    if "/" in path and head and not begins_like_json(head):
        return None, None, "in a sub-directory, and not JSON"
    generation, key = generations.key_of_name(path)
    return key, generation, None


def unwrap(path: str, data: bytes, decode: Decode | None = None) -> Content:
    """Return what a file of this path and content holds, without the expiry that 0.x and 1.x keep elsewhere.

    Args:
        path: of the file.
        data: its content.
        decode: what the caller will decode the value with; where it accepts it, the text is gone through only once.

    Raises:
        Damaged: it holds no item.
    """
    if decode is not None and (content := _plain(path, data, decode)) is not None:
        return content
    document = parse(data)
    rescued = document.rescued
    if document.key is None and generations.is_digest(path):
        inner = unwrap_string(document.text)
        if inner is not None and (unwrapped := parse(inner)).is_envelope:
            document, rescued = unwrapped, _also(rescued)
    generation, key = _whose(path, document)
    is_bare = generation in {generations.RAW, generations.BASE64}
    value = document.text if is_bare else document.value
    inner = unwrap_string(value)
    if inner is not None:
        value, rescued = inner, _also(rescued)
    return Content(key, generation, value, None if is_bare else expiry_of_member(document.ttl), rescued)


def _plain(path: str, data: bytes, decode: Decode) -> Content | None:
    members = plain_members(data)
    if members is None:
        return None
    key, value, ttl = members
    generation = generations.digest_generation(path, key)
    decoded = None if generation is None else decode(value)
    if generation is None or decoded is None:
        return None
    return Content(key, generation, value, expiry_of_member(ttl), None, decoded)


def _whose(path: str, document: Document) -> tuple[int, str]:
    """Return generation and key."""
    if document.key is not None:
        generation = generations.digest_generation(path, document.key)
        if generation is not None:
            if not document.key:  # isValidStorageFileContent: `content && content.key`
                raise Damaged("its key is empty; the library does not take it for a file of its own")
            return generation, document.key
        if document.is_envelope:
            raise Damaged(_COPY, outcome="stray")
    return generations.key_of_name(path)


def _also(rescued: str | None) -> str:
    return f"{rescued}; double-encoded JSON unwrapped" if rescued else "double-encoded JSON unwrapped"
