"""`scripts/bench serve`: the serving side against what its own HTTP server can do, and against peers.

One server process on core 0, the load on core 1. Ratios are of pairs that follow each other: the bare server, then
`segue serve`, then again; the servers' CPU shares stand beside them, because a pair in which one of both had less of
its core says nothing. Nothing else may run on the machine.
"""

import argparse
import json
import os
import random
import signal
import sys
from statistics import median
from typing import Any

from bench_data import Bench, WrongResult, own_server
from bench_report import Row, print_table
from bench_serve_cases import hit_ratio, in_process, peers, searches, visibility
from bench_serve_data import fill, keystrokes
from bench_serve_load import missing_programs, pace, path_of, saturate
from bench_serve_process import greeting, serving


def end_to_end(url: str, found: list[str], options: argparse.Namespace) -> list[Row]:
    """Start, memory, throughput beside the bare server's, and latency at a paced rate."""
    paths = sorted({path_of(query) for query in keystrokes(found, 4_000)})
    random.Random(7).shuffle(paths)
    with serving(url) as segue, greeting() as hello:
        rows = [
            Row("start until ready", [segue.ready_seconds]),
            Row("memory of all its processes", [segue.memory_mb()], unit="MB"),
        ]
        saturate(segue.url, segue.pid, paths, 2)  # warm
        bare, own = [], []
        for _ in range(options.repeats):
            bare.append(saturate(hello.url, hello.pid, ["/"], options.seconds))
            own.append(saturate(segue.url, segue.pid, paths, options.seconds))
        paced = pace(segue.url, segue.pid, paths, options.rate, 2 * options.seconds)
    for load in (*bare, *own, paced):
        if load.errors:
            raise WrongResult(f"{load.errors} requests failed")
    shares = ", ".join(f"{one.share:.2f}/{other.share:.2f}" for one, other in zip(bare, own, strict=True))
    rate = Row("autocomplete, 100 connections", [load.rate for load in own], unit="/s", note=f"CPU shares {shares}")
    rate.ratio = median(mine.rate / its.rate for mine, its in zip(own, bare, strict=True))
    rate.limit, rate.target = "the bare server", 0.85
    slow = Row("autocomplete, 100 connections, p99", [load.p99 for load in own], unit="ms")
    slow.ratio = median(mine.p99 / its.p99 for mine, its in zip(own, bare, strict=True))
    slow.limit, slow.target, slow.is_speed = "the bare server", 1.3, False
    even = Row(
        f"autocomplete, {options.rate:,} requests/s, p99", [paced.p99], unit="ms", note=f"{paced.rate:,.0f}/s came"
    )
    return [
        *rows,
        Row("the bare server, 100 connections", [load.rate for load in bare], unit="/s"),
        Row("the bare server, 100 connections, p99", [load.p99 for load in bare], unit="ms"),
        rate,
        slow,
        even,
    ]


def with_targets(rows: list[Row], targets: dict[str, float]) -> list[Row]:
    """Give rows whose own value is the goal their limit."""
    for row in rows:
        for name, most in targets.items():
            if row.case.startswith(name):
                row.ratio, row.target, row.is_speed, row.limit = median(row.values), most, False, f"{most:g} {row.unit}"
    return rows


def measure(bench: Bench, options: argparse.Namespace) -> list[Row]:
    """Make the data and run every case."""
    bench.make_empty("tags")
    url = bench.url("tags")
    found = fill(url, options.tags, options.tags // 5)
    rows = end_to_end(url, found, options)
    rows += in_process(url, found, 200 if options.quick else 2_000)
    rows += hit_ratio(url, found, options.keystrokes)
    rows += visibility(url, options)
    if options.peers:
        rows += peers(url, found, 20 if options.quick else 200)
    rows += searches(bench, options.songs, peer=options.peers)
    if options.quick:
        for row in rows:
            row.target = None
        return rows
    return with_targets(
        rows,
        {
            "start until ready": 15.0,
            "memory of all": 700.0,
            f"autocomplete, {options.rate:,}": 5.0,
            "index, look-up, 1 to 5 characters, p99": 50.0,
            "index, look-up, one typing error, p99": 150.0,
            "search in process, p95": 5.0,
            "search over HTTP, p95": 10.0,
            "a new tag in every worker, p99": 1_000.0,
        },
    )


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench serve", description=__doc__)
    parser.add_argument("--tags", type=int, help="tags, and a fifth as many synonyms [1000000]")
    parser.add_argument("--songs", type=int, help="of the search, four tags each [1000000]")
    parser.add_argument("--repeats", type=int, help="pairs of the bare server and segue serve [5]")
    parser.add_argument("--seconds", type=float, help="of each load [5]")
    parser.add_argument("--rate", type=int, default=10_000, help="requests a second of the paced load [10000]")
    parser.add_argument("--keystrokes", type=int, help="of the log that the hit ratio is measured on [200000]")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="leave the other ways to do it out")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument(
        "--quick", action="store_true", help="2,000 tags and songs, once, without targets: does it work?"
    )
    options = parser.parse_args()
    options.tags = options.tags or (2_000 if options.quick else 1_000_000)
    options.songs = options.songs or (2_000 if options.quick else 1_000_000)
    options.repeats = options.repeats or (1 if options.quick else 5)
    options.seconds = options.seconds or (1.0 if options.quick else 5.0)
    options.keystrokes = options.keystrokes or (500 if options.quick else 200_000)
    options.rate = 1_000 if options.quick else options.rate
    if missing := missing_programs():
        print(f"bench: first: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    before = os.getloadavg()
    try:
        with own_server() as bench:
            rows = measure(bench, options)
    except WrongResult as error:
        print(f"bench: WRONG RESULT: {error}", file=sys.stderr)
        return 1
    facts: dict[str, Any] = {
        "benchmark": "serve",
        "tags": options.tags,
        "songs": options.songs,
        "server": "one segue serve process on core 0, load from core 1",
        "cores": os.cpu_count(),
        "load_average": {"before": before, "after": os.getloadavg()},
        "repeats": options.repeats,
    }
    if options.json:
        print(json.dumps({**facts, "cases": [row.as_json() for row in rows]}))
    else:
        print_table(facts, rows, f"{options.tags:,} tags, {options.tags // 5:,} synonyms; {options.songs:,} songs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
