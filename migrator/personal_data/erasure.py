"""Erasing one user from every table, in one transaction, or leaving their listening without a person."""

import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

from migrator import aside, registry, run_store
from migrator.erasures import ERASED_PATH, ErasureKey, among_erased, begin
from migrator.errors import MigratorError, Refused
from migrator.lease import Lease
from migrator.personal_data.export import not_covered
from migrator.personal_data.subject import Subject, find, unknown
from migrator.personal_data.tables import PersonalTable, application_names, personal_tables
from migrator.retry import retrying
from migrator.run_store import Partition, Run
from migrator.source import KeyRange
from migrator.stop import StopSignal
from sql.database import Database, Transaction
from sql.errors import DatabaseError

#: Migrations that write rows about users; none of them may be at work during an erasure.
USER_MIGRATIONS = ("node-persist", "snapshots")


@dataclass
class Erased:
    """What an erasure did, or in a dry run would do; nothing in it says who it was.

    Attributes:
        mode: `erase` or `anonymize`.
        rows: rows deleted or made impersonal, by table; tables without any are left out.
        was_erased: the user was erased before, and nothing has come since.
        runs: runs whose totals were taken anew without the user.
        stale_runs: runs where that was not possible, and why.
        not_covered: tables of the application's own that refer to `users`; Segue does not know what is in them.
    """

    mode: str
    rows: dict[str, int] = field(default_factory=dict)
    was_erased: bool = False
    runs: list[int] = field(default_factory=list)
    stale_runs: dict[int, str] = field(default_factory=dict)
    not_covered: list[str] = field(default_factory=list)


def erase(
    database: Database,
    schema: str,
    name: str,
    *,
    anonymize: bool = False,
    is_dry_run: bool = False,
    migrations: Path | None = None,
) -> Erased:
    """Erase a user from every table and leave an event with counts by table.

    The user's files stay where they are, since Segue never writes to them; later runs pass them over.

    Args:
        database: where.
        schema: the application's.
        name: Spotify id or `users.id`.
        anonymize: keep plays, top lists, saved tracks, playlists without their names, and snapshots, under a random
            user who has nothing else.
        is_dry_run: roll back and only report.
        migrations: directory of further migration files, to take the totals of their runs anew.

    Raises:
        UnknownName: nothing is stored about such a user.
        Refused: a run that writes rows about users is at work.
    """
    stop = StopSignal(abort=database.cancel_running)
    mode = "anonymize" if anonymize else "erase"

    def run() -> tuple[Erased, list[int]]:
        with database.transaction(rolled_back=is_dry_run) as transaction:
            return _erase(transaction, schema, name, mode, is_dry_run=is_dry_run)

    result, affected = retrying(run, 0, (), stop)
    if not is_dry_run:
        for run_id in affected:
            _restate(database, schema, run_id, migrations, result)
    return result


def _erase(
    transaction: Transaction, schema: str, name: str, mode: str, *, is_dry_run: bool
) -> tuple[Erased, list[int]]:
    # Chunks that asked who was erased are over when this is had, and later ones wait for it.
    key = begin(transaction)
    _require_rest(transaction)
    result = Erased(mode, not_covered=not_covered(transaction, schema))
    subject = find(transaction, schema, name)
    if subject is None:
        if not among_erased(transaction, key, [name]):
            raise unknown(name)
        return replace(result, was_erased=True), []
    names = application_names(schema)
    transaction.run("users.lock_user", names, user_id=subject.user_id)
    transaction.run("users.save_erasure", None, id_hash=key.hash_of(subject.spotify_id), mode=mode)
    values = {**subject.values, "migrations": list(USER_MIGRATIONS)}
    affected = [row["id"] for row in transaction.all("users.list_affected_runs", **values)]
    transaction.run("users.mask_boundaries", None, paths=list(subject.paths))
    result.rows["segue.runs"] = transaction.run("users.mask_runs", None, **values)
    result.rows["segue.jobs"] = transaction.run("users.mask_jobs", None, **values)
    new_user_id = _pseudonym(transaction, schema) if mode == "anonymize" and subject.has_row else None
    for table in personal_tables(transaction):
        result.rows[table.name] = _erase_rows(transaction, schema, table, subject, key, new_user_id)
    result.rows = {table: count for table, count in result.rows.items() if count}
    if not is_dry_run:  # an event would take a number from its sequence
        run_store.note(transaction, None, "user_erased", detail={"mode": mode, "rows": result.rows})
    return result, affected


def _erase_rows(
    transaction: Transaction,
    schema: str,
    table: PersonalTable,
    subject: Subject,
    key: ErasureKey,
    new_user_id: str | None,
) -> int:
    values = {
        **subject.values,
        "pseudonyms": [key.pseudonym_of(path) for path in subject.paths],
        "new_user_id": new_user_id,
    }
    statement = table.anonymized if new_user_id is not None and table.anonymized else table.erased
    return transaction.run(f"users.{statement}", table.fragments(schema), **values)


def _pseudonym(transaction: Transaction, schema: str) -> str:
    """Make the user who gets what is left, with nothing but a random name."""
    row = transaction.one(
        "users.create_pseudonym", application_names(schema), pseudonym=ERASED_PATH + secrets.token_hex(16)
    )
    return str(row["user_id"])


def _require_rest(transaction: Transaction) -> None:
    for row in transaction.all("runs.list_runs", run_id=None):
        if row["migration"] in USER_MIGRATIONS and run_store.is_held(transaction, row["id"]):
            raise Refused(
                f"run {row['id']} of {row['migration']} is at work by {row['holder']}; nothing was changed; "
                f"wait for it, or stop it first: segue pause {row['id']}"
            )


def _restate(database: Database, schema: str, run_id: int, migrations: Path | None, result: Erased) -> None:
    """Take a run's totals anew without the user; what keeps that from being done is reported, not raised."""
    try:
        with database.transaction() as transaction:
            run = run_store.find(transaction, run_id)
            migration = registry.get(run.migration, registry.discover(migrations))
            step = migration.open(transaction, run.settings, schema)
        with Lease(database, run, StopSignal()) as lease:
            for part in _partitions(database, run):
                within = part.within if part.is_done else KeyRange(part.within.after, part.cursor)
                if not part.is_done and part.cursor == part.within.after:
                    continue  # nothing of it was converted yet
                with database.transaction(repeatable_read=True) as transaction:
                    recounted = aside.recount(transaction, step, run.context, within)
                    run_store.restate(transaction, run.id, part.ordinal, recounted, token=lease.token)
        result.runs.append(run_id)
    except (MigratorError, DatabaseError) as error:
        result.stale_runs[run_id] = str(error)


def _partitions(database: Database, run: Run) -> list[Partition]:
    with database.transaction() as transaction:
        return run_store.partitions(transaction, run.id)
