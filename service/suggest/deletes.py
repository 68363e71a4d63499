"""Hashes of texts with letters deleted, for the index of misspellings: millions by arrays, a query's by a loop."""

from functools import cache
from operator import mul
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Texts are hashed up to so many letters.
MOST_LETTERS: Final = 8

_BASE: Final = 0x9E3779B97F4A7C15  # odd, so that its powers never become 0 modulo 2**64
_POWERS: Final = [pow(_BASE, exponent, 1 << 64) for exponent in range(MOST_LETTERS + 1)]
_MIX: Final = 0xD6E8FEB86659FD93
_ALL: Final = (1 << 64) - 1


def hash_all(letters: NDArray[np.uint32], most: int) -> NDArray[np.uint32]:
    """Return 32-bit hashes of each row's text with up to `most` letters deleted, at most 2.

    A text's hash is a polynomial of its letters. Sums from the left, of the letters as they stand and moved by one and
    by two places, make the hash of each variant by a few additions.
    """
    rows, size = letters.shape
    powers = np.array(_POWERS[: size + 1], np.uint64)
    values = letters.astype(np.uint64)
    sums = np.zeros((3, rows, size + 3), np.uint64)
    for moved in range(3):
        # A letter never moves by more places than stand before it: that its weight is 0 then does no harm.
        weights = np.concatenate([np.zeros(moved, np.uint64), powers])[:size]
        np.cumsum(values * weights, axis=1, out=sums[moved, :, 1 : size + 1])
        sums[moved, :, size + 1 :] = sums[moved, :, size : size + 1]
    first, second = _deletions(size, most)
    total = sums[0][:, first] + sums[1][:, second] - sums[1][:, first + 1] + sums[2][:, [size]] - sums[2][:, second + 1]
    total ^= total >> np.uint64(29)
    hashes: NDArray[np.uint32] = (total * np.uint64(_MIX) >> np.uint64(32)).astype(np.uint32)
    return hashes


@cache
def _deletions(size: int, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which two places each variant lacks; `size` and beyond stand for nothing."""
    pairs = [(size, size + 1)]
    if most >= 1:
        pairs += [(place, size) for place in range(size)]
    if most >= 2:
        pairs += [(first, second) for first in range(size) for second in range(first + 1, size)]
    first, second = np.array(pairs).T
    return first, second


def hash_once(text: str) -> list[int]:
    """Return the hashes of a text with at most one letter deleted; for so few a loop is faster than arrays."""
    codes = list(map(ord, text))
    powers = _POWERS
    whole = sum(map(mul, codes, powers))
    # Without its first letter; then each next variant has one letter back and lacks its neighbour.
    lacking = sum(map(mul, codes[1:], powers))
    totals = [whole, lacking]
    for place in range(len(codes) - 1):
        lacking += (codes[place] - codes[place + 1]) * powers[place]
        totals.append(lacking)
    return [(((total & _ALL) ^ (total & _ALL) >> 29) * _MIX & _ALL) >> 32 for total in totals]


def hash_twice(text: str) -> list[int]:
    """Return the hashes of a text with at most two letters deleted."""
    hashes: list[int] = hash_all(np.array([text]).view(np.uint32).reshape(1, -1), 2)[0].tolist()
    return hashes
