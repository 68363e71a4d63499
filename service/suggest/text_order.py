"""Sorting millions of texts that lie in one block of bytes, without making a single string."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: After the last text a block has so many more NULs, so that eight bytes can be read anywhere.
PADDING: Final = 8

_ONES: Final = np.uint64(0x0101010101010101)
_HIGHS: Final = np.uint64(0x8080808080808080)


def order_texts(block: NDArray[np.uint8], begins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order of the texts that begin at `begins` and end before the next NUL, as indexes into `begins`.

    The order is that of bytes, which in UTF-8 is that of code points. Equal texts come in any order. Eight bytes are
    compared at a time, and each round looks only at texts that are still equal to their neighbour.
    """
    if len(begins) < 2:
        return np.arange(len(begins))
    words = read_words(block, begins)
    order = np.argsort(words)
    words = words[order]
    places = np.arange(len(order))
    group = np.zeros(len(order), np.int64)
    depth = 0
    while True:
        # A word with a NUL in it was a text's last: what follows belongs to another text.
        is_tie = (words[1:] == words[:-1]) & (group[1:] == group[:-1]) & ~has_nul(words[1:])
        is_member = np.append(is_tie, False)
        is_member[1:] |= is_tie
        kept = np.flatnonzero(is_member)
        if not len(kept):
            return order
        is_first = np.empty(len(kept), bool)
        is_first[0] = True
        is_first[1:] = ~is_tie[kept[1:] - 1]
        group = np.cumsum(is_first)
        places = places[kept]
        depth += 8
        tied = order[places]
        words = read_words(block, begins[tied] + depth)
        within = np.lexsort((words, group))
        order[places] = tied[within]
        words = words[within]


def read_words(block: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the eight bytes at each place as one number that compares like them."""
    unaligned = np.ndarray((len(block) - 7,), ">u8", block, strides=(1,))
    return unaligned[places].astype(np.uint64)


def has_nul(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Tell which words have a zero byte."""
    found: NDArray[np.bool_] = ((words - _ONES) & ~words & _HIGHS) != 0
    return found
