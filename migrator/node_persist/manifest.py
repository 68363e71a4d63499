"""Which files a run is about: found once, resolved to one file per user, and kept with what became of each."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

from psycopg import sql as psql

from migrator.erasures import hold, masking
from migrator.node_persist.store import Damaged, Found, Gone, Store
from migrator.source import SMALLEST_PARTITION, KeyRange
from sql.database import Transaction, compose

#: Files per partition below which a second worker is not worth its start.
SMALLEST_SHARE = SMALLEST_PARTITION // 100
#: A chunk holds no more bytes of files than this, unless one file alone does; bounds memory.
MOST_BYTES = 16_000_000
#: Entries sent, or streamed, at a time.
PAGE_FILES = 5_000


@dataclass(frozen=True)
class Listed:
    """A file of the manifest.

    Attributes:
        path: relative to the store.
        size: in bytes, when it was listed.
        mtime_ns: likewise.
        user_id: the user whose file it is by its key, or None.
        outcome: `due` is still to be read; the others are decided (see docs/catalog.md).
        reason: why it is stray.
    """

    path: str
    size: int
    mtime_ns: int
    user_id: str | None
    outcome: str
    reason: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Listed":
        """Read a file from its row."""
        return cls(*(row[name] for name in ("path", "size", "mtime_ns", "user_id", "outcome", "reason")))


@dataclass(frozen=True)
class Rival:
    """A file of a user who has several.

    Attributes:
        updated_at: the value's own `lastUpdated` in microseconds since the epoch, or None.
        decided: why it cannot be the user's file, as an outcome; None when it may be.
        reason: what is damaged.
    """

    updated_at: int | None = None
    decided: str | None = None
    reason: str | None = None


#: Reads a file of a user who has several.
Rank = Callable[[str], Rival]
#: Of some users' ids, those whose data were erased on request.
Erased = Callable[[Transaction, Iterable[str]], set[str]]


@dataclass(frozen=True)
class StoreSource:
    """The files of a run in path order, as `segue.files` holds them; `store` is where they are."""

    store: Store
    is_table = False

    def require(self) -> None:
        """Raise Refused unless the directory can be listed."""
        self.store.check()

    @property
    def everything(self) -> KeyRange:
        """The range of all paths."""
        return KeyRange()

    def count(self, transaction: Transaction, run_id: int) -> int:
        """Return the number of files."""
        return int(transaction.one("files.count_files", run_id=run_id)["total"])

    def cut(self, transaction: Transaction, run_id: int, total: int, workers: int) -> list[KeyRange]:
        """Cut the paths into one range per worker."""
        parts = max(1, min(workers, total // SMALLEST_SHARE))
        places = [total * part // parts for part in range(1, parts)]
        cuts = [row["path"] for row in transaction.all("files.cut_files", run_id=run_id, places=places)]
        return [KeyRange(after, upto) for after, upto in pairwise([None, *cuts, None])]

    def median(self, transaction: Transaction, run_id: int, within: KeyRange) -> tuple[str | None, int]:
        """Return the middle path of a range and how many files it has."""
        row = transaction.one("files.find_median", in_range(within), run_id=run_id, **vars(within))
        return row["median"], int(row["row_count"])

    def fitting(self, transaction: Transaction, within: KeyRange, limit: int) -> int:  # noqa: ARG002
        """Reading bounds a chunk's bytes itself."""
        return limit

    def keys_in_range(self, within: KeyRange, column: psql.Composable) -> psql.Composable:
        """Return the condition that a column of paths lies in a range."""
        return in_range(within, column.as_string(None).replace('"', ""))["in_range"]

    @property
    def smallest_share(self) -> int:
        """Files that make a partition worth a worker."""
        return SMALLEST_SHARE

    def halve(self, transaction: Transaction, run_id: int, within: KeyRange, total: int) -> tuple[str | None, int]:  # noqa: ARG002
        """Return the middle path of a range and how many files it has: the list of files is short enough to ask."""
        return self.median(transaction, run_id, within)


def in_range(within: KeyRange, column: str = "path") -> dict[str, psql.Composable]:
    """Return the condition that a column of paths lies in a range."""
    fragments = {
        "column": psql.SQL('{} COLLATE "C"').format(psql.Identifier(*column.split("."))),
        "key_type": psql.SQL("text"),
    }
    bounds = ("after", "upto", "only")
    parts = [compose(f"source.{bound}", fragments) for bound in bounds if getattr(within, bound) is not None]
    return {"in_range": psql.SQL(" AND ").join(parts) if parts else psql.SQL("true")}


def sound_in_range(within: KeyRange) -> dict[str, psql.Composable]:
    """Return the condition that a path lies in a range and is not in quarantine because the database refuses it."""
    found = in_range(within)
    if within.aside_of is not None:
        sound = compose("source.sound", {"column": psql.Identifier("path")})
        found["in_range"] = psql.SQL("{} AND {}").format(found["in_range"], sound)
    return found


def list_store(transaction: Transaction, run_id: int, store: Store, rank: Rank, erased: Erased) -> None:
    """Look through the store and save the manifest of a run.

    Args:
        transaction: the caller's.
        run_id: whose manifest.
        store: to look through.
        rank: tells which of a user's files is the newest.
        erased: tells which users must not come back.
    """
    transaction.run("files.create_listing")
    transaction.run("files.empty_listing")
    transaction.copy_in("files.copy_listing", (_entry(_known(store, found)) for found in store.scan()))
    _save_listing(transaction, run_id, rank, erased)


def list_paths(
    transaction: Transaction, run_id: int, store: Store, paths: list[str], rank: Rank, erased: Erased
) -> tuple[list[str], list[str]]:
    """Look at some files again and at all others of their users, and list them anew.

    Returns:
        The paths that concern these users, also of files that are gone; and the users.
    """
    found = {path: store.find(path) for path in paths}
    users = {row["user_id"] for row in transaction.all("files.users_of_paths", run_id=run_id, paths=paths)}
    users |= {entry.user_id for entry in found.values() if entry is not None and entry.user_id is not None}
    rows = transaction.all("files.paths_of_users", run_id=run_id, users=sorted(users))
    found |= {row["path"]: store.find(row["path"]) for row in rows if row["path"] not in found}
    for query in ("forget_paths", "forget_quarantine", "forget_notes"):
        transaction.run(f"files.{query}", run_id=run_id, paths=list(found))
    transaction.run("files.create_listing")
    transaction.run("files.empty_listing")
    entries = (_entry(_known(store, entry)) for entry in found.values() if entry is not None)
    transaction.copy_in("files.copy_listing", entries)
    _save_listing(transaction, run_id, rank, erased)
    return sorted(found), sorted(users)


def _save_listing(transaction: Transaction, run_id: int, rank: Rank, erased: Erased) -> None:
    transaction.run("files.analyze_listing")
    paths = [row["path"] for row in transaction.all("files.find_rivals")]
    rivals = [rank(path) for path in paths]
    transaction.run(
        "files.rank_rivals",
        paths=paths,
        updated=[rival.updated_at for rival in rivals],
        decided=[rival.decided for rival in rivals],
        reasons=[rival.reason for rival in rivals],
    )
    users = (row["user_id"] for rows in transaction.stream("files.list_users", size=PAGE_FILES) for row in rows)
    _mask_erased(transaction, erased(transaction, users))
    transaction.run("files.save_listing", run_id=run_id)


def _mask_erased(transaction: Transaction, users: set[str]) -> None:
    """Put pseudonyms in the place of the erased users' files, as the erasure did in earlier runs."""
    key = hold(transaction) if users else None
    if key is not None:
        paths = [row["path"] for row in transaction.all("files.list_paths_of", users=sorted(users))]
        transaction.run("files.mask_listing", paths=paths, pseudonyms=[key.pseudonym_of(path) for path in paths])


def sign_store(transaction: Transaction, store: Store) -> None:
    """Look at the store's sizes and times alone, to tell whether anything has changed."""
    transaction.run("files.create_listing")
    transaction.run("files.empty_listing")
    masked = masking(transaction)
    transaction.copy_in(
        "files.copy_signatures",
        ((path, size, at) if (name := masked(path)) == path else (name, 0, 0) for path, size, at in store.sign()),
    )


def read_page(transaction: Transaction, run_id: int, within: KeyRange, limit: int) -> list[Listed]:
    """Return the first files of a range."""
    rows = transaction.all("files.read_page", sound_in_range(within), run_id=run_id, limit=limit, **vars(within))
    return [Listed.of(row) for row in rows]


def bounded(page: list[Listed]) -> list[Listed]:
    """Cut a page where its files become too many bytes; the first always stays."""
    sums = accumulate(listed.size for listed in page)
    return [
        listed for place, (listed, sum_) in enumerate(zip(page, sums, strict=True)) if not place or sum_ <= MOST_BYTES
    ]


def read_paths(transaction: Transaction, run_id: int, paths: list[str]) -> list[Listed]:
    """Return the listed ones of some files."""
    return [Listed.of(row) for row in transaction.all("files.read_paths", run_id=run_id, paths=paths)]


def pages(transaction: Transaction, run_id: int, within: KeyRange, size: int) -> Iterator[list[Listed]]:
    """Yield a range's files, some at a time."""
    while page := read_page(transaction, run_id, within, size):
        yield page
        within = replace(within, after=page[-1].path)


def _known(store: Store, found: Found) -> Found:
    """Read a whole file whose beginning does not tell its key: whose it is decides which file of a user wins."""
    if found.key is not None or found.reason is not None:
        return found
    try:
        item = store.read(found.path)
    except (Damaged, Gone):
        return found  # converting it will say why
    return replace(found, key=item.key, user_id=store.user_id(item.key), generation=item.generation)


def _entry(found: Found) -> tuple[object, ...]:
    is_known = found.key is not None
    return found.path, found.size, found.mtime_ns, found.user_id, is_known, found.reason, found.generation
