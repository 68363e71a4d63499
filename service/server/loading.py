"""What a server process must hold before it answers: the indexes, and the answers that are asked for most."""

import gc
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from service.freshness.feed import build_index, current_number
from service.http.problems import Problem
from service.search.index import SongIndex
from service.settings import Settings
from sql.database import Database

if TYPE_CHECKING:
    from service.http.answers import Answers
    from service.suggest.index import TagIndex

#: Tags whose every beginning is answered before the process is ready.
_POPULAR: Final = 100
#: Beginnings of many names, the short ones first.
_HOT: Final = 2_000
#: A warm-up helps nobody who waits for it.
_WARM_UP_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Preloaded:
    """Indexes that workers inherit.

    Attributes:
        number: of a change that both surely know.
        index: of tags.
        songs: of songs, or None when none are searched.
    """

    number: int
    index: "TagIndex"
    songs: SongIndex | None


def preload(settings: Settings) -> Preloaded:
    """Load the indexes in the parent of several workers: built once, their memory is shared until it changes.

    No connection is left open, for a child must not inherit one.

    Raises:
        DatabaseError: they cannot be read.
    """
    database = Database(settings.database_url, lock_timeout_ms=settings.lock_timeout_ms, application_name="segue serve")
    gc.disable()  # it would walk through all that is there again and again
    try:
        with database.transaction() as transaction:
            number = current_number(transaction)
        index = build_index(database, settings.schema)
        songs = None if settings.songs is None else SongIndex.load(database, settings.schema, settings.songs)
    finally:
        gc.enable()
        database.close()
    gc.collect()
    gc.freeze()  # else the first collection in a worker would write to, and so copy, every page
    return Preloaded(number, index, songs)


def warm_up(answers: "Answers", index: "TagIndex", *, pause: float = 0.0) -> int:
    """Fill the cache with the beginnings of the most used names, and those that many names have.

    Args:
        answers: to be filled.
        index: that they are made from.
        pause: seconds between two answers, to leave a process that serves its time.

    Returns:
        How many answers were made or found.
    """
    end = time.monotonic() + _WARM_UP_SECONDS * (10 if pause else 1)
    names = [tag.normalized for tag in index.popular(_POPULAR)]
    prefixes = [*index.hot_prefixes(_HOT), *(name[:length] for name in names for length in range(1, len(name) + 1))]
    done = 0
    for prefix in dict.fromkeys(prefix.strip() for prefix in prefixes):
        if time.monotonic() > end:
            break
        with suppress(Problem):  # a name may hold what no query may
            answers.find(b"q=" + quote(prefix, safe="").encode())
            done += 1
        if pause:
            time.sleep(pause)
    return done
