"""Loading modules without garbage collection.

Modules make some hundred thousand objects that live as long as the process. The collector would walk through them again
and again while they are made, and at every later collection: a third of a command's start-up.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Load inside the block; when that brought new modules, what is there at its end is never walked through again."""
    was_enabled, known = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
        if was_enabled:
            gc.enable()
