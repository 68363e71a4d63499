"""The manifest of a dry run: on disk beside the process, because nothing may stay in the database between chunks."""

import json
import tempfile
import weakref

from migrator.node_persist.manifest import Listed, bounded
from sql.database import Transaction

#: Beginnings of chunks that are remembered.
MOST_OFFSETS = 1_000


class Spool:
    """Files in path order in an unnamed temporary file; memory does not grow with their number."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass")  # noqa: SIM115 - it lives as long as the step
        weakref.finalize(self, self._file.close)
        self._offsets: dict[str | None, int] = {None: 0}
        self._newest: list[str] = []

    def fill(self, transaction: Transaction, run_id: int) -> None:
        """Take over a manifest that is about to be rolled back."""
        for rows in transaction.stream("files.read_all", size=5_000, run_id=run_id):
            for row in rows:
                self._file.write(json.dumps(list(row.values())) + "\n")

    def page(self, transaction: Transaction, run_id: int, after: str | None, limit: int) -> tuple[list[Listed], bool]:
        """Return the next files after a path and whether there are more; list them in the transaction."""
        self._file.seek(self._offsets[after])
        ahead = [Listed(*json.loads(line)) for _ in range(limit + 1) if (line := self._file.readline())]
        found = bounded(ahead[:limit])
        if found:
            # A chunk that is tried again starts where this one did.
            self._file.seek(self._offsets[after])
            for _ in found:
                self._file.readline()
            self._offsets[found[-1].path] = self._file.tell()
            self._forget_oldest(found[-1].path)
        columns = zip(*(tuple(vars(listed).values()) for listed in found), strict=True) if found else [[]] * 6
        names = ("paths", "sizes", "times", "users", "outcomes", "reasons")
        values = {name: list(column) for name, column in zip(names, columns, strict=True)}
        transaction.run("files.insert_page", None, run_id=run_id, **values)
        return found, len(ahead) > len(found)

    def _forget_oldest(self, path: str) -> None:
        """Keep the beginnings of the last chunks and of the parts in which the last one was tried."""
        self._newest = [*self._newest[-MOST_OFFSETS:], path]
        self._offsets = {None: 0, **{known: self._offsets[known] for known in self._newest}}
