"""The rehearsal of a migration: the real statements in transactions that are rolled back, chunk by chunk."""

import time
from dataclasses import dataclass, field, replace
from functools import partial

from migrator.bisection import Patience, convert_in_parts
from migrator.chunk import Convert
from migrator.chunk_size import ChunkSize
from migrator.digest import Digest
from migrator.events import ChunkCommitted, Observer, PhaseStarted, tell
from migrator.migration import Context, Converted, Counts, Mismatch, Preview, Step
from migrator.preflight import preflight
from migrator.request import Limits, Request
from migrator.retry import retrying
from migrator.source import KeyRange
from migrator.stop import StopSignal
from sql.database import Database, Transaction
from sql.errors import DatabaseError


@dataclass
class Rehearsal:
    """What a dry run found.

    Attributes:
        total: source rows.
        counts: their accounting; `created` counts links that do not exist yet.
        preview: what planning would do.
        expected, created: digests of the links due and of those it wrote and rolled back.
        problems: what would be quarantined, at most `MOST_PROBLEMS`.
        eta_seconds: of the real run, from the speed of these chunks.
        seconds: of the dry run.
        created_rows: rows that the real run would create, by table.
        is_complete: whether it saw the whole source, or was stopped or limited.
    """

    total: int = 0
    preview: Preview = field(default_factory=Preview)
    counts: Counts = field(default_factory=Counts)
    expected: Digest = field(default_factory=Digest)
    created: Digest = field(default_factory=Digest)
    problems: list[Mismatch] = field(default_factory=list)
    eta_seconds: float = 0.0
    seconds: float = 0.0
    is_complete: bool = False
    created_rows: dict[str, int] = field(default_factory=dict)


#: Quarantined rows named in the report.
MOST_PROBLEMS = 20


def rehearse(database: Database, request: Request, stop: StopSignal, observers: tuple[Observer, ...] = ()) -> Rehearsal:
    """Execute the whole migration without leaving a trace.

    Nothing is written that a commit could keep: not a run, not a checkpoint, no sequence number. An unfinished run of
    the same migration is neither resumed nor touched. The guards of `song_tags` stay in place, because taking them
    away would block its users for the length of the chunk.
    """
    started = time.monotonic()
    preflight(database, request.schema)
    context = Context.rehearsing()
    result = Rehearsal()
    tell(observers, PhaseStarted(0, "planning"))
    with database.transaction(rolled_back=True) as transaction:
        step = request.migration.open(transaction, request.settings, request.schema)
        step.source.require()
        result.preview = step.rehearse(transaction, context)
        result.total = step.source.count(transaction, context.run_id)
    planned = time.monotonic() - started
    tell(observers, PhaseStarted(0, "rehearsing", result.total))
    chunk_seconds = _chunks(database, request, step, context, result, stop, observers)
    done = max(result.counts.rows, 1)
    result.eta_seconds = round(planned + chunk_seconds * result.total / done, 3)
    counted = {step.counted: result.counts.created} if step.counted else {}
    result.created_rows = {**result.preview.created, **counted, **result.created_rows}
    result.seconds = time.monotonic() - started
    return result


def _chunks(
    database: Database,
    request: Request,
    step: Step,
    context: Context,
    result: Rehearsal,
    stop: StopSignal,
    observers: tuple[Observer, ...],
) -> float:
    size = ChunkSize(request.batch_size or ChunkSize().size, is_fixed=request.batch_size is not None)
    limits = request.limits
    cursor: str | None = None
    seconds, chunks = 0.0, 0
    while not (stop.is_set or result.is_complete or _is_over(limits, seconds, chunks)):
        started, rows = time.monotonic(), size.size
        converted, problems = retrying(
            partial(_chunk, database, step, context, KeyRange(cursor), rows, Patience.of(limits.max_errors)),
            0,
            observers,
            stop,
        )
        took = time.monotonic() - started
        size.learn(converted.counts.rows, took)
        seconds, chunks = seconds + took, chunks + 1
        cursor = cursor if converted.last_key is None else converted.last_key
        result.is_complete = not converted.has_more and converted.counts.rows < rows
        result.counts += converted.counts
        result.expected += converted.expected
        result.created += converted.created
        for name, rows in converted.rows.items():
            result.created_rows[name] = result.created_rows.get(name, 0) + rows
        result.problems = (result.problems + problems)[:MOST_PROBLEMS]
        tell(observers, ChunkCommitted(0, 0, converted.counts.rows, took, size.size, converted.counts.quarantined_rows))
    return seconds


def _chunk(
    database: Database, step: Step, context: Context, within: KeyRange, rows: int, patience: Patience
) -> tuple[Converted, list[Mismatch]]:
    def in_parts(transaction: Transaction, context: Context, within: KeyRange, limit: int) -> Converted:
        return convert_in_parts(transaction, step, context, within, limit, patience)

    try:
        return _rolled_back(database, step, context, within, rows, step.convert)
    except DatabaseError as error:
        if error.refusal is None:
            raise
    return _rolled_back(database, step, context, within, rows, in_parts)


def _rolled_back(
    database: Database, step: Step, context: Context, within: KeyRange, rows: int, convert: Convert
) -> tuple[Converted, list[Mismatch]]:
    with database.transaction(repeatable_read=step.source.is_table, rolled_back=True) as transaction:
        limit = step.source.fitting(transaction, within, rows)
        converted = convert(transaction, context, within, limit)
        if limit < rows and converted.counts.rows == limit:
            converted = replace(converted, has_more=True)
        found = []
        if converted.counts.quarantined_rows:
            found = transaction.all("runs.read_quarantine", run_id=context.run_id, most=MOST_PROBLEMS)
        return converted, [
            Mismatch(row["key"] + (f"#{row['pointer']}" if row["pointer"] else ""), row["reason"]) for row in found
        ]


def _is_over(limits: Limits, seconds: float, chunks: int) -> bool:
    return (limits.max_chunks is not None and chunks >= limits.max_chunks) or (
        limits.max_seconds is not None and seconds >= limits.max_seconds
    )
