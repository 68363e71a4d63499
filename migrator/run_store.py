"""The only writer of the run's own tables: runs, partitions and events; every write is fenced by the lease."""

import getpass
import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from migrator.digest import Digest
from migrator.errors import LeaseLost, MigratorError, UnknownName
from migrator.migration import Context, Converted, Counts
from migrator.source import KeyRange
from migrator.states import TRANSITIONS, RunState
from sql.database import Row, Transaction
from sql.errors import DatabaseError


@dataclass(frozen=True)
class Run:
    """A row of segue.runs as it was read."""

    id: int
    migration: str
    status: RunState
    settings: Mapping[str, str | None]
    plan: Mapping[str, Any]
    row: Mapping[str, Any]

    @classmethod
    def of(cls, row: Row) -> "Run":
        """Read a run from its row."""
        return cls(row["id"], row["migration"], RunState(row["status"]), row["settings"], row["plan"], row)

    @property
    def context(self) -> Context:
        """What a step may know of this run."""
        return Context(self.id, self.row["created_at"], self.plan)


@dataclass(frozen=True)
class Partition:
    """A row of segue.partitions: a key range, how far it is done, and its accounting."""

    ordinal: int
    within: KeyRange
    cursor: str | None
    seq: int
    is_done: bool
    chunk_size: int
    counts: Counts
    expected: Digest
    created: Digest
    source: Digest

    @classmethod
    def of(cls, row: Row) -> "Partition":
        """Read a partition from its row."""
        counts = Counts(*(int(row[name]) for name in ("row_count", *list(vars(Counts()))[1:])))
        return cls(
            row["ordinal"],
            KeyRange(row["after_key"], row["upto_key"]),
            row["cursor"],
            row["seq"],
            row["is_done"],
            row["chunk_size"],
            counts,
            Digest.of(row, "expected", "expected_count"),
            Digest.of(row, "created", "created"),
            Digest.of(row, "source", "row_count"),
        )

    @property
    def remaining(self) -> KeyRange:
        """The keys that are still to be converted."""
        return KeyRange(self.cursor, self.within.upto)


def actor() -> str:
    """Return who acts, for events and leases: user@host and process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} pid {os.getpid()}"


def fingerprint(migration: str, settings: Mapping[str, str | None]) -> str:
    """Return the digest of the settings that a resumed run must share."""
    canonical = json.dumps([migration, sorted(settings.items())], ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def create(
    transaction: Transaction, migration: str, settings: Mapping[str, str | None], run_id: int | None = None
) -> Run:
    """Start a run, under a number that was taken before if one is given; a rival collides on a unique index."""
    values: dict[str, Any] = {"migration": migration, "settings": Jsonb(settings)}
    values["fingerprint"] = fingerprint(migration, settings)
    if run_id is None:
        row = transaction.one("runs.create_run", **values)
    else:
        row = transaction.one("runs.create_promised_run", **values, run_id=run_id)
    note(transaction, row["id"], "status", to_status=RunState.PREPARING, detail={"settings": dict(settings)})
    return Run.of(row)


def find(transaction: Transaction, run_id: int) -> Run:
    """Return a run by number.

    Raises:
        UnknownName: there is none.
    """
    row = transaction.first("runs.find_run", run_id=run_id)
    if row is None:
        known = [str(row["id"]) for row in transaction.all("runs.list_runs", run_id=None)]
        raise UnknownName("run", str(run_id), known, hint=" (see: segue status)")
    return Run.of(row)


def latest(transaction: Transaction, migration: str) -> Run | None:
    """Return the newest run of a migration."""
    row = transaction.first("runs.find_latest_run", migration=migration)
    return Run.of(row) if row else None


def partitions(transaction: Transaction, run_id: int) -> list[Partition]:
    """Return a run's partitions; those cut off from others come last."""
    return [Partition.of(row) for row in transaction.all("runs.read_partitions", run_id=run_id)]


def partition(transaction: Transaction, run_id: int, ordinal: int) -> Partition:
    """Return one partition as it is stored now."""
    return Partition.of(transaction.one("runs.read_partition", run_id=run_id, ordinal=ordinal))


def move(
    transaction: Transaction,
    run: Run,
    to: RunState,
    *,
    token: str | None,
    error: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Move a run to another state and record the event; both or neither.

    Raises:
        MigratorError: the table of states does not allow the move.
        LeaseLost: the run has moved on or belongs to another process.
    """
    row = transaction.one("runs.find_run", run_id=run.id)
    status = RunState(row["status"])
    if token is not None and str(row["lease_token"]) != token:
        raise LeaseLost(f"run {run.id} was taken over by another process; see: segue status {run.id}")
    if status is to and token is not None:
        return  # this process moved it before, and the reply to its COMMIT was lost
    if to not in TRANSITIONS[status]:
        raise MigratorError(f"run {run.id} is {status}; it cannot become {to}")
    moved = transaction.run(
        "runs.move_run",
        run_id=run.id,
        from_status=status,
        to_status=to,
        token=token,
        error=error,
        actor=actor(),
        detail=Jsonb(detail or {}),
    )
    if moved != 1:
        raise LeaseLost(f"run {run.id} was taken over by another process; see: segue status {run.id}")
    if to not in {RunState.PREPARING, RunState.MIGRATING}:
        transaction.run("claims.dismiss_workers", run_id=run.id, token=token)


def note(
    transaction: Transaction,
    run_id: int | None,
    kind: str,
    *,
    to_status: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Append an event, of a run or of none."""
    transaction.run(
        "runs.add_event", run_id=run_id, actor=actor(), kind=kind, to_status=to_status, detail=Jsonb(detail or {})
    )


@dataclass(frozen=True)
class Wishes:
    """What an admin asks of a run that goes on.

    Attributes:
        request: pause, cancel, or None.
        controls: the stored ones, see `migrator.controls`.
    """

    request: str | None = None
    controls: Mapping[str, str] | None = None


def save_checkpoint(
    transaction: Transaction,
    run_id: int,
    partition: Partition,
    converted: Converted,
    *,
    is_done: bool,
    chunk_size: int,
    token: str,
) -> Wishes:
    """Move the partition's cursor and totals in the chunk's own transaction; return what an admin asks of the run.

    Raises:
        LeaseLost: the partition belongs to another worker, or has moved on; the caller's transaction must not commit.
        DatabaseError: its range was cut meanwhile; transient, for the chunk may be converted again.
    """
    saved = transaction.first(
        "runs.save_checkpoint",
        run_id=run_id,
        ordinal=partition.ordinal,
        seq=partition.seq,
        token=token,
        cursor=converted.last_key,
        is_done=is_done,
        chunk_size=chunk_size,
        **_columns(converted),
    )
    if saved is None:
        stored = transaction.one("runs.read_partition", run_id=run_id, ordinal=partition.ordinal)
        if str(stored["lease_token"]) == token and stored["upto_key"] != partition.within.upto:
            # Another worker has taken the tail of the range; in one snapshot the server itself says so.
            raise DatabaseError(f"run {run_id}: partition {partition.ordinal} was cut meanwhile", sqlstate="40001")
        raise LeaseLost(f"run {run_id}, partition {partition.ordinal}: another worker has gone on from this checkpoint")
    return Wishes(saved["request"], saved["controls"])


def restate(transaction: Transaction, run_id: int, ordinal: int, recounted: Converted, *, token: str) -> None:
    """Replace a partition's totals after rows were converted again."""
    saved = transaction.run(
        "runs.restate_partition", run_id=run_id, ordinal=ordinal, token=token, **_columns(recounted)
    )
    if saved != 1:
        raise LeaseLost(f"run {run_id}, partition {ordinal}: another process has taken the run over")


def _columns(converted: Converted) -> dict[str, Any]:
    counts = vars(converted.counts)
    return {
        "row_count": counts["rows"],
        **{name: value for name, value in counts.items() if name != "rows"},
        "expected_count": converted.expected.count,
        **{
            f"{name}_{part}": getattr(getattr(converted, name), part)
            for name in ("expected", "created", "source")
            for part in ("sum", "xor")
        },
    }


def save_plan(transaction: Transaction, run_id: int, plan: Mapping[str, Any], total_rows: int, *, token: str) -> None:
    """Store what planning decided.

    Raises:
        LeaseLost: another process has taken the run over.
    """
    values = {"run_id": run_id, "plan": Jsonb(plan), "total_rows": total_rows, "token": token}
    if transaction.run("runs.save_plan", None, **values) != 1:
        raise LeaseLost(f"run {run_id}: another process has taken it over")


def require_lease(transaction: Transaction, run_id: int, token: str) -> None:
    """Let the transaction go on only while this process owns the run.

    Raises:
        LeaseLost: another process has taken the run over.
    """
    if not transaction.one("runs.require_lease", run_id=run_id, token=token)["held"]:
        raise LeaseLost(f"run {run_id}: another process has taken it over")


def decisions_digest(transaction: Transaction) -> str:
    """Return a digest of the vocabulary decisions that admins have made."""
    row = transaction.one("vocabulary.digest_decisions")
    return f"{row['decisions']}:{int(row['decisions_xor']) % 2**64:016x}"


def is_held(transaction: Transaction, run_id: int) -> bool:
    """Whether a live process works on the run."""
    return bool(transaction.one("runs.is_held", run_id=run_id)["is_held"])
