"""`scripts/bench live`: what users notice of a migration, and what it costs to be safe, in one run.

Everything runs on one server of its own with default settings: each commit is flushed to disk. Users are four
connections in a process of their own, each changing one row about every 5 ms, half of the writes the themes, half
another column. Baselines are measured in the same copy, just before. Sides alternate, ratios are medians of the
repeats' own, and every result is proven; a wrong one ends the benchmark with exit code 1.
"""

import argparse
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench_cases import one
from bench_data import Bench, WrongResult, own_server
from bench_live_cases import (
    LIVE,
    REF,
    LiveSamples,
    before_it,
    kill_and_resume,
    load_by_one_statement,
    migrate_and_undo,
    migrate_under_users,
    pause,
    storm,
    write_one_by_one,
)
from bench_live_users import Window
from bench_report import Row, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

#: Case, what `segue migrate` is given, and how many times the baseline users' p99 may be.
UNDER_USERS: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("users' p99, segue migrate", (), 2.0),
    ("users' p99, --nice 1", ("--nice", "1"), 1.3),
    ("users' p99, --mirror forward", ("--mirror", "forward"), 2.0),
)

#: Kind of a user's write, how it is called, and its aim with a mirror.
WRITES: tuple[tuple[str, str, float | None], ...] = (
    ("edit", "one theme of one song", 1.5),
    ("replace", "all themes of one song", None),
    ("title", "another column", None),
)


def measure(bench: Bench, options: argparse.Namespace) -> tuple[LiveSamples, dict[str, Any]]:
    """Run all cases; every second repeat in reverse."""
    samples = LiveSamples()
    songs = "template_songs"
    data = bench.make_template(songs, options.songs)
    samples.start_up()
    quiet = 0.3 if options.quick else 3.0
    blocks, size = (1, 10) if options.quick else (8, 50)
    # Few songs would be done before they can be disturbed.
    slowly = ("--batch-size", "50") if options.songs < 20_000 else ()
    slower = ("--batch-size", "50", "--nice", "10") if options.songs < 100_000 else ()
    cases: list[Callable[[], None]] = [
        *(
            partial(migrate_under_users, bench, samples, songs, case, quiet, *arguments)
            for case, arguments, _ in UNDER_USERS
        ),
        partial(write_one_by_one, bench, samples, songs, blocks, size),
        partial(load_by_one_statement, bench, samples, songs),
        partial(migrate_and_undo, bench, samples, songs),
        partial(kill_and_resume, bench, samples, songs, options.songs, *slowly),
        partial(pause, bench, samples, songs, *slower),
        partial(storm, bench, samples),
    ]
    for repeat in range(options.repeats):
        for case in cases if repeat % 2 == 0 else reversed(cases):
            case()
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return samples, data


def rows(samples: LiveSamples, data: dict[str, Any], options: argparse.Namespace) -> list[Row]:
    """Turn the samples into the rows of the report, with their aims."""
    target: Callable[[float | None], float | None] = (lambda _: None) if options.quick else (lambda value: value)
    found: list[Row] = []
    for case, _, aim in UNDER_USERS:
        before, during = (
            Row(name, samples.whole[name], "ms", _about(samples.windows[name])) for name in (before_it(case), case)
        )
        during.compare(before.case, before.values, None, target(aim), is_speed=False)
        found += [before, during]
    for kind, name, aim in WRITES:
        plain = Row(f"a user changes {name}", samples.whole[f"{kind}, plain"], "ms")
        row = Row(f"a user changes {name}, mirrored", samples.whole[f"{kind}, mirrored"], "ms")
        row.compare(plain.case, plain.values, None, target(aim), is_speed=False)
        found += [plain, row]
    found += [samples.row(REF), samples.row(LIVE, limit=REF, target=target(1.0))]
    wanted: list[tuple[str, str, list[float], str, float | None]] = [
        ("killed, then again: first new chunk", "s", samples.whole["resume"], "from the start of the process", 1.0),
        ("segue pause: the run stands still", "s", samples.whole["pause"], "from the start of the command", 1.0),
    ]
    for case, unit, values, note, aim in wanted:
        row = Row(case, values, unit, note)
        row.compare("", [1.0], None, target(aim), is_speed=False)
        found.append(row)
    again = Row("killed, then again: songs done again", samples.facts["songs done again"], "")
    again.note = f"of {data['songs']:,}; with two workers"
    again.compare("a chunk for each worker", samples.facts["songs of two chunks"], None, target(1.0), is_speed=False)
    found.append(again)
    thousands = [value / 1_000 for value in samples.facts["links undone a second"]]
    found.append(Row("undo: thousand links a second", thousands, "", f"segue rollback of {data['links']:,} links"))
    for name, fact in (("tried again", "retries a thousand writes"), ("late", "late a thousand writes")):
        about = f"of {sum(samples.facts['storm writes']):,.0f} writes of 16 users"
        found.append(Row(f"mirror in a storm: {name}, per thousand writes", samples.facts[fact], "", about))
    for case in (REF, LIVE):
        wal = samples.facts[f"wal, {case}"]
        row = Row(f"WAL per song, {case}", [value / data["songs"] for value in wal], "B")
        row.note = f"{median(wal) / data['links']:.0f} bytes per link"
        if case == LIVE:
            row.compare(
                REF, [value / data["songs"] for value in samples.facts[f"wal, {REF}"]], None, None, is_speed=False
            )
        found.append(row)
    return found


def _about(windows: list[Window]) -> str:
    writes = sum(len(window.seconds) for window in windows)
    return f"p50 {median(window.p50 for window in windows):.2f} ms, {writes:,} writes"


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench live", description=__doc__)
    parser.add_argument("--songs", type=int, help="in the template database [200000]")
    parser.add_argument("--repeats", type=int, help="of every case [3]")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--quick", action="store_true", help="3,000 songs, once, without aims: does it work?")
    options = parser.parse_args()
    options.songs = options.songs or (3_000 if options.quick else 200_000)
    options.repeats = options.repeats or (1 if options.quick else 3)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    before = os.getloadavg()
    try:
        with own_server() as bench:
            version = one(bench, "postgres", "SHOW server_version")
            samples, data = measure(bench, options)
    except WrongResult as error:
        print(f"bench: WRONG RESULT: {error}", file=sys.stderr)
        return 1
    found = rows(samples, data, options)
    facts = {
        "benchmark": "live",
        "data": data,
        "repeats": options.repeats,
        "server": f"PostgreSQL {version}",
        "cores": os.cpu_count(),
        "load_average": {"before": before, "after": os.getloadavg()},
        "startup_seconds": round(median(samples.startups), 4),
        "late_songs": samples.facts["late"],
    }
    if options.json:
        print(json.dumps({**facts, "cases": [row.as_json() for row in found]}))
    else:
        print_table(facts, found, f"{data['songs']:,} songs, {data['elements']:,} elements, {data['links']:,} links")
    return 0


if __name__ == "__main__":
    sys.exit(main())
