"""Where words begin in a block of folded texts, and which words there are: `folding.starts` and `runs` for millions."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.suggest.folding import CJK_RANGES
from service.suggest.text_order import read_words

_SPACE: Final = 0x20
_FOUR_BYTES: Final = 0xF0


@dataclass(frozen=True, slots=True)
class Starts:
    """The starts of all words, in the order of the block.

    Attributes:
        places: bytes from the beginning of the block.
        texts: number of the text that each is in.
        is_first: whether a text begins there.
        is_spaced: whether a text or a word after a space begins there.
        ends: where the word's run of characters without spaces and without CJK ends; the place itself if it is CJK.
        has_cjk: whether there is any CJK.
    """

    places: NDArray[np.int64]
    texts: NDArray[np.int64]
    is_first: NDArray[np.bool_]
    is_spaced: NDArray[np.bool_]
    ends: NDArray[np.int64]
    has_cjk: bool


def find_starts(block: NDArray[np.uint8]) -> Starts:
    """Find them in a block without its padding."""
    is_separator = (block == _SPACE) | (block == 0)
    is_spaced = np.empty(len(block), bool)
    is_spaced[:1] = True
    is_spaced[1:] = is_separator[:-1]
    is_spaced &= ~is_separator
    is_start, is_cjk = is_spaced, None
    if len(block) and block.max() >= 0x80:
        is_cjk = _find_cjk(block)
        is_start = is_spaced | is_cjk
        for size, leads in ((3, block < _FOUR_BYTES), (4, block >= _FOUR_BYTES)):
            after = np.flatnonzero(is_cjk & leads) + size
            is_start[after[~is_separator[after]]] = True
    text_ends = np.flatnonzero(block == 0)
    places = np.flatnonzero(is_start)
    texts = np.searchsorted(text_ends, places)
    text_begins = np.concatenate([[0], text_ends[:-1] + 1]) if len(text_ends) else text_ends
    ends = np.empty(len(places), np.int64)
    if len(places):
        ends[:-1] = places[1:] - is_separator[places[1:] - 1]
        ends[-1] = len(block) - 1
    if is_cjk is not None:
        ends = np.where(is_cjk[places], places, ends)
    return Starts(
        places, texts, places == text_begins[texts], is_spaced[places], ends, is_cjk is not None and bool(is_cjk.any())
    )


def _find_cjk(block: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell at which bytes a CJK character begins: two bytes of UTF-8 say so."""
    pairs = block.astype(np.uint16) << 8
    pairs[:-1] |= block[1:]
    found = np.zeros(len(block), bool)
    for first, last in CJK_RANGES:
        low, high = (int.from_bytes(chr(code).encode()[:2]) for code in (first, last))
        found |= (pairs >= low) & (pairs <= high)
    return found


def list_words(
    texts: bytes, starts: Starts, order: NDArray[np.int64], rank_of: NDArray[np.uint32]
) -> tuple[list[str], NDArray[np.uint32]]:
    """Return the distinct runs without spaces and CJK, sorted, and for each the best rank of its texts.

    Args:
        texts: the padded block.
        starts: in it.
        order: of the starts by text.
        rank_of: for each text.
    """
    order = order[starts.ends[order] > starts.places[order]]
    if not len(order):
        return [], np.zeros(0, np.uint32)
    places, sizes = starts.places[order], starts.ends[order] - starts.places[order]
    is_new = np.append(True, ~_equal_neighbours(np.frombuffer(texts, np.uint8), places, sizes))
    firsts = np.flatnonzero(is_new)
    best = np.minimum.reduceat(rank_of[starts.texts[order]], firsts)
    words = [
        texts[place : place + size].decode()
        for place, size in zip(places[firsts].tolist(), sizes[firsts].tolist(), strict=True)
    ]
    if not starts.has_cjk:
        return words, best
    # A run that ends at a CJK character is sorted by that character: the same word may come again later.
    merged: dict[str, int] = {}
    for word, rank in zip(words, best.tolist(), strict=True):
        merged[word] = min(rank, merged.get(word, rank))
    words = sorted(merged)
    return words, np.array([merged[word] for word in words], np.uint32)


def _equal_neighbours(
    block: NDArray[np.uint8], places: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell of each text but the first whether it equals the one before."""
    is_equal: NDArray[np.bool_] = sizes[1:] == sizes[:-1]
    left = np.flatnonzero(is_equal)
    depth = 0
    while len(left):
        # Of the last eight bytes only those that belong to the text count.
        unused = (8 * np.maximum(0, 8 - (sizes[left] - depth))).astype(np.uint64)
        differs = (read_words(block, places[left] + depth) ^ read_words(block, places[left + 1] + depth)) >> unused != 0
        is_equal[left[differs]] = False
        depth += 8
        left = left[~differs]
        left = left[sizes[left] > depth]
    return is_equal
