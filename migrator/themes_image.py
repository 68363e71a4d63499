"""What a themes run should have made, read from the source by a path that the writer does not use."""

from collections.abc import Iterator
from typing import Any

from psycopg import sql as psql

from migrator.cleanup_record import Record
from migrator.digest import Digest
from migrator.locked_rows import must_lock
from migrator.migration import Context, Counts, Mismatch
from migrator.source import KEY_TYPES, KeyRange, TableSource
from migrator.table_rows import TableRows
from migrator.vocabulary import PAGE_TEXTS
from sql.database import Row, Transaction, compose
from tags.normalise import normalise, problem

#: Songs re-computed in Python by `check`.
SAMPLE_SIZE = 200


class ThemesImage(TableRows):
    """The expected and the stored image of a range of songs.

    Args:
        source: the legacy table, its key and its theme column.
        schema: the application's, home of the targets.
        split: text at which elements are split, or None.
    """

    targets = ("tags", "tag_synonyms", "song_tags")
    counted = "song_tags"

    def __init__(self, source: TableSource, schema: str, split: str | None) -> None:
        is_json = source.column_type == "jsonb"
        column = psql.Identifier(source.column)
        # "C" makes hashing and comparing independent of the column's collation.
        self.source = source if is_json else source.reading(psql.SQL('{}::text[] COLLATE "C"').format(column))
        self.split = split
        elements = compose(f"themes.elements_of_{'json' if is_json else 'array'}{'_split' if split else ''}")
        count = "count_by_elements" if is_json or split else "count_in_array"
        self.fragments = {
            **self.source.fragments,
            **{name: psql.Identifier(schema, name) for name in self.targets},
            "elements": elements,
            "exploded": compose(
                f"themes.exploded_{'by_elements' if is_json or split else 'array'}", {"elements": elements}
            ),
            "count": compose(f"themes.{count}", {"elements": elements}),
            "value_hash": compose(f"themes.hash_of_{'json' if is_json else 'array'}"),
            "in_order": compose("themes.in_order") if source.collation is None else psql.SQL(""),
        }

    def discover(self, transaction: Transaction) -> Iterator[list[tuple[str, int]]]:
        """Yield the distinct texts of the source with their numbers of uses, some at a time."""
        transaction.run("themes.discover_texts", self.fragments, split=self.split)
        for rows in transaction.stream("themes.read_discovered", size=PAGE_TEXTS):
            yield [(row["raw"], row["uses"]) for row in rows]

    def source_digest(self, transaction: Transaction, within: KeyRange) -> Digest:
        """Digest of the themes of a range as they are now."""
        page, bounds = self.source.whole(within)
        row = transaction.one("themes_image.digest_source", {**self.fragments, "page": page}, **bounds)
        return Digest.of(row, "source", "row_count")

    def count_elements(self, transaction: Transaction, keys: list[str]) -> int:
        """Return how many themes some songs have."""
        page, bounds = self.source.whole(KeyRange(only=keys))
        fragments = {**self.fragments, "page": page}
        return int(transaction.one("themes_image.count_elements", fragments, **bounds, split=self.split)["elements"])

    def stored(self, transaction: Transaction, context: Context, within: KeyRange) -> Digest:
        """Digest of the run's links of a range."""
        fragments = {**self.fragments, **self._in_range(within)}
        row = transaction.one("themes_image.digest_created", fragments, run_id=context.run_id, **vars(within))
        return Digest.of(row, "created", "created")

    def stored_quarantine(self, transaction: Transaction, context: Context, within: KeyRange) -> int:
        """Return how many elements of a range the run has in quarantine."""
        fragments = {**self.fragments, **self._in_range(within)}
        row = transaction.one("themes_image.count_quarantined", fragments, run_id=context.run_id, **vars(within))
        return int(row["quarantined"])

    def expected(self, transaction: Transaction, context: Context, within: KeyRange) -> tuple[Counts, Digest]:
        """Accounting and digest due for a range, recomputed from the source by name."""
        fragments, values = self._expectation(context, within)
        row = transaction.one("themes_image.digest_expected", fragments, **values)
        parts = {name: int(row[name]) for name in ("elements", "linked", "merged", "blank", "quarantined")}
        return Counts(**parts), Digest.of(row, "expected", "linked")

    def differences(self, transaction: Transaction, context: Context, within: KeyRange, most: int) -> list[Mismatch]:
        """Missing and extra links and quarantine rows of a range, by song."""
        return self._differences(transaction, *self._expectation(context, within), most)

    def changed(self, transaction: Transaction, context: Context, within: KeyRange, most: int) -> list[Mismatch]:
        """Compare with what the writer would make now, which is cheap, unless more than the source has changed."""
        reading = "expected_pairs" if context.plan.get("recheck") else "mapped_pairs"
        return self._differences(transaction, *self._expectation(context, within, reading), most)

    def _differences(
        self, transaction: Transaction, fragments: dict[str, psql.Composable], values: dict[str, Any], most: int
    ) -> list[Mismatch]:
        is_text = KEY_TYPES[self.source.key_type] == "text"  # two columns of one text type may have two orders
        fragments["in_one_order"] = psql.SQL('COLLATE "C"' if is_text else "")
        rows = transaction.all("themes_image.find_differences", fragments, **values, most=most)
        return [Mismatch(row["key"], row["problem"]) for row in rows]

    def list_edits(self, transaction: Transaction, context: Context, on_conflict: str, most: int) -> list[Row]:
        """Rows that people have edited since the run began, and what a rollback would do to each."""
        values = {"run_id": context.run_id, "on_conflict": on_conflict, "most": most}
        return transaction.all("rollback_edits.list_edits", self.fragments, **values)

    def details(self, transaction: Transaction, context: Context) -> dict[str, Any]:
        """Where the cleanup of the legacy column stands, once there is one."""
        record = Record.find(transaction, context.run_id)
        return {"cleanup": record.as_json()} if record else {}

    def check(self, transaction: Transaction, context: Context, within: KeyRange) -> list[Mismatch]:
        """Usage counts, tag names, the vocabulary, quarantined counts, and a sample of songs re-computed in Python."""
        found = []
        names = ["find_wrong_usage_counts", "find_wrong_names", "find_wrong_words"]
        # A mirror leaves the counts to our commands: users' transactions would wait for each other at popular tags.
        for name in names[1:] if must_lock(context) else names:
            rows = transaction.all(f"constraints.{name}", self.fragments, run_id=context.run_id, most=100)
            found += [Mismatch(f"tag {row['key']}", row["problem"], is_row=False) for row in rows]
        return found + list(self._check_sample(transaction, context, within))

    def _check_sample(self, transaction: Transaction, context: Context, within: KeyRange) -> Iterator[Mismatch]:
        page, bounds = self.source.sample(within)
        values = {**bounds, **self._values(context), "limit": SAMPLE_SIZE}
        decided = {
            row["raw"]: row["canonical"] for row in transaction.all("vocabulary.read_decided", run_id=context.run_id)
        }
        synonyms = {
            row["normalized"]: row["canonical"] for row in transaction.all("vocabulary.read_synonyms", self.fragments)
        }
        names = {
            row["normalized_name"] for row in transaction.all("vocabulary.read_tag_names", self.fragments, most=None)
        }
        for row in transaction.all("themes_image.read_sample", {**self.fragments, "page": page}, **values):
            due = set()
            for raw, is_text in row["elements"] or ():
                if not is_text or raw is None or not normalise(raw):
                    continue
                if raw in decided:
                    due.add(decided[raw])
                elif problem(raw) is None:
                    normal = normalise(raw)
                    due.add(normal if normal in names else synonyms.get(normal, normal))
            if missing := due - set(row["stored"] or ()):
                yield Mismatch(row["key"], f"{len(missing)} tags are missing by the sample re-computed in Python")

    def _expectation(
        self, context: Context, within: KeyRange, reading: str = "expected_pairs"
    ) -> tuple[dict[str, psql.Composable], dict[str, Any]]:
        page, bounds = self.source.whole(within)
        fragments = {**self.fragments, **self._in_range(within), "page": page}
        return {**fragments, "expected": compose(f"themes_image.{reading}", fragments)}, {
            **bounds,
            **self._values(context),
        }

    def _in_range(self, within: KeyRange) -> dict[str, psql.Composable]:
        cast = psql.SQL("quarantine.key::{}").format(self.fragments["key_type"])
        return {
            "link_in_range": self.source.in_range(within, psql.Identifier("link", "song_id")),
            "quarantine_in_range": self.source.in_range(within, cast),
        }

    def _values(self, context: Context) -> dict[str, Any]:
        return {"run_id": context.run_id, "added_at": context.at, "split": self.split}
