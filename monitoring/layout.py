"""Where each series is in a process's row of numbers; the same in every process, for it follows from the table."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan, prod

from monitoring.metrics import METRICS, OTHER, TABLE, Metric

#: The first numbers of a row say whose it is.
PID, STARTED, HEADER = 0, 1, 8
#: Rows start at a page's border, so that processes never write to one cache line.
_PAGE = 512


@dataclass(frozen=True, slots=True)
class Block:
    """The numbers of one metric: of a histogram its buckets' counts, the count above and the sum; else one each."""

    metric: Metric
    start: int
    width: int
    positions: tuple[dict[str, int], ...]

    @property
    def length(self) -> int:
        """How many series there are."""
        return prod(len(positions) for positions in self.positions)

    @property
    def end(self) -> int:
        """The place after the last number."""
        return self.start + self.length * self.width

    def place(self, labels: tuple[str, ...]) -> int:
        """Return where a series' numbers begin; a value that a label does not list is `other`.

        Raises:
            ValueError: the number of values is not that of the labels.
        """
        if len(labels) != len(self.positions):
            raise ValueError(f"{self.metric.name} has the labels {self.metric.label_names}, given were {len(labels)}")
        index = 0
        for value, positions in zip(labels, self.positions, strict=True):
            index = index * len(positions) + positions.get(value, len(positions) - 1)
        return self.start + index * self.width

    def labels(self, index: int) -> tuple[str, ...]:
        """Return the label values of the series with this index: the other way round than `place`."""
        values = []
        for positions in reversed(self.positions):
            index, position = divmod(index, len(positions))
            values.append(list(positions)[position])
        return tuple(reversed(values))


def _blocks() -> Iterator[Block]:
    start = HEADER
    for metric in TABLE:
        width = len(metric.buckets) + 2 if metric.kind == "histogram" else 1
        positions = tuple(
            {value: index for index, value in enumerate((*label.values, OTHER))} for label in metric.labels
        )
        block = Block(metric, start, width, positions)
        yield block
        start = block.end


BLOCKS = {block.metric.name: block for block in _blocks()}
assert len(BLOCKS) == len(METRICS) == len(TABLE), "two metrics of the table have one name"

#: Numbers in a row.
WIDTH = -(-max(block.end for block in BLOCKS.values()) // _PAGE) * _PAGE

#: Place → what a gauge holds before anybody has set it: sums start at 0, for the rest there is no value that is true.
UNSET = {
    place: 0.0 if block.metric.mode == "sum" else nan
    for block in BLOCKS.values()
    if block.metric.kind == "gauge"
    for place in range(block.start, block.end)
}
