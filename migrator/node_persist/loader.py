"""Writing a chunk of files: staged by COPY, merged by set-based SQL, accounted for file by file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from psycopg import sql as psql

from migrator.digest import Digest
from migrator.migration import Context
from migrator.node_persist.extract import Extract
from migrator.node_persist.manifest import Listed
from migrator.node_persist.rows import TABLES
from migrator.node_persist.tables import BULK, SHARED, staged_records, stored_records
from migrator.node_persist.templates import recording
from sql.database import Transaction, compose

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

_NOTHING = psql.SQL("")
_KEEP = psql.SQL("ON CONFLICT DO NOTHING")


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


@dataclass(frozen=True)
class Written:
    """What writing a chunk did.

    Attributes:
        created: digest of the users' rows that are the run's now; None when plain INSERTs made everything that is due.
        rows: how many rows went into each table of users' rows.
    """

    created: Digest | None
    rows: Mapping[str, int]


@dataclass
class Loader:
    """Writes what was read; knows the names of the targets and nothing of files.

    Attributes:
        names: fragments for the targets' names.
    """

    names: Mapping[str, psql.Composable]
    _rehearsed: set[int] = field(default_factory=set)

    def write(
        self, transaction: Transaction, context: Context, chunk: list[Read], again: list[str] | None = None
    ) -> Written:
        """Write a chunk and save every file's accounting.

        Args:
            transaction: the caller's.
            context: the run.
            chunk: what reading its files gave.
            again: users that the run has written before; what is left of that is brought up to date.
        """
        self.stage(transaction, chunk)
        new = self._count_new(transaction) if context.run_id < 0 else {}
        is_fresh = context.plan.get("load") == "fresh" and again is None
        values = {"run_id": context.run_id, "at": context.at}
        if not is_fresh:
            # With foreign keys in place, what is referred to comes first; without them it comes last, because another
            # worker's rows of the same key make this one wait until that one commits.
            self._merge(transaction, values, is_fresh=False)
        rows = self._write_users(transaction, values, is_fresh=is_fresh)
        if again is not None:
            playlists = {**self.names, **recording("playlists")}
            transaction.run("node_persist.rewrite_playlists", playlists, run_id=context.run_id)
            transaction.run("stage.name_users", self.names, users=again)
            transaction.run("node_persist.forget_playlists", playlists, run_id=context.run_id)
        if is_fresh:
            self._merge(transaction, values, is_fresh=True)
        self._quarantine(transaction, context, chunk)
        records = staged_records(self.names)
        transaction.run("node_persist.save_files", {"records": records}, run_id=context.run_id)
        return Written(None if is_fresh else self.digest_created(transaction, context.run_id), {**rows, **new})

    def stage(self, transaction: Transaction, chunk: list[Read]) -> None:
        """Send the chunk's rows to the staging tables, and find whose they are."""
        self._make_stage(transaction)
        extracts = [read.extract for read in chunk if read.extract is not None]
        for name, columns in TABLES.items():
            rows = [
                row for found in extracts for row in (*found.user_rows.get(name, ()), *found.shared_rows.get(name, ()))
            ]
            self._copy(transaction, name, columns, rows)
        tokens = [read.tokens for read in chunk if read.tokens is not None]
        self._copy(
            transaction, "spotify_tokens", ("user_id", "access_token", "refresh_token", "key_id", "expires_at"), tokens
        )
        transaction.copy_in("stage.copy_files", (read.row for read in chunk))

    def _make_stage(self, transaction: Transaction) -> None:
        if not transaction.one("stage.has_stage")["found"]:
            transaction.run("stage.create_stage")

    def _copy(
        self, transaction: Transaction, name: str, columns: tuple[str, ...], rows: list[tuple[object, ...]]
    ) -> None:
        if rows:
            fragments = {
                "stage": psql.Identifier("pg_temp", f"stage_{name}"),
                "columns": psql.SQL(", ").join(map(psql.Identifier, columns)),
            }
            if name in _AS_TEXT:
                transaction.copy_in("stage.copy_rows", rows, fragments)
            else:
                transaction.copy_in(
                    "stage.copy_binary", rows, fragments, [_TYPES.get(column, "text") for column in columns]
                )

    def forget(self, transaction: Transaction, run_id: int, users: list[str]) -> None:
        """Delete the run's rows of some users; users, playlists and tokens themselves are brought up to date."""
        self._make_stage(transaction)
        transaction.run("stage.name_users", self.names, users=users)
        for table in BULK:
            transaction.run("node_persist.forget_rows", table.fragments(self.names), run_id=run_id)
        transaction.run("stage.empty_stage")

    def name_owners(self, transaction: Transaction) -> None:
        """Find the users and playlists that the staged rows belong to, whether they exist yet or not."""
        transaction.run("stage.find_who", self.names)
        transaction.run("stage.find_lists", self.names)

    def _write_users(self, transaction: Transaction, values: dict[str, object], *, is_fresh: bool) -> dict[str, int]:
        names = self.names
        kept = transaction.run("node_persist.keep_user_images", names, run_id=values["run_id"])
        rows = {"users": transaction.run("node_persist.write_users", {**names, **recording("users")}, **values)}
        if kept:
            images = _images("users", "t.id::text", names)
            transaction.run("node_persist.keep_after_images", images, run_id=values["run_id"])
        transaction.run("stage.find_who", names)
        rows["playlists"] = transaction.run(
            "node_persist.write_playlists", {**names, **recording("playlists")}, **values
        )
        transaction.run("stage.find_lists", names)
        for table in BULK:
            fragments = {**table.fragments(names), "on_conflict": _NOTHING if is_fresh else _KEEP}
            rows[table.name] = transaction.run("node_persist.write_rows", fragments, run_id=values["run_id"])
        tokens = {**names, **recording("spotify_tokens")}
        rows["spotify_tokens"] = transaction.run("node_persist.write_tokens", tokens, **values)
        return rows

    def digest_created(self, transaction: Transaction, run_id: int) -> Digest:
        """Return the digest of the rows of the staged users that are the run's."""
        records = stored_records(self.names, lambda table: compose("stage.of_staged_users", table))
        row = transaction.one("node_persist_image.digest_stored", {"records": records}, run_id=run_id)
        return Digest.of(row, "created", "created")

    def _merge(self, transaction: Transaction, values: dict[str, object], *, is_fresh: bool) -> None:
        """Merge what files say of shared rows; during a fresh load, rows that others add meanwhile stay as they are."""
        mine = psql.SQL("t.run_id = %(run_id)s" if is_fresh else "true")
        for table in SHARED:
            fragments = {**table.fragments(self.names), "mine": mine}
            kept = 0 if is_fresh else transaction.run("node_persist.keep_images", fragments, run_id=values["run_id"])
            given = values if table.has_created_at else {"run_id": values["run_id"]}
            transaction.run("node_persist.merge_rows", fragments, **given)
            if kept:
                transaction.run("node_persist.keep_after_images", fragments, run_id=values["run_id"])

    def _count_new(self, transaction: Transaction) -> dict[str, int]:
        """Count the shared rows that a dry run's chunk would make and no chunk before it; each chunk is rolled back."""
        found = {}
        for table in SHARED:
            rows = transaction.all("node_persist_image.list_new", table.fragments(self.names))
            new = {hash((table.name, row["key"])) for row in rows} - self._rehearsed
            self._rehearsed |= new
            found[table.name] = len(new)
        return found

    def _quarantine(self, transaction: Transaction, context: Context, chunk: Iterable[Read]) -> None:
        kept = [
            (context.run_id, read.listed.path, number, pointer, reason)
            for read in chunk
            for number, (pointer, reason) in enumerate(_problems(read), 1)
        ]
        notes = [
            (context.run_id, read.listed.path, number, pointer, problem)
            for read in chunk
            for number, (pointer, problem) in enumerate(_notes(read), 1)
        ]
        if kept:
            transaction.copy_in("stage.copy_quarantine", kept)
        if notes:
            transaction.copy_in("stage.copy_notes", notes)


def _problems(read: Read) -> list[tuple[str, str]]:
    if read.is_quarantined:
        return [("", read.reason or "damaged")]
    return read.extract.quarantined if read.extract else []


def _notes(read: Read) -> list[tuple[str, str]]:
    rescued = [("", read.note)] if read.note else []
    return rescued + (read.extract.notes if read.extract else [])


def _images(name: str, key: str, names: Mapping[str, psql.Composable]) -> dict[str, psql.Composable]:
    return {"target": names[name], "name": psql.Literal(name), "key_text": psql.SQL(key)}
