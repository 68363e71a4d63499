"""A million tags in a few blocks of bytes: read once from a stream, in the order they come."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.suggest.folding import fold_all
from service.suggest.tag import Tag
from service.suggest.text_order import PADDING

#: Tags that are held as objects at the same time.
_AT_A_TIME: Final = 10_000
_S, _E, _I, _Y = b"seiy"

#: What several tags have in common: category, color, is_standard.
Kind = tuple[str, str | None, bool]


@dataclass(slots=True)
class Columns:
    """Tags by the number at which they came, synonyms by theirs.

    Attributes:
        records: for each tag usage, number of its kind, id, name, normalized name and synonyms, NUL after each.
        record_begins: of each tag's record in `records`, and of the end.
        texts: folded names, then folded synonyms, NUL after each; padded (see `text_order`).
        normalized: normalized names like `texts`; empty when they are the folded ones.
        usage: songs that have the tag.
        kinds: what kinds there are.
        kind: which one a tag has.
        id_hashes: 32 bits of the id's hash.
        owners, ordinals: of each synonym, its tag and its number among the tag's.
    """

    records: bytes
    record_begins: NDArray[np.int64]
    texts: bytes
    normalized: bytes
    usage: NDArray[np.int64]
    kinds: list[Kind]
    kind: NDArray[np.uint32]
    id_hashes: NDArray[np.uint32]
    owners: NDArray[np.uint32]
    ordinals: NDArray[np.uint32]


@dataclass(slots=True)
class _Parts:
    records: list[bytes] = field(default_factory=list)
    sizes: list[NDArray[np.int64]] = field(default_factory=list)
    names: list[bytes] = field(default_factory=list)
    normalized: list[bytes] = field(default_factory=list)
    usage: list[NDArray[np.int64]] = field(default_factory=list)
    kind: list[NDArray[np.uint32]] = field(default_factory=list)
    id_hashes: list[NDArray[np.uint32]] = field(default_factory=list)
    synonyms: list[bytes] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    ordinals: list[int] = field(default_factory=list)


class _Numbers(dict[Kind, int]):
    """Gives each kind the next number when it is first seen."""

    def __missing__(self, kind: Kind) -> int:
        self[kind] = len(self)
        return self[kind]


def read(tags: Iterable[Tag]) -> Columns:
    """Take in all tags; at no time are more than some thousands of them held as objects."""
    parts, kinds, source = _Parts(), _Numbers(), iter(tags)
    is_folded = True
    count = 0
    while some := list(islice(source, _AT_A_TIME)):
        is_folded &= _read_some(some, count, parts, kinds)
        count += len(some)
    begins = np.zeros(count + 1, np.int64)
    if count:
        np.cumsum(np.concatenate(parts.sizes), out=begins[1:])
    padding = bytes(PADDING)
    return Columns(
        records=b"".join(parts.records),
        record_begins=begins,
        texts=b"".join((*parts.names, *parts.synonyms, padding)),
        normalized=b"" if is_folded else b"".join((*parts.normalized, padding)),
        usage=np.concatenate((*parts.usage, np.zeros(0, np.int64))),
        kinds=list(kinds),
        kind=np.concatenate((*parts.kind, np.zeros(0, np.uint32))),
        id_hashes=np.concatenate((*parts.id_hashes, np.zeros(0, np.uint32))),
        owners=np.array(parts.owners, np.uint32),
        ordinals=np.array(parts.ordinals, np.uint32),
    )


def _read_some(tags: list[Tag], count: int, parts: _Parts, kinds: _Numbers) -> bool:
    """Append tags to the parts; tell whether all their normalized names are the folded ones."""
    kind = [kinds[tag.category, tag.color, tag.is_standard] for tag in tags]
    records = [
        f"{tag.usage_count}\0{number}\0{tag.id}\0{tag.name}\0{tag.normalized}\0"
        for tag, number in zip(tags, kind, strict=True)
    ]
    synonyms: list[str] = []
    for place, tag in enumerate(tags):
        if tag.synonyms:
            records[place] += "\0".join(tag.synonyms) + "\0"
            synonyms += tag.synonyms
            parts.owners += [count + place] * len(tag.synonyms)
            parts.ordinals += range(len(tag.synonyms))
    if synonyms:
        parts.synonyms.append(_block(fold_all(synonyms)))
    names = fold_all([tag.name for tag in tags])
    normalized = [tag.normalized for tag in tags]
    encoded = list(map(str.encode, records))
    parts.records.append(b"".join(encoded))
    parts.sizes.append(np.fromiter(map(len, encoded), np.int64, len(tags)))
    parts.names.append(_block(names))
    parts.normalized.append(_block(normalized))
    parts.usage.append(np.fromiter([tag.usage_count for tag in tags], np.int64, len(tags)))
    parts.kind.append(np.fromiter(kind, np.uint32, len(tags)))
    parts.id_hashes.append(hashes_of([tag.id for tag in tags]))
    return names == normalized


def _block(texts: list[str]) -> bytes:
    return ("\0".join(texts) + "\0").encode()


def hashes_of(values: list[str] | list[bytes]) -> NDArray[np.uint32]:
    """Return 32 bits of Python's hash of each; they differ from process to process."""
    return np.fromiter(map(hash, values), np.int64, len(values)).astype(np.uint32)


def hash_of(value: str | bytes) -> int:
    """Return the same of one value."""
    return hash(value) & 0xFFFFFFFF


def skeletons_of(texts: bytes) -> NDArray[np.uint32]:
    """Return the hash of `folding.skeleton` of each text of a padded block of folded texts."""
    squeezed = texts[:-PADDING].replace(b" ", b"")
    block = np.frombuffer(squeezed, np.uint8)
    ends = np.flatnonzero(block == 0)
    begins = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    sizes = ends - begins
    last, second, third = (np.where(sizes > back, block[ends - back - 1], 0) for back in range(3))
    drop = ((last == _E) | (last == _Y) | ((last == _S) & (second != _S))) & (sizes >= 4)
    plural = (last == _S) & (second == _E)
    drop = np.where(plural & (sizes >= 5), 2, drop)
    drop = np.where(plural & (third == _I) & (sizes >= 6), 3, drop)
    return hashes_of([squeezed[begin:end] for begin, end in zip(begins.tolist(), (ends - drop).tolist(), strict=True)])
