"""Songs' legacy theme arrays become tags.

Why: an array of free text cannot be renamed, merged, counted or searched; tags can.
Risk: none to the source, which is only read; `song_tags` is loaded without its keys while it is empty.
Undo: `segue rollback`, which removes what the run made and keeps what people did since.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from psycopg import sql as psql

from migrator.digest import Digest
from migrator.errors import Refused, UsageError
from migrator.gone_source import find_source
from migrator.links import LinkTable
from migrator.locked_rows import lock_page, must_lock
from migrator.migration import Context, Converted, Counts, Migration, Mismatch, Option, Preview
from migrator.source import KeyRange, TableSource
from migrator.themes_image import ThemesImage
from migrator.themes_mirror import ThemesMirror
from migrator.vocabulary import resolve, suggest
from sql.database import Transaction, compose
from sql.errors import UniqueViolation
from tags.normalise import normalise

#: After a conflict, this many chunks use ON CONFLICT before a plain insert, which is cheaper, is tried again; twice as
#: many after the next conflict, because a plain insert that fails has cost a whole chunk.
CAUTIOUS_CHUNKS = 10


class ThemesStep(ThemesImage):
    """Converts pages of songs by set-based SQL (sql/queries/themes.sql)."""

    shared = ("tags",)

    def __init__(self, source: TableSource, schema: str, split: str | None, load: str) -> None:
        super().__init__(source, schema, split)
        self.load = load
        self.links = LinkTable(self.source, schema, self.fragments)
        self.mirror = ThemesMirror(self.source, schema, self.fragments, split, load)
        self._cautious = 0
        self._patience = CAUTIOUS_CHUNKS

    # -- before and after the chunks

    def prepare(self, transaction: Transaction, context: Context) -> dict[str, Any]:
        """Check privileges, plan the load, resolve the whole vocabulary, and take the guards away that may wait."""
        self.require_privileges(transaction)
        plan = self.links.plan(transaction, "live" if must_lock(context) else self.load)
        is_alone = not must_lock(context)
        resolve(transaction, context, self.discover(transaction), self.fragments, is_alone=is_alone)
        transaction.run("vocabulary.analyze_vocabulary")
        self.links.fit_key_type(transaction, plan)
        self.links.strip(transaction, plan)
        return plan

    def require_fit(self, transaction: Transaction) -> None:
        """Refuse a source whose links the table cannot take."""
        self.links.plan(transaction, self.load)

    def rehearse(self, transaction: Transaction, context: Context) -> Preview:
        """Plan the load and resolve the whole vocabulary, without taking any guard away."""
        self.require_privileges(transaction)
        plan = self.links.plan(transaction, self.load)
        resolve(transaction, context, self.discover(transaction), self.fragments, is_alone=True)
        suggested = suggest(transaction, context.run_id, self.fragments)
        created = {
            name: transaction.one("rollback.count_rows", {"target": self.fragments[name]}, run_id=context.run_id)[
                "found"
            ]
            for name in ("tags", "tag_synonyms")
        }
        words = {**transaction.one("vocabulary.count_vocabulary", run_id=context.run_id), "fuzzy": len(suggested)}
        return Preview(created, words, tuple(str(suggestion) for suggestion in suggested), tuple(plan["notes"]))

    def refresh(self, transaction: Transaction, context: Context) -> None:
        """Resolve anew the texts about which an admin has decided otherwise since."""
        if rows := transaction.all("vocabulary.forget_redecided", self.fragments, run_id=context.run_id):
            resolve(transaction, context, [[(row["raw"], row["uses"]) for row in rows]], self.fragments)

    def finish(self, context: Context, transact: Callable[[Callable[[Transaction], None]], None]) -> None:
        """Make primary key, index and foreign keys."""
        self.links.guard(context, transact)

    def seal(self, context: Context, transact: Callable[[Callable[[Transaction], None]], None]) -> bool:
        """Validate the foreign keys; links of songs and tags that are gone are removed."""
        return self.links.validate_keys(context, transact)

    def settle(self, transaction: Transaction, context: Context) -> None:
        """Bring every tag's usage count to the number of its links."""
        transaction.run("constraints.set_usage_counts", self.fragments, run_id=context.run_id)

    def restore(self, context: Context, transact: Callable[[Callable[[Transaction], None]], None]) -> dict[str, int]:
        """Restore usage counts and the guards of `song_tags`."""
        restored = {}

        def counts(transaction: Transaction) -> None:
            restored["tags"] = transaction.run(
                "constraints.restore_usage_counts", self.fragments, run_id=context.run_id
            )

        transact(counts)
        self.links.restore(context, transact)
        return restored

    # -- chunks

    def convert(self, transaction: Transaction, context: Context, within: KeyRange, limit: int) -> Converted:
        """Convert one page: plainly, with ON CONFLICT after a collision; new texts are resolved when met."""
        if must_lock(context):
            locked = lock_page(transaction, self.source, within, limit)
            values = {**self._values(context), "keys": locked.keys}
            # What the mirror has made of them since the plan is made anew, so that the chunk can count it.
            transaction.run("themes.forget_songs", self.fragments, **values)
            converted = self._convert(transaction, context, self.source.page_of_keys(), values)
            return replace(converted, has_more=locked.has_more)
        page, bounds = self.source.page(within)
        values = {**bounds, **self._values(context), "limit": limit}
        if not context.plan.get("load"):  # a dry run: nothing was prepared that this transaction could see
            self.links.fit_key_type(transaction, self.links.plan(transaction, "auto"))
        return self._convert(transaction, context, page, values)

    def reconvert(self, transaction: Transaction, context: Context, keys: list[str]) -> None:
        """Forget what the run made of these songs and convert them again."""
        values = {**self._values(context), "keys": keys}
        self.forget(transaction, context, keys)
        transaction.run("vocabulary.forget_deleted", self.fragments, run_id=context.run_id)
        self._cautious = max(self._cautious, 1)
        self._convert(transaction, context, self.source.page_of_keys(), values)

    def forget(self, transaction: Transaction, context: Context, keys: list[str]) -> None:
        """Remove what the run made of these songs."""
        transaction.run("themes.forget_songs", self.fragments, run_id=context.run_id, keys=keys)

    def recount(self, transaction: Transaction, context: Context, within: KeyRange) -> Converted:
        """Take a range's accounting anew from source and vocabulary; what was created, from the table."""
        page, bounds = self.source.whole(within)
        values = {**bounds, **self._values(context)}
        row = self._chunk(transaction, page, "link_nothing", "made_what_was_expected", values)
        if row["unmapped"]:
            self._resolve_page(transaction, context, page, values)
            row = self._chunk(transaction, page, "link_nothing", "made_what_was_expected", values)
        converted = _converted(row)
        stored = self.stored(transaction, context, within)
        counts = converted.counts + Counts(created=stored.count - converted.counts.created)
        return Converted(converted.last_key, counts, converted.expected, stored, converted.source)

    def _convert(
        self, transaction: Transaction, context: Context, page: psql.Composed, values: dict[str, Any]
    ) -> Converted:
        forms = self._forms(context, is_whole="keys" not in values)
        while True:
            link, made = forms[0]
            try:
                row = self._attempt(transaction, page, link, made, values)
            except UniqueViolation:
                forms = forms[1:]
                if not forms:
                    raise
                self._cautious, self._patience = self._patience, 2 * self._patience
            except _NewTextsError:
                self._resolve_page(transaction, context, page, values)
            else:
                self._cautious -= self._cautious > 0
                break
        if row["quarantined"]:
            self._run(transaction, "quarantine_elements", page, values)
        return _converted(row)

    def _forms(self, context: Context, *, is_whole: bool) -> tuple[tuple[str, str], ...]:
        """Return the forms of INSERT to try, each more careful and more expensive than the one before."""
        if context.plan.get("load") == "fresh" and is_whole:
            return (("link_in_heap_order", "made_what_was_expected"),)
        careful = (("link_absent", "made_what_was_returned"), ("link_on_conflict", "made_what_was_returned"))
        return careful if self._cautious else (("link_in_key_order", "made_what_was_expected"), *careful)

    def _chunk(
        self, transaction: Transaction, page: psql.Composed, link: str, made: str, values: dict[str, Any]
    ) -> dict[str, Any]:
        fragments = {
            **self.fragments,
            "page": page,
            "link": compose(f"themes.{link}", self.fragments),
            "made": compose(f"themes.{made}"),
        }
        return transaction.one("themes.convert", fragments, **values)

    def _attempt(
        self, transaction: Transaction, page: psql.Composed, link: str, made: str, values: dict[str, Any]
    ) -> dict[str, Any]:
        """Run the chunk; what it wrote is undone when it met a conflict or new texts."""
        with transaction.savepoint():
            row = self._chunk(transaction, page, link, made, values)
            if row["unmapped"]:
                raise _NewTextsError
        return row

    def _resolve_page(
        self, transaction: Transaction, context: Context, page: psql.Composed, values: dict[str, Any]
    ) -> None:
        rows = transaction.all("themes.find_unmapped", {**self.fragments, "page": page}, **values)
        resolve(transaction, context, [[(row["raw"], row["uses"]) for row in rows]], self.fragments)

    # -- rollback

    def own_tables(self, context: Context) -> tuple[str, ...]:
        """`song_tags`, when Segue made it."""
        return ("song_tags",) if context.plan.get("is_ours") else ()

    def conflicts(self, transaction: Transaction, context: Context) -> list[Mismatch]:
        """Tags of the run that people use or have edited since; their rows are locked."""
        transaction.one("rollback.lock_tags", self.fragments, run_id=context.run_id)
        rows = transaction.all("rollback.find_conflicts", self.fragments, run_id=context.run_id)
        return [Mismatch(row["key"], row["problem"], is_row=False) for row in rows]

    def release(self, transaction: Transaction, context: Context, keys: list[str]) -> None:
        """Give conflicting tags to the people who use them, with the usage count that is left."""
        transaction.run("rollback.release_tags", self.fragments, run_id=context.run_id, kept=keys)

    def discard(self, transaction: Transaction, context: Context) -> None:
        """The foreign keys of links and synonyms delete them with their tag."""

    # -- shared

    def _run(self, transaction: Transaction, query: str, page: psql.Composed, values: dict[str, Any]) -> None:
        transaction.run(f"themes.{query}", {**self.fragments, "page": page}, **values)

    def require_privileges(self, transaction: Transaction) -> None:
        """Refuse, naming the GRANTs, when the role may not write the targets."""
        names = [self.fragments[name].as_string(None) for name in self.targets]
        if missing := transaction.all("constraints.list_missing_privileges", names=names):
            raise Refused(
                "missing privileges; as the tables' owner: "
                + "; ".join(f"GRANT {row['missing']} TO the role" for row in missing)
            )


class _NewTextsError(Exception):
    """The page holds texts that the vocabulary does not know; undoes the chunk's savepoint."""


def _converted(row: Mapping[str, Any]) -> Converted:
    expected = Digest.of(row, "expected", "linked")
    created = expected if row["created"] is None else Digest.of(row, "created", "created")
    counts = Counts(
        rows=int(row["row_count"]),
        quarantined_rows=int(row["quarantined_rows"]),
        elements=int(row["elements"] or 0),
        linked=int(row["linked"]),
        merged=int(row["merged"]),
        blank=int(row["blank"]),
        quarantined=int(row["quarantined"]),
        created=created.count,
    )
    return Converted(row["last_key"], counts, expected, created, Digest.of(row, "source", "row_count"))


def open_step(transaction: Transaction, settings: Mapping[str, str | None], schema: str) -> ThemesStep:
    """Check the options against the database.

    Raises:
        UnknownName, UsageError, Refused: the option, the object, and what to do.
    """
    source = find_source(
        transaction,
        table=settings["table"] or "songs",
        key=settings["key"] or "id",
        column=settings["column"] or "themes",
        schema=schema,
    )
    if source.column_type not in ("text[]", "character varying[]", "jsonb"):
        raise Refused(
            f"column {source.column!r} of {source} is {source.column_type}, not text[], varchar[] or a jsonb array "
            "(name another column with --column)"
        )
    split = settings.get("split")
    if split is not None and (not split or not normalise(split) or len(split) > 10):
        raise UsageError(f"--split {split!r}: give one to ten characters that are not blank, such as ','")
    return ThemesStep(source, schema, split, settings["load"] or "auto")


MIGRATION = Migration(
    name="themes",
    summary="songs' legacy theme arrays become tags",
    options=(
        Option("table", "Legacy table, with its schema when it is not the application's.", "songs"),
        Option("key", "Its unique key: uuid, bigint, integer or text.", "id"),
        Option("column", "Its theme column: text[], varchar[] or a jsonb array.", "themes"),
        Option("split", "Split each element at this text; without it 'a,b' is one tag."),
        Option(
            "load",
            "Load song_tags without its keys while it is empty (fresh), or with them (live).",
            "auto",
            ("auto", "fresh", "live"),
        ),
    ),
    open=open_step,
)
