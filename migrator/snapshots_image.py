"""What a snapshots run should have made, read from plays and features by a path that the writer does not use."""

from typing import Any

from psycopg import sql as psql

from migrator.digest import Digest
from migrator.migration import Context, Counts, Mismatch
from migrator.source import KeyRange, TableSource
from migrator.table_rows import TableRows
from sql.database import Transaction, compose

#: Time range → days that it covers, up to and including the snapshot's own.
RANGES = {"short_term": 28, "medium_term": 182, "long_term": 365}

#: Audio features whose mean and deviation a snapshot keeps.
FEATURES = ("valence", "energy", "danceability", "tempo")

#: Users, and snapshots of each, that `check` computes once more.
SAMPLE_USERS, SAMPLE_SNAPSHOTS = 40, 5

#: What is written, then what is read.
TABLES = ("listening_snapshots", "user_listening_history", "audio_features", "generated_insights")
_SAYS = {"missing": "missing snapshot", "extra": "extra snapshot", "changed": "snapshot with other values"}


class SnapshotsImage(TableRows):
    """The expected and the stored image of a range of users.

    Args:
        source: the users; read as `v`: their Spotify id.
        schema: the application's.
    """

    targets = ("listening_snapshots",)
    counted = "listening_snapshots"

    def __init__(self, source: TableSource, schema: str) -> None:
        self.source = source
        self.fragments: dict[str, psql.Composable] = {
            **source.fragments,
            **{name: psql.Identifier(schema, name) for name in TABLES},
            "stored_columns": compose("snapshots.stored_columns"),
            "source_of_days": compose("snapshots.source_of_days"),
            "frames": _union("snapshots.frame"),
            "mood": compose("snapshots_image.mood"),
            **{
                f"{prefix}_{feature}": compose(f"snapshots.{part}", _columns(feature))
                for feature in FEATURES
                for prefix, part in (("avg", "average"), ("std", "deviation"))
            },
        }
        self._derive("plays", "snapshots.plays")
        self._derive("heard_now", "snapshots_changes.heard_now")
        self._derive("expected_plays", "snapshots_image.expected_plays")
        frames = {
            "as_stored": _union("snapshots_image.expected_frame"),
            "as_stored_of_frame": compose("snapshots_image.this_frame"),
        }
        for name, source_of_frames in frames.items():
            self.fragments[name] = compose("snapshots_image.as_stored", {"frames": source_of_frames})

    def source_digest(self, transaction: Transaction, within: KeyRange) -> Digest:
        """Digest of the users of a range with their plays and those tracks' features as they are now."""
        page, bounds = self.source.whole(within)
        row = transaction.one("snapshots_changes.digest_source", {**self.fragments, "page": page}, **bounds)
        return Digest.of(row, "source", "row_count")

    def stored(self, transaction: Transaction, context: Context, within: KeyRange) -> Digest:
        """Digest of the run's snapshots of a range."""
        row = transaction.one(
            "snapshots_image.digest_stored", self.in_range(within), run_id=context.run_id, **vars(within)
        )
        return Digest.of(row, "created", "created")

    def stored_quarantine(self, transaction: Transaction, context: Context, within: KeyRange) -> int:
        """Return how many elements of users in quarantine there are; only whole users can be there."""
        fragments = {"key_in_range": self.source.keys_in_range(within, psql.Identifier("quarantine", "key"))}
        return int(transaction.one("aside.count_rows", fragments, run_id=context.run_id, **vars(within))["elements"])

    def count_elements(self, transaction: Transaction, keys: list[str]) -> int:
        """Return how many elements the plays of some users are."""
        page, bounds = self.source.whole(KeyRange(only=keys))
        row = transaction.one("snapshots_image.count_expected", {**self.fragments, "page": page}, **bounds)
        return int(row["elements"])

    def expected(self, transaction: Transaction, context: Context, within: KeyRange) -> tuple[Counts, Digest]:  # noqa: ARG002
        """Accounting and digest due for a range, by PostgreSQL's own aggregates over the plays themselves."""
        page, bounds = self.source.whole(within)
        fragments = {**self.fragments, "page": page}
        row = transaction.one("snapshots_image.digest_expected", fragments, **bounds)
        parts = transaction.one("snapshots_image.count_expected", fragments, **bounds)
        digest = Digest.of(row, "expected", "linked")
        return Counts(linked=digest.count, **{name: int(parts[name]) for name in parts}), digest

    def differences(self, transaction: Transaction, context: Context, within: KeyRange, most: int) -> list[Mismatch]:
        """Missing, extra and wrong snapshots of a range, by user."""
        page, bounds = self.source.whole(within)
        fragments = {**self.in_range(within), "page": page}
        rows = self._differences(transaction, context, fragments, {**bounds, "most": most})
        return [Mismatch(row["key"], f"{_SAYS[row['kind']]} {row['what']}") for row in rows]

    def edited(self, transaction: Transaction, context: Context, keys: list[str]) -> list[str]:
        """Return the ids of the run's snapshots of some users that are not what these users' plays give."""
        condition = psql.SQL("snapshot.user_id = ANY(%(keys)s::uuid[])")
        fragments = {**self.fragments, "page": self.source.page_of_keys(), "stored_in_range": condition}
        rows = self._differences(transaction, context, fragments, {"keys": keys, "most": None})
        return [row["snapshot"] for row in rows if row["kind"] == "changed"]

    def check(self, transaction: Transaction, context: Context, within: KeyRange) -> list[Mismatch]:
        """Compute a sample of snapshots once more, each by one plain query over the plays of its days."""
        page, bounds = self.source.sample(within)
        values = {**bounds, "run_id": context.run_id, "limit": SAMPLE_USERS, "each": SAMPLE_SNAPSHOTS}
        rows = transaction.all("snapshots_image.find_wrong_in_sample", {**self.fragments, "page": page}, **values)
        return [Mismatch(row["key"], f"snapshot {row['what']} is not what a plain query gives") for row in rows]

    def in_range(self, within: KeyRange) -> dict[str, psql.Composable]:
        """Return all fragments, with the conditions that stored rows belong to a range of users."""
        return {
            **self.fragments,
            "stored_in_range": self.source.in_range(within, psql.Identifier("snapshot", "user_id")),
            "journal_in_range": self.source.in_range(within, psql.SQL("entry.key::uuid")),
        }

    def _differences(
        self,
        transaction: Transaction,
        context: Context,
        fragments: dict[str, psql.Composable],
        values: dict[str, Any],
    ) -> list[dict[str, Any]]:
        return transaction.all("snapshots_image.find_differences", fragments, run_id=context.run_id, **values)

    def _derive(self, name: str, query: str) -> None:
        self.fragments[name] = compose(query, self.fragments)


def _union(query: str) -> psql.Composed:
    """Return the query of all time ranges one below the other."""
    parts = [
        compose(
            query,
            {
                "time_range": psql.Literal(name),
                "preceding": psql.SQL("interval {}").format(psql.Literal(f"{days - 1} days")),
            },
        )
        for name, days in RANGES.items()
    ]
    return psql.SQL(" UNION ALL ").join(psql.SQL("({})").format(part) for part in parts)


def _columns(feature: str) -> dict[str, psql.Composable]:
    return {part: psql.Identifier(f"{feature}_{part}") for part in ("n", "sum", "squares")}
