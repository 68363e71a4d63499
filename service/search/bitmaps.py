"""From numpy's arrays to roaring bitmaps and back."""

from array import array

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

Numbers = NDArray[np.uint32]


def bitmap(numbers: Numbers) -> BitMap:
    """Return the set of some numbers, in any order."""
    # From an array of Python's it is a copy of memory; from numpy's it is ten times slower.
    values = array("I")
    values.frombytes(np.ascontiguousarray(numbers, np.uint32).tobytes())
    return BitMap(values)


def numbers(found: BitMap) -> Numbers:
    """Return the members of a set in ascending order."""
    return np.frombuffer(found.to_array(), np.uint32)


def group_bounds(groups: NDArray[np.int64], count: int) -> NDArray[np.int32]:
    """Return where each of `count` groups begins in sorted group numbers, and where the last one ends.

    Raises:
        OverflowError: there are more than 2,147,483,647 numbers.
    """
    if len(groups) > np.iinfo(np.int32).max:
        raise OverflowError(f"{len(groups):,} links are more than an index in one process can number")
    bounds = np.zeros(count + 1, np.int32)
    np.cumsum(np.bincount(groups, minlength=count), out=bounds[1:])
    return bounds


def distinct(sorted_values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Drop repetitions from sorted values."""
    if not len(sorted_values):
        return sorted_values
    is_first = np.ones(len(sorted_values), bool)
    np.not_equal(sorted_values[1:], sorted_values[:-1], out=is_first[1:])
    return sorted_values if is_first.all() else sorted_values[is_first]
