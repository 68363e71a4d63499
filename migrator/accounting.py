"""What a set of source rows adds up to: every element of theirs has an outcome, and digests tell what is due."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from migrator.digest import Digest


@dataclass(frozen=True)
class Counts:
    """The accounting of a set of rows: every element is linked, merged, blank or quarantined."""

    rows: int = 0
    quarantined_rows: int = 0
    elements: int = 0
    linked: int = 0
    merged: int = 0
    blank: int = 0
    quarantined: int = 0
    created: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def adds_up(self) -> bool:
        """Whether no element was lost or counted twice."""
        return self.elements == self.linked + self.merged + self.blank + self.quarantined


@dataclass(frozen=True)
class Converted:
    """What converting one page gave.

    Attributes:
        last_key: the key of its last row, as text; None for an empty page.
        counts: its accounting.
        expected: digest of the links due, from the source.
        created: digest of the links written.
        source: digest of the source rows as they were read.
        rows: how many rows were written into each table, where a page's rows go to several.
        has_more: whether the range goes on although fewer rows were taken than asked for.
    """

    last_key: str | None
    counts: Counts
    expected: Digest
    created: Digest
    source: Digest
    rows: Mapping[str, int] = field(default_factory=dict)
    has_more: bool = False

    def __add__(self, after: "Converted") -> "Converted":
        rows = {name: self.rows.get(name, 0) + after.rows.get(name, 0) for name in {**self.rows, **after.rows}}
        return Converted(
            self.last_key if after.last_key is None else after.last_key,
            self.counts + after.counts,
            self.expected + after.expected,
            self.created + after.created,
            self.source + after.source,
            rows,
            after.has_more,
        )
