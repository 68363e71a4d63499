"""`segue status --watch` on a terminal: one table that is drawn anew, with who holds what."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

Runs = list[dict[str, Any]]
#: Runs and unfinished jobs, as `segue status --json` shows them.
Seen = tuple[Runs, list[dict[str, Any]]]


def told(worker: dict[str, Any]) -> str:
    """Return what a live process of a run holds, in words."""
    held = ", ".join(str(part["partition"]) for part in worker["partitions"])
    return f"{'leads' if worker['leads'] else 'has joined'}{f', partition {held}' if held else ''}"


def told_of_job(job: dict[str, Any]) -> str:
    """Return a job that waits or is at work, with what is asked, since when and by whom, in words."""
    settings = {name: value for name, value in job["settings"].items() if value is not None}
    asked = ", ".join(f"{name}={value}" for name, value in (settings | job["options"]).items() if value is not None)
    how = f"at work: {job['worker']}" if job["worker"] else "waits for a worker"
    return (
        f"job {job['job']}  {job['kind']} {job['migration']} (run {job['run_id']})  {how} since"
        f" {job['since']}, asked for by {job['asked_by']}{f': {asked}' if asked else ''}"
    )


def watch_live(read: Callable[[], Seen], *, is_busy: Callable[[Seen], bool], seconds: float) -> None:
    """Draw the table again and again until nobody works on any of the runs and no job waits; the last one stays.

    Args:
        read: returns runs and jobs as `segue status --json` does.
        is_busy: whether there is something to wait for.
        seconds: between two looks.
    """
    from rich.live import Live  # noqa: PLC0415 - only a terminal pays for it

    rates: dict[int, float] = {}
    (runs, jobs), before = read(), time.monotonic()
    with Live(_drawn(runs, jobs, rates), auto_refresh=False) as live:
        while is_busy((runs, jobs)):
            time.sleep(seconds)
            done = {run["run_id"]: run["rows"]["processed"] for run in runs}
            (runs, jobs), now = read(), time.monotonic()
            rates = {
                run["run_id"]: (run["rows"]["processed"] - done.get(run["run_id"], 0)) / (now - before) for run in runs
            }
            before = now
            live.update(_drawn(runs, jobs, rates), refresh=True)


def _drawn(runs: Runs, jobs: list[dict[str, Any]], rates: dict[int, float]) -> "Group":
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    return Group(_table(runs, rates), *(Text(told_of_job(job)) for job in jobs))


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
