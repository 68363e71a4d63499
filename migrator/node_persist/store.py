"""A directory that node-persist wrote: which files are in it, whose they are, and what each holds."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrator.errors import Refused
from migrator.node_persist import generations
from migrator.node_persist.contents import Decode, identify, stray_path, unwrap
from migrator.node_persist.damage import Damaged, Gone
from migrator.node_persist.expiry import expiry_of_file
from migrator.node_persist.listing import Entry, entries, entry_of
from migrator.node_persist.patterns import KeyPatterns
from migrator.node_persist.reading import PATIENCE_NS, open_inside, read_settled

__all__ = ["Damaged", "Found", "Gone", "Item", "Store"]

_HEAD_BYTES = 4096


@dataclass(frozen=True)
class Found:
    """One file of the store, or another directory entry that has to be reported.

    Attributes:
        path: relative to the store, with `/`; a name that is not UTF-8 is written with escapes, after `./`.
        size: bytes.
        mtime_ns: last change, nanoseconds since the epoch.
        key: the item's key, None when only reading the whole file can tell.
        user_id: the id that the key names, None when the key is no user's or not known yet.
        generation: 0, 1, 2 (2.x and 3.x) or 4; None when not known yet.
        reason: why it is stray, or None.
    """

    path: str
    size: int
    mtime_ns: int
    key: str | None
    user_id: str | None
    generation: int | None
    reason: str | None


@dataclass(frozen=True)
class Item:
    """What a file holds.

    Attributes:
        path: relative to the store.
        size: bytes, as of the read that gave `value`.
        mtime_ns: last change, likewise.
        key: the item's key.
        generation: 0, 1, 2 (2.x and 3.x) or 4.
        value: JSON text in UTF-8; a slice of the bytes read.
        expires_at_ms: milliseconds since the epoch, None for never.
        rescued: what had to be put right to read it, or None.
        decoded: what the reader's `decode` made of the value; None when it was not asked or did not accept it.
    """

    path: str
    size: int
    mtime_ns: int
    key: str
    generation: int
    value: memoryview | bytes
    expires_at_ms: float | None
    rescued: str | None
    decoded: Any = None

    def is_expired(self, now_ms: float) -> bool:
        """Tell whether the library would no longer return the item (every release: `ttl < now`)."""
        return self.expires_at_ms is not None and self.expires_at_ms < now_ms


class Store:
    """A store as the application left it, or still writes it. It is only read.

    Raises:
        UsageError: a pattern is wrong.
    """

    def __init__(self, directory: Path, patterns: tuple[str, ...]) -> None:
        self.directory = directory
        self.patterns = KeyPatterns(patterns)
        self._root = str(directory)

    @classmethod
    def open(cls, directory: str, patterns: str | None) -> "Store":
        """Open a store, given the key patterns separated by commas, or None for the default ones.

        Raises:
            UsageError: a pattern is wrong.
            Refused: the directory is missing, no directory, or cannot be read.
        """
        store = cls(Path(directory), KeyPatterns.parse(patterns).patterns)
        store.check()
        return store

    def check(self) -> None:
        """Raise Refused unless the directory can be listed and its files reached."""
        try:
            # Reaching a file needs more than listing it.
            os.close(os.open(f"{self._root}/.", os.O_RDONLY | os.O_CLOEXEC))
            with os.scandir(self._root) as listing:
                next(listing, None)
        except OSError as error:
            raise Refused(f"the store {self._root} cannot be read: {error.strerror}") from error

    def user_id(self, key: str) -> str | None:
        """Return the id that a key names, or None when it is no user's."""
        return self.patterns.user_id(key)

    def sign(self) -> Iterator[tuple[str, int, int]]:
        """Yield path, size and mtime_ns of every entry that `scan` reports, without opening any.

        Raises:
            Refused: the directory cannot be read any more.
        """
        for entry in entries(self._root):
            yield entry.path, entry.size, entry.mtime_ns

    def scan(self) -> Iterator[Found]:
        """Yield every file and every other entry to report, in no order, looking at no more than the first 4 KiB.

        Raises:
            Refused: the directory cannot be read any more.
        """
        for entry in entries(self._root):
            yield self._find(entry)

    def find(self, path: str) -> Found | None:
        """Look at one entry again, as `scan` does; None when it is gone."""
        entry = entry_of(self._root, path)
        return None if entry is None else self._find(entry)

    def read(self, found_path: str, decode: Decode | None = None) -> Item:
        """Read one file.

        Args:
            found_path: which.
            decode: what the caller will decode the value with, to spare looking through the text twice.

        Raises:
            Damaged: it holds no item; `reason` and `outcome` say why.
            Gone: it was deleted since.
        """
        if reason := stray_path(found_path):
            raise Damaged(reason, outcome="stray")
        content, status = read_settled(self._root, found_path, lambda data: unwrap(found_path, data, decode))
        expires_at_ms = content.expires_at_ms
        if content.generation in {generations.RAW, generations.BASE64}:
            expires_at_ms = self._expiry_beside(found_path, status)
        return Item(
            found_path,
            status.st_size,
            status.st_mtime_ns,
            content.key,
            content.generation,
            content.value,
            expires_at_ms,
            content.rescued,
            content.decoded,
        )

    def _find(self, entry: Entry) -> Found:
        key, generation, reason = None, None, entry.reason or stray_path(entry.path)
        if reason is None:
            with suppress(Damaged, Gone, OSError):  # what cannot be read now is told by `read`
                key, generation, reason = identify(entry.path, self._head(entry.path))
        user_id = self.user_id(key) if key is not None and reason is None else None
        return Found(entry.path, entry.size, entry.mtime_ns, key, user_id, generation, reason)

    def _head(self, path: str) -> bytes:
        descriptor = open_inside(self._root, path)
        try:
            return os.read(descriptor, _HEAD_BYTES)
        finally:
            os.close(descriptor)

    def _expiry_beside(self, path: str, status: os.stat_result) -> float | None:
        """Return what the directory `DIR-ttl` says of an item of 0.x or 1.x.

        It is there only when the application set a ttl for the store, and then the library obeys it. The library
        writes the item first and its expiry after it: an expiry that is older than an item written this moment is
        of the item before, so it is looked at again.
        """
        directory = self._root.rstrip("/") + generations.EXPIRY_SUFFIX
        deadline_ns = status.st_mtime_ns + PATIENCE_NS
        while True:
            try:
                expires_at_ms, beside = read_settled(directory, path, expiry_of_file)
            except (Damaged, Gone):
                return None
            if beside.st_mtime_ns >= status.st_mtime_ns or time.time_ns() > deadline_ns:
                return expires_at_ms
            time.sleep(0.02)
