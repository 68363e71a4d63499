"""Stores of realistic user files, as version 4 of node-persist writes them: deterministic by seed."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from bench_node_persist_data import Catalogue, dump


def write_store(directory: Path, files: int = 20_000, *, seed: int = 1) -> int:
    """Fill a directory as version 4 of the library would; return the bytes written."""
    directory.mkdir(parents=True, exist_ok=True)
    total = 0
    for key, value in users(files, seed=seed):
        content = b'{"key":' + json.dumps(key).encode() + b',"value":' + value + b"}"
        (directory / hashlib.sha256(key.encode()).hexdigest()).write_bytes(content)
        total += len(content)
    return total


def users(files: int, *, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """Yield (user id, JSON text of the value) of so many users."""
    catalogue = Catalogue(seed)
    for number in range(files):
        yield catalogue.user(number)


def write_large(directory: Path, size: int, *, seed: int = 1) -> None:
    """Write one user whose value is `size` bytes: the plays and saved tracks of many, as one file."""
    whole: dict[str, list[object]] = {"recentlyPlayed": [], "savedTracks": []}
    reached, number, catalogue = 0, 0, Catalogue(seed)
    while reached < size:
        value = json.loads(catalogue.user(number)[1])
        for section in whole:
            whole[section] += value[section]
            reached += len(dump(value[section]))
        number += 1
    (directory / hashlib.sha256(b"large").hexdigest()).write_text(dump({"key": "large", "value": whole}), "utf-8")
