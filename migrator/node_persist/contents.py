"""Telling what a file is by its path and content: whose item, of which generation, or why it is none."""

from dataclasses import dataclass

from migrator.node_persist import generations
from migrator.node_persist.damage import Damaged
from migrator.node_persist.document import Document, Text, begins_like_json, key_in_head, parse, unwrap_string
from migrator.node_persist.expiry import expiry_of_member
from migrator.node_persist.strays import stray_reason

_COPY = "its name is not that of its key: a copy, or renamed"


@dataclass(frozen=True)
class Content:
    """An item, apart from its file; see `Item`."""

    key: str
    generation: int
    value: Text
    expires_at_ms: float | None
    rescued: str | None


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


def unwrap(path: str, data: bytes) -> Content:
    """Return what a file of this path and content holds, without the expiry that 0.x and 1.x keep elsewhere.

    Raises:
        Damaged: it holds no item.
    """
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
