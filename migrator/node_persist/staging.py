"""A chunk's rows on their way into the staging tables, and whose they are."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from psycopg import sql as psql

from migrator.node_persist.extract import Extract
from migrator.node_persist.manifest import Listed
from migrator.node_persist.rows import TABLES
from sql.database import Transaction

#: The types of staged columns that are not texts.
_TYPES = {
    **dict.fromkeys(("listened_at", "updated_at", "saved_at", "added_at", "expires_at"), "timestamptz"),
    **dict.fromkeys(("popularity", "total_tracks", "duration_ms", "position", "track_number", "disc_number"), "int4"),
    **dict.fromkeys(("is_local", "explicit", "is_public"), "bool"),
    "rank": "int4",
    "release_date": "date",
}
#: Its numbers are exact whatever their class; binary format would want one.
_AS_TEXT = frozenset({"audio_features"})

_TOKENS = ("user_id", "access_token", "refresh_token", "key_id", "expires_at")


@dataclass(frozen=True)
class Read:
    """What reading one file gave.

    Attributes:
        listed: the file's entry in the manifest.
        outcome: what became of it, as in `segue.files`.
        reason: why it is damaged or stray.
        user_id: whose it is.
        size, mtime_ns: of what was read.
        extract: its rows, when it is imported.
        note: what the store had to rescue, as a note on the whole file.
        tokens: the row for `spotify_tokens`, encrypted.
    """

    listed: Listed
    outcome: str
    reason: str | None = None
    user_id: str | None = None
    size: int = 0
    mtime_ns: int = 0
    extract: Extract | None = None
    note: str | None = None
    tokens: tuple[object, ...] | None = None

    @property
    def is_quarantined(self) -> bool:
        """Whether the file as a whole is in quarantine, as one element."""
        return self.outcome in {"stray", "damaged"}

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """Its elements, and how many of them are linked, merged, blank and quarantined."""
        if self.extract is not None:
            found = self.extract
            return found.elements, found.linked, found.merged, found.blank, len(found.quarantined)
        return (1, 0, 0, 0, 1) if self.is_quarantined else (0, 0, 0, 0, 0)

    @property
    def row(self) -> tuple[object, ...]:
        """The file's row for staging, with its accounting."""
        return self.listed.path, self.size, self.mtime_ns, self.user_id, self.outcome, self.reason, *self.counts


def make_stage(transaction: Transaction) -> None:
    """Make the staging tables unless this session has them; every COMMIT empties them."""
    if not transaction.one("stage.has_stage")["found"]:
        transaction.run("stage.create_stage")


def fill_stage(transaction: Transaction, chunk: list[Read]) -> frozenset[str]:
    """Send a chunk's rows to the staging tables; return the names of those that got any."""
    make_stage(transaction)
    extracts = [read.extract for read in chunk if read.extract is not None]
    filled = set()
    for name, columns in TABLES.items():
        parts = [
            rows for found in extracts for rows in (found.user_rows.get(name), found.shared_rows.get(name)) if rows
        ]
        if parts:
            _copy(transaction, name, columns, chain.from_iterable(parts))
            filled.add(name)
    tokens = [read.tokens for read in chunk if read.tokens is not None]
    if tokens:
        _copy(transaction, "spotify_tokens", _TOKENS, tokens)
        filled.add("spotify_tokens")
    transaction.copy_in("stage.copy_files", (read.row for read in chunk))
    return frozenset(filled)


def save_problems(transaction: Transaction, run_id: int, chunk: Iterable[Read]) -> None:
    """Keep what of a chunk is in quarantine, and its notes."""
    kept = [
        (run_id, read.listed.path, number, pointer, reason)
        for read in chunk
        for number, (pointer, reason) in enumerate(_problems(read), 1)
    ]
    notes = [
        (run_id, read.listed.path, number, pointer, problem)
        for read in chunk
        for number, (pointer, problem) in enumerate(_notes(read), 1)
    ]
    if kept:
        transaction.copy_in("stage.copy_quarantine", kept)
    if notes:
        transaction.copy_in("stage.copy_notes", notes)


def _copy(transaction: Transaction, name: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    fragments = {
        "stage": psql.Identifier("pg_temp", f"stage_{name}"),
        "columns": psql.SQL(", ").join(map(psql.Identifier, columns)),
    }
    if name in _AS_TEXT:
        transaction.copy_in("stage.copy_rows", rows, fragments)
    else:
        transaction.copy_in("stage.copy_binary", rows, fragments, [_TYPES.get(column, "text") for column in columns])


def _problems(read: Read) -> list[tuple[str, str]]:
    if read.is_quarantined:
        return [("", read.reason or "damaged")]
    return read.extract.quarantined if read.extract else []


def _notes(read: Read) -> list[tuple[str, str]]:
    rescued = [("", read.note)] if read.note else []
    return rescued + (read.extract.notes if read.extract else [])
