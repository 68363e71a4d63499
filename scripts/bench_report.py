"""Rows of measurements, as a plain text table and as JSON."""

from dataclasses import dataclass
from itertools import cycle
from statistics import median
from typing import Any


@dataclass
class Row:
    """One case.

    Attributes:
        case: its name.
        values: of every repeat, in `unit`; of a process without its start-up.
        with_startup: the same with it, for processes.
        limit: the case that it is compared with.
        ratio: median of the repeats' ratios; of speeds (more is better) or of times (less is better).
        ratio_with_startup: the same for the whole process.
        target: what the ratio has to reach, or stay under.
    """

    case: str
    values: list[float]
    unit: str = "s"
    note: str = ""
    with_startup: list[float] | None = None
    limit: str | None = None
    ratio: float | None = None
    ratio_with_startup: float | None = None
    target: float | None = None
    is_speed: bool = True

    def compare(
        self,
        limit: str,
        limits: list[float],
        whole: list[float] | None,
        target: float | None,
        *,
        is_speed: bool = True,
        base: list[float] | None = None,
    ) -> None:
        """Compare every repeat with the limit's; `base` are the values to use instead of the row's own."""
        self.limit, self.target, self.is_speed = limit, target, is_speed
        if base is not None:
            self.ratio = _ratio(base, limits, is_speed=False)
        else:
            self.ratio = _ratio(self.values, limits, is_speed=is_speed)
        if whole is not None and self.with_startup is not None:
            self.ratio_with_startup = _ratio(whole, limits, is_speed=is_speed)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None or self.ratio is None:
            return None
        return self.ratio >= self.target if self.is_speed else self.ratio <= self.target

    def as_json(self) -> dict[str, Any]:
        """Return the row with everything that was measured."""
        return {
            "case": self.case,
            "unit": self.unit,
            "median": round(median(self.values), 4),
            "min": round(min(self.values), 4),
            "max": round(max(self.values), 4),
            "values": [round(value, 4) for value in self.values],
            "with_startup": None if self.with_startup is None else round(median(self.with_startup), 4),
            "limit": self.limit,
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "ratio_with_startup": None if self.ratio_with_startup is None else round(self.ratio_with_startup, 4),
            "ratio_of": "speeds" if self.is_speed else "values",
            "target": self.target,
            "met": self.is_met,
            "note": self.note,
        }


def _ratio(values: list[float], limits: list[float], *, is_speed: bool) -> float:
    """Return the median of pairwise ratios; a shorter list goes round again."""
    longest = max(len(values), len(limits))
    pairs = zip(cycle(values), cycle(limits), range(longest), strict=False)
    return median((limit / value) if is_speed else (value / limit) for value, limit, _ in pairs)


def print_table(facts: dict[str, Any], rows: list[Row], about: str) -> None:
    """Print the report for people; `about` says what was measured on."""
    before, after = facts["load_average"]["before"], facts["load_average"]["after"]
    print(f"{facts['server']}, {facts['cores']} cores, load average {before[0]:.2f} before and {after[0]:.2f} after")
    print(f"{about}; {facts['repeats']} repeats")
    if "startup_seconds" in facts:
        print(f"interpreter's start-up {facts['startup_seconds']:.3f} s taken off segue's processes, but not in [ ]")
    print()
    print(f"{'case':<50} {'median':>8} {'min .. max':>17} {'whole':>9} {'ratio':>7} {'whole':>7}  {'target':<7} met")
    for row in rows:
        whole = f"[{median(row.with_startup):.2f}]" if row.with_startup else ""
        ratio = "" if row.ratio is None or row.unit == "MB" else f"{row.ratio:.2f}"
        whole_ratio = "" if row.ratio_with_startup is None else f"[{row.ratio_with_startup:.2f}]"
        target = "" if row.target is None else f"{'>=' if row.is_speed else '<='} {row.target:g}"
        met = {None: "", True: "yes", False: "NO"}[row.is_met]
        span = f"{min(row.values):.2f} .. {max(row.values):.2f}"
        note = "; ".join(part for part in (row.limit and f"against {row.limit}", row.note) if part)
        print(f"{row.case:<50} {median(row.values):>6.2f} {row.unit:<2}{span:>16} {whole:>9} ", end="")
        print(f"{ratio:>7} {whole_ratio:>7}  {target:<7} {met:<4} {note}")
    print("\n>= compares speeds (limit's time / own time), <= compares times; a peer's ratio: how much faster Segue is")
