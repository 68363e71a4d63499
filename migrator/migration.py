"""What an author writes: a migration is one value - a name, options, and a step that converts pages of a source."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from psycopg import sql as psql

from migrator.accounting import Converted as Converted  # noqa: PLC0414 - authors find both here
from migrator.accounting import Counts as Counts  # noqa: PLC0414
from migrator.digest import Digest
from migrator.divisible import Divisible
from migrator.source import KeyRange
from sql.database import Transaction


@dataclass(frozen=True)
class Context:
    """What a step may know about the run it works for.

    Attributes:
        run_id: the run; negative in a dry run, which has no row and takes no sequence number.
        at: the run's start, written as the time of everything that it creates.
        plan: what `Step.prepare` decided; JSON, empty in a dry run.
    """

    run_id: int
    at: datetime
    plan: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def rehearsing(cls) -> "Context":
        """Return the context of a dry run: what it writes bears a number that no run has."""
        return cls(-random.randrange(1, 2**62), datetime.now(UTC))


@dataclass(frozen=True)
class Mismatch:
    """One thing that is not as it should be.

    Attributes:
        key: of the source row; or another object's kind and key.
        problem: what is wrong with it, without any value of the row.
        is_row: whether converting the row again may mend it.
    """

    key: str
    problem: str
    is_row: bool = True


@dataclass(frozen=True)
class Preview:
    """What a migration's planning would do.

    Attributes:
        created: rows that planning itself would create, by table.
        words: distinct texts by how they would be resolved; empty for a migration without a vocabulary.
        suggestions: lines for an admin to consider; never applied by themselves.
        notes: what the plan says about locks and speed.
    """

    created: Mapping[str, int] = field(default_factory=dict)
    words: Mapping[str, int] = field(default_factory=dict)
    suggestions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Source(Divisible, Protocol):
    """Where rows come from: countable, and ordered by a key that is text, so that it can be cut into ranges.

    `run_id` says whose rows are meant where a run keeps a list of its own; a table has the same rows for every run.
    """

    @property
    def is_table(self) -> bool:
        """Whether chunks read it in their own transaction, and so need one snapshot for all their statements."""
        ...

    @property
    def everything(self) -> KeyRange:
        """The range of all keys."""
        ...

    def require(self) -> None:
        """Raise Refused unless it can be read; a report on a run works without."""
        ...

    def count(self, transaction: Transaction, run_id: int) -> int:
        """Return the number of rows, exactly."""
        ...

    def cut(self, transaction: Transaction, run_id: int, total: int, workers: int) -> list[KeyRange]:
        """Cut the keys into ranges of about equal size, one per worker or more; the last one is open."""
        ...

    def fitting(self, transaction: Transaction, within: KeyRange, limit: int) -> int:
        """Return how many of a range's first `limit` rows make a chunk that is not too large; at least one."""
        ...

    def keys_in_range(self, within: KeyRange, column: psql.Composable) -> psql.Composable:
        """Return the condition that a column that holds keys as text lies in a range."""
        ...


class Step(Protocol):
    """How pages become target rows. The runner owns time: transactions, cursors, retries and stops."""

    @property
    def source(self) -> Source:
        """Where the rows come from."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """Tables that get `run_id` provenance, without schema, in the order of creation; rollback goes backwards."""
        ...

    @property
    def counted(self) -> str | None:
        """The target that alone makes up the checkpoints' count of what was created; None when several do."""
        ...

    @property
    def fragments(self) -> Mapping[str, psql.Composable]:
        """Names for query templates, among them every target's."""
        ...

    def prepare(self, transaction: Transaction, context: Context) -> dict[str, Any]:
        """Once, before the first chunk, in the transaction that stores the result as the plan; never empty."""
        ...

    def rehearse(self, transaction: Transaction, context: Context) -> "Preview":
        """What `prepare` would decide, for a dry run; the caller rolls the transaction back."""
        ...

    def convert(self, transaction: Transaction, context: Context, within: KeyRange, limit: int) -> Converted:
        """Convert the first `limit` rows of a range: write targets and quarantine, return the accounting."""
        ...

    def reconvert(self, transaction: Transaction, context: Context, keys: list[str]) -> None:
        """Forget what the run made of these rows and convert them again (repair, late edits, quarantine)."""
        ...

    def first_key(self, transaction: Transaction, context: Context, within: KeyRange) -> str | None:
        """Return the first key of a range, as text; None when the range is empty."""
        ...

    def set_aside(
        self, transaction: Transaction, context: Context, keys: list[str], *, is_known: bool
    ) -> dict[str, tuple[int, Digest]]:
        """Give rows up that the database refuses: the caller puts them into quarantine as a whole.

        Args:
            transaction: the caller's.
            context: the run.
            keys: of the rows.
            is_known: whether the run may have made something of them, which is then to be removed.

        Returns:
            Of each such row that the source still has: how many elements it has, and its digest. A row may stand
            for another one (a user's newest file for an older one), so the keys need not be those given.
        """
        ...

    def weigh(self, transaction: Transaction, context: Context, keys: list[str]) -> tuple[int, Digest]:
        """Return how many elements some rows have, and their digest, as the source has them now."""
        ...

    def recount(self, transaction: Transaction, context: Context, within: KeyRange) -> Converted:
        """Take a range's accounting and digests anew, writing nothing."""
        ...

    def refresh(self, transaction: Transaction, context: Context) -> None:
        """Before a complete run is brought up to date: take in what changed beside the source."""
        ...

    def finish(self, context: Context, transact: Callable[[Callable[[Transaction], None]], None]) -> None:
        """After the last chunk: constraints and the like, each in a transaction of its own, safe to repeat."""
        ...

    def seal(self, context: Context, transact: Callable[[Callable[[Transaction], None]], None]) -> bool:
        """After late edits are caught up with: what needs the final rows, such as validating foreign keys.

        Goes on beside `settle` and the comparison; returns whether it removed rows, so that they are done again.
        """
        ...

    def settle(self, transaction: Transaction, context: Context) -> None:
        """Last, after late edits are caught up with: derived columns such as usage counts; safe to repeat."""
        ...

    def source_digest(self, transaction: Transaction, within: KeyRange) -> Digest:
        """Digest of a range of the source as it is now."""
        ...

    def stored(self, transaction: Transaction, context: Context, within: KeyRange) -> Digest:
        """Digest of what the run made of a range, as it is stored now."""
        ...

    def stored_quarantine(self, transaction: Transaction, context: Context, within: KeyRange) -> int:
        """How many elements of a range the run has in quarantine."""
        ...

    def expected(self, transaction: Transaction, context: Context, within: KeyRange) -> tuple[Counts, Digest]:
        """Accounting and digest of what is due for a range, by a path independent of `convert`."""
        ...

    def differences(self, transaction: Transaction, context: Context, within: KeyRange, most: int) -> list[Mismatch]:
        """The rows of a range whose stored image is not the expected one."""
        ...

    def changed(self, transaction: Transaction, context: Context, within: KeyRange, most: int) -> list[Mismatch]:
        """The rows of a range to convert again because their source has changed; `differences` where that is cheap."""
        ...

    def check(self, transaction: Transaction, context: Context, within: KeyRange) -> list[Mismatch]:
        """Further checks of a complete run, and a sample re-computed in Python."""
        ...

    def details(self, transaction: Transaction, context: Context) -> Mapping[str, Any]:
        """Further keys of the run's JSON report; empty where its counts say everything."""
        ...

    @property
    def shared(self) -> tuple[str, ...]:
        """Targets that rows of others may point to; rollback removes their rows last, in one locked transaction."""
        ...

    def own_tables(self, context: Context) -> tuple[str, ...]:
        """Targets that Segue made: rollback may empty one at once when nothing of others is in it."""
        ...

    def conflicts(self, transaction: Transaction, context: Context) -> list[Mismatch]:
        """What the run made and people have come to use or have edited since; locks it until the transaction ends."""
        ...

    def release(self, transaction: Transaction, context: Context, keys: list[str]) -> None:
        """Make conflicting rows the people's own (no provenance), so that the rollback passes them over."""
        ...

    def discard(self, transaction: Transaction, context: Context) -> None:
        """Delete the rows of others that use what the run made, where no foreign key would: the rollback is forced."""
        ...

    def restore(self, context: Context, transact: Callable[[Callable[[Transaction], None]], None]) -> dict[str, int]:
        """During rollback, after the rows are gone: put back what `prepare`, `finish` and `settle` changed."""
        ...


@dataclass(frozen=True)
class Option:
    """An option that a migration adds to the command line; flag, environment twin and default.

    Attributes:
        name: without dashes; `SEGUE_<NAME>` is its environment twin.
        help: shown in `--help`.
        default: used when it is not given; None is "not set".
        choices: the values allowed, or empty for any text.
        is_path: whether it names a file or directory, which a run must find again from anywhere.
    """

    name: str
    help: str
    default: str | None = None
    choices: tuple[str, ...] = ()
    is_path: bool = False


@dataclass(frozen=True)
class Migration:
    """A named conversion of a source into target tables.

    Attributes:
        name: how the command line calls it.
        summary: one line for `segue migrate --help`.
        options: what it adds to the command line; their values are the run's fingerprinted settings.
        open: checks the settings against the database and returns the step.
    """

    name: str
    summary: str
    options: tuple[Option, ...]
    open: Callable[[Transaction, Mapping[str, str | None], str], Step]
