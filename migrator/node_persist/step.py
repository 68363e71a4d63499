"""Files of node-persist become the catalog: pages of files in, rows of users and shared rows out."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import local
from typing import Any

from psycopg import sql as psql

from migrator.digest import Digest
from migrator.erasures import erased
from migrator.errors import Refused
from migrator.guards import Guards
from migrator.migration import Context, Converted, Mismatch, Preview
from migrator.node_persist.ahead import ReadAhead
from migrator.node_persist.extract import Extract, Extractor, decode_sound
from migrator.node_persist.image import StoreImage
from migrator.node_persist.manifest import Listed, list_paths, list_store, read_page, read_paths
from migrator.node_persist.reader import Reader
from migrator.node_persist.references import References
from migrator.node_persist.rehearsal import Spool
from migrator.node_persist.staging import Read, make_stage
from migrator.node_persist.store import Store
from migrator.node_persist.tables import BULK, REFERENCES, SHARED
from migrator.source import KeyRange
from migrator.token_keys import TokenKeys
from sql.database import Transaction
from sql.errors import DatabaseError

Transact = Callable[[Callable[[Transaction], None]], None]

FOREIGN_KEY_VIOLATION = "23503"

#: Files of the first chunk.
FIRST_FILES = 100


class NodePersistStep(StoreImage):
    """Converts pages of files; the source is the run's manifest in `segue.files`.

    Args:
        store: the directory.
        schema: the application's.
        keys: to encrypt tokens with; None leaves them out.
        load: `fresh`, `live`, or `auto` to choose by what the tables hold.
    """

    shared = tuple(REFERENCES)

    def __init__(self, store: Store, schema: str, keys: TokenKeys | None, load: str) -> None:
        super().__init__(store, schema, Reader(store, keys))
        self.load = load
        self.references = References(self.fragments)
        keyed = ("users", "playlists", *(table.name for table in SHARED))
        self.guards = Guards(schema, tuple(table.name for table in BULK), keyed)
        self._spool: Spool | None = None
        self._has_removed = False
        self._local = local()

    # -- before and after the chunks

    def prepare(self, transaction: Transaction, context: Context) -> dict[str, Any]:
        """List the store's files, decide which one is each user's, and take the guards of empty tables away."""
        self._list(transaction, context)
        guards = self._plan_guards(transaction)
        if guards is not None:
            self.guards.strip(transaction, guards)
        return {"load": "live" if guards is None else "fresh", "guards": guards, "first_chunk": FIRST_FILES}

    def rehearse(self, transaction: Transaction, context: Context) -> Preview:
        """List the files and keep the list beside the process, for the chunks to come."""
        self._list(transaction, context)
        self._spool = Spool()
        self._spool.fill(transaction, context.run_id)
        fresh = self._plan_guards(transaction) is not None
        note = "the tables are empty, so they would be loaded without keys and indexes, which would be made at the end"
        return Preview(notes=(note,) if fresh else ())

    def refresh(self, transaction: Transaction, context: Context) -> None:
        """Nothing but the files matters."""

    def finish(self, context: Context, transact: Transact) -> None:
        """Make keys and indexes."""
        if context.plan["guards"]:
            self.guards.rebuild(context.plan["guards"], transact, partial(self._mend, context))

    def seal(self, context: Context, transact: Transact) -> bool:
        """Validate the foreign keys; rows of users that are gone are removed."""
        if context.plan["guards"]:
            self._validate(context, transact)
        return self._has_removed

    def settle(self, transaction: Transaction, context: Context) -> None:
        """Nothing is derived."""

    def restore(self, context: Context, transact: Transact) -> dict[str, int]:
        """Put keys, indexes and the before-images of others' rows back, and forget the files."""
        restored: dict[str, int] = {}

        def images(transaction: Transaction) -> None:
            for name, columns, key in self._imaged():
                fragments = {
                    "target": self.fragments[name],
                    "name": psql.Literal(name),
                    "columns": columns,
                    "key_text": key,
                }
                count = transaction.run("references.restore_images", fragments, run_id=context.run_id)
                restored.update({name: count} if count else {})
            for query in ("delete_files", "delete_notes"):
                transaction.run(f"files.{query}", run_id=context.run_id)

        if context.plan.get("guards"):
            self.guards.rebuild(context.plan["guards"], transact, partial(self._mend, context))
            self._validate(context, transact)
        transact(images)
        return restored

    # -- chunks

    def convert(self, transaction: Transaction, context: Context, within: KeyRange, limit: int) -> Converted:
        """Convert the first files of a range."""

        def page(after: str | None, most: int) -> list[Listed]:
            return read_page(transaction, context.run_id, KeyRange(after, within.upto), most)

        staged = None
        self._begin(transaction)
        if self._spool is not None:  # a dry run: every chunk is rolled back, so each sends all that it needs
            listed, has_more = self._spool.page(transaction, context.run_id, within.after, limit)
            chunk = self._read_again(context, listed)
        else:
            chunk, has_more = self._ahead.chunk(within.after, within.upto, limit, context.at, page)
            staged = self._ahead.go_on
        try:
            written = self.loader.write(transaction, context, _without_erased(transaction, chunk), staged=staged)
        except BaseException:
            self._ahead.start_anew()  # what it sent is undone, wherever the next chunk begins
            raise
        last = chunk[-1].listed.path if chunk else within.after
        done = self.summed(transaction, context, KeyRange(within.after, last), written.created)
        return replace(done, rows=written.rows, has_more=has_more)

    def reconvert(self, transaction: Transaction, context: Context, keys: list[str]) -> None:
        """Look at these files and the others of their users again; forget what the run made of them; convert them."""
        self._rewrite(transaction, context, keys, is_refused=False)

    def first_key(self, transaction: Transaction, context: Context, within: KeyRange) -> str | None:
        """Return the first path of a range."""
        if self._spool is not None:
            listed, _ = self._spool.page(transaction, context.run_id, within.after, 1)
        else:
            listed = read_page(transaction, context.run_id, within, 1)
        return listed[0].path if listed else None

    def set_aside(
        self, transaction: Transaction, context: Context, keys: list[str], *, is_known: bool
    ) -> dict[str, tuple[int, Digest]]:
        """Remove what the run made of these files' users; return the weights of their newest files, now `refused`."""
        paths = self._rewrite(transaction, context, keys, is_refused=True) if is_known else keys
        refused = transaction.all("files.refuse_files", run_id=context.run_id, paths=paths)
        return {row["path"]: self.weigh(transaction, context, [row["path"]]) for row in refused}

    def _rewrite(self, transaction: Transaction, context: Context, keys: list[str], *, is_refused: bool) -> list[str]:
        self._begin(transaction)
        paths, users = list_paths(transaction, context.run_id, self.store, keys, self._rank(context), erased)
        self.loader.forget(transaction, context.run_id, users)
        chunk = [] if is_refused else self._read_again(context, read_paths(transaction, context.run_id, paths))
        self.loader.write(transaction, context, _without_erased(transaction, chunk), again=users)
        self.references.delete_orphans(transaction, context.run_id)
        return paths

    def _begin(self, transaction: Transaction) -> None:
        """Empty the staging tables, which COMMIT does, when this transaction has written a part of a chunk before."""
        if self._local.__dict__.get("transaction") is transaction:
            self._ahead.start_anew()
            make_stage(transaction)
            transaction.run("stage.empty_stage")
        self._local.transaction = transaction

    @property
    def _ahead(self) -> ReadAhead:
        """The reading of this worker's thread."""
        if not hasattr(self._local, "ahead"):
            self._local.ahead = ReadAhead(self.reader)
        ahead: ReadAhead = self._local.ahead
        return ahead

    def _read_again(self, context: Context, page: list[Listed]) -> list[Read]:
        extractor = Extractor()
        return [self.reader.read(listed, context.at, extractor.extract, decode_sound) for listed in page]

    # -- rollback

    def own_tables(self, context: Context) -> tuple[str, ...]:
        """The tables of users' rows, when they were empty and Segue's own."""
        return tuple(table.name for table in BULK) if context.plan.get("guards") else ()

    def conflicts(self, transaction: Transaction, context: Context) -> list[Mismatch]:
        """Users, playlists, tracks, artists and albums of the run that rows of others refer to; edited users."""
        return self.references.conflicts(transaction, context.run_id)

    def release(self, transaction: Transaction, context: Context, keys: list[str]) -> None:
        """Make conflicting rows the people's own."""
        self.references.release(transaction, context.run_id, keys)

    def discard(self, transaction: Transaction, context: Context) -> None:
        """Delete the rows of others that refer to users, playlists, tracks, artists and albums of the run."""
        self.references.discard(transaction, context.run_id)

    # -- shared

    def _list(self, transaction: Transaction, context: Context) -> None:
        list_store(transaction, context.run_id, self.store, self._rank(context), erased)

    def _rank(self, context: Context) -> Any:
        return partial(self.reader.rank, at=context.at)

    def _mend(self, context: Context, transaction: Transaction, table: str) -> None:
        """Remove rows of the run that the application made meanwhile, too."""
        fragments = next(known for known in BULK if known.name == table).fragments(self.fragments)
        transaction.run("node_persist.delete_doubles", fragments, run_id=context.run_id)
        self._has_removed = True

    def _validate(self, context: Context, transact: Transact) -> None:
        """Prove the foreign keys; what refers to rows that the application deleted meanwhile follows them."""
        try:
            self.guards.validate(context.plan["guards"], transact)
        except DatabaseError as error:
            if error.sqlstate != FOREIGN_KEY_VIOLATION:
                raise
            self._has_removed = True
            transact(lambda transaction: self.references.delete_dangling(transaction, context.run_id))
            self.guards.validate(context.plan["guards"], transact)

    def _plan_guards(self, transaction: Transaction) -> dict[str, Any] | None:
        plan = None if self.load == "live" else self.guards.plan(transaction)
        if self.load == "fresh" and plan is None:
            raise Refused("--load fresh needs empty catalog tables that Segue made; leave it out, or give --load live")
        return plan

    def _imaged(self) -> list[tuple[str, psql.Composable, psql.Composable]]:
        """Tables in which the run may have changed rows of others: their columns that it changes, and their key."""

        def names(columns: Any) -> psql.Composable:
            return psql.SQL(", ").join(map(psql.Identifier, columns))

        users = [("users", names(["display_name", "email", "country", "subscription_type"]), psql.SQL("t.id::text"))]
        return users + [
            (table.name, names(table.merged), table.fragments(self.fragments)["key_text"]) for table in SHARED
        ]


def _without_erased(transaction: Transaction, chunk: list[Read]) -> list[Read]:
    """Leave out erased users whom only reading the file made known; the others are masked in the manifest already.

    What such a file says of tracks, artists and albums stays: the worker will not send it again for the next user.
    """
    met = {read.user_id for read in chunk if read.listed.user_id is None and read.user_id is not None}
    gone = erased(transaction, met) if met else set()
    return [_impersonal(read) if read.user_id in gone else read for read in chunk]


def _impersonal(read: Read) -> Read:
    shared = Extract(shared_rows=read.extract.shared_rows) if read.extract is not None else None
    return replace(read, outcome="erased", user_id=None, extract=shared, note=None, tokens=None)
