"""Reading the next files while the database writes the last ones: one is Python's work, the other the server's."""

import gc
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from migrator.node_persist.extract import Extractor, decode_sound
from migrator.node_persist.manifest import MOST_BYTES, Listed, bounded
from migrator.node_persist.reader import Reader
from migrator.node_persist.staging import Read

#: How long the thread that takes files apart may keep the interpreter to itself. With Python's own 5 ms the thread that
#: talks to the server waits for its turn at every statement, which makes a chunk twice as slow.
SWITCH_SECONDS = 0.0003

#: Lists the files after a path, at most so many.
Page = Callable[[str | None, int], list[Listed]]


class ReadAhead:
    """Reads a worker's files chunk by chunk, one chunk ahead.

    Shared rows that were sent before are not sent again, so everything rests on the chunks before having been
    committed: a chunk that does not begin where the last one ended says that one was rolled back, and then what was
    read ahead is thrown away and every shared row is sent again.
    """

    def __init__(self, reader: Reader) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        # Rows are made by the hundred thousand and hold no cycles; Python's default looks at them all again and again.
        gc.set_threshold(300_000, 20, 50)
        self._reader = reader
        self._extractor = Extractor()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._last: str | None = None
        self._upto: str | None = None
        self._next: tuple[list[Listed], datetime] | None = None
        self._ahead: tuple[list[Listed], Future[list[Read]]] | None = None

    def chunk(
        self, after: str | None, upto: str | None, limit: int, at: datetime, page: Page
    ) -> tuple[list[Read], bool]:
        """Return the first files after a path, read, and whether there are more after them, to be read by `go_on`.

        Args:
            after: where the chunk begins.
            upto: where its range ends; when that has changed, another worker has taken the rest of the range.
            limit: the most files.
            at: the run's start.
            page: lists files.
        """
        if after is None or (after, upto) != (self._last, self._upto):
            self.start_anew()
        self._upto = upto
        listed, chunk = self._taken(after, limit, at, page)
        self._last = listed[-1].path if listed else after
        following = bounded(page(self._last, limit)) if listed else []
        if following and _bytes(listed) <= MOST_BYTES and _bytes(following) <= MOST_BYTES:
            self._next = following, at
        return chunk, bool(following)

    def go_on(self) -> None:
        """Begin to read the files after the last chunk.

        Not before that chunk's rows are with the server: both are Python's work, and while they took turns the server
        waited for rows first and this process for the server then.
        """
        if self._next is not None:
            (following, at), self._next = self._next, None
            self._ahead = following, self._thread.submit(self._read, following, at)

    def _taken(self, after: str | None, limit: int, at: datetime, page: Page) -> tuple[list[Listed], list[Read]]:
        if self._ahead is not None:
            (listed, reading), self._ahead = self._ahead, None
            self._extractor.keep()
            return listed, reading.result()
        listed = bounded(page(after, limit))
        return listed, self._read(listed, at)

    def _read(self, page: list[Listed], at: datetime) -> list[Read]:
        return [self._reader.read(listed, at, self._extractor.extract, decode_sound) for listed in page]

    def start_anew(self) -> None:
        """Throw away what was read ahead, and send every shared row again."""
        self._last = None
        if self._ahead is not None:
            self._ahead[1].cancel()
            self._thread.submit(lambda: None).result()  # the extractor is still in use until then
            self._ahead = None
        self._next = None
        self._extractor = Extractor()


def _bytes(page: list[Listed]) -> int:
    return sum(listed.size for listed in page)
