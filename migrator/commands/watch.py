"""`segue status --watch` on a terminal: one table that is drawn anew, with who holds what."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

Runs = list[dict[str, Any]]


def told(worker: dict[str, Any]) -> str:
    """Return what a live process of a run holds, in words."""
    held = ", ".join(str(part["partition"]) for part in worker["partitions"])
    return f"{'leads' if worker['leads'] else 'has joined'}{f', partition {held}' if held else ''}"


def watch_live(read: Callable[[], Runs], *, is_busy: Callable[[Runs], bool], seconds: float) -> None:
    """Draw the table again and again until nobody works on any of the runs; the last one stays.

    Args:
        read: returns the runs as `segue status --json` does.
        is_busy: whether there is something to wait for.
        seconds: between two looks.
    """
    from rich.live import Live  # noqa: PLC0415 - only a terminal pays for it

    rates: dict[int, float] = {}
    runs, before = read(), time.monotonic()
    with Live(_table(runs, rates), auto_refresh=False) as live:
        while is_busy(runs):
            time.sleep(seconds)
            done = {run["run_id"]: run["rows"]["processed"] for run in runs}
            runs, now = read(), time.monotonic()
            rates = {
                run["run_id"]: (run["rows"]["processed"] - done.get(run["run_id"], 0)) / (now - before) for run in runs
            }
            before = now
            live.update(_table(runs, rates), refresh=True)


def _table(runs: Runs, rates: dict[int, float]) -> "Table":
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table()
    for name in ("run", "migration", "status", "rows", "%", "rows/s", "ETA", "quarantine", "partitions", "who"):
        table.add_column(name, justify="left" if name in {"migration", "status", "who"} else "right")
    for run in runs:
        rows, parts, rate = run["rows"], run["partitions"], rates.get(run["run_id"], 0.0)
        left = rows["total"] - rows["processed"]
        status = (
            f"{run['status']}: waiting, {run['throttled']}" if run["throttled"] and run["held_by"] else run["status"]
        )
        table.add_row(
            str(run["run_id"]),
            run["migration"],
            Text(status),
            f"{rows['processed']:,} of {rows['total']:,}",
            f"{100 * rows['processed'] / rows['total']:.0f}" if rows["total"] else "-",
            f"{rate:,.0f}" if rate > 0 else "-",
            f"{left / rate:.0f} s" if rate > 0 and left > 0 else "-",
            f"{rows['quarantined']:,}",
            f"{parts['done']} of {parts['total']}",
            Text("\n".join(f"{worker['holder']} {told(worker)}" for worker in run["workers"]) or "-"),
        )
    return table
