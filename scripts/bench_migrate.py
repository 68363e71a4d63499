"""`scripts/bench migrate`: Segue against the limits of the machine and against how others would do it, in one run.

Every case works in a fresh copy of one template database on one server with default settings, and its result is
compared with the truth; a wrong result ends the benchmark with exit code 1. The cases of one repeat run one after the
other, every second repeat in reverse; a ratio is the median of the repeats' own ratios. Segue's times are whole
processes, less the interpreter's start-up, which is measured beside each of them (both figures are shown).
"""

import argparse
import json
import os
import signal
import sys
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from bench_cases import Samples, limit, migrate, migrate_and_back, migrate_with_conflicts, one, peer, resume
from bench_data import Bench, WrongResult, own_server
from bench_peers import PEERS, one_shot, one_shot_live
from bench_report import Row, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL_SONGS, LARGE_SONGS = 10_000, 2_000_000


def measure(bench: Bench, options: argparse.Namespace) -> tuple[Samples, dict[str, Any]]:
    """Run all cases; every second repeat in reverse."""
    samples = Samples()
    data = bench.make_template("template_songs", options.songs)
    bench.make_template("template_small", options.small)
    samples.start_up()
    songs = "template_songs"
    cases: list[Callable[[], None]] = [
        partial(limit, bench, samples, songs, "L*: one statement, keys after", one_shot),
        partial(migrate_and_back, bench, samples, songs),
        partial(migrate, bench, samples, songs, "segue fresh, --workers 1", "--workers", "1"),
        partial(limit, bench, samples, songs, "REF: one statement, keys live", one_shot_live),
        partial(migrate, bench, samples, songs, "segue live", "--load", "live"),
        partial(migrate_with_conflicts, bench, samples, songs),
        partial(resume, bench, samples, songs),
        partial(migrate, bench, samples, "template_small", "segue small"),
    ]
    slow: list[Callable[[], None]] = [
        partial(peer, bench, samples, songs, name, work, min(most, options.songs, options.peer_songs))
        for name, work, most in PEERS
    ]
    for repeat in range(options.repeats):
        # The peers take minutes and only have to be three times slower: fewer repeats, each beside the others.
        turn = [*cases, *(slow if repeat < options.peer_repeats else [])]
        for case in turn if repeat % 2 == 0 else reversed(turn):
            case()
            print(".", end="", file=sys.stderr, flush=True)
    if options.memory:
        bench.make_template("template_large", options.large)
        migrate(bench, samples, "template_large", "segue large")
    print(file=sys.stderr)
    return samples, data


def rows(samples: Samples, options: argparse.Namespace) -> list[Row]:
    """Turn the samples into the rows of the report, with their targets."""
    best, ref, fresh = "L*: one statement, keys after", "REF: one statement, keys live", "segue fresh"
    target: Callable[[float], float | None] = (lambda _: None) if options.quick else (lambda value: value)
    found = [
        samples.row(best),
        samples.row(fresh, limit=best, target=target(0.90)),
        samples.row("segue fresh, --workers 1", limit=best),
        samples.row(ref),
        samples.row("segue live", limit=ref, target=target(0.80)),
        samples.row("segue live, a fifth exists", limit=ref, target=target(0.65)),
        samples.row("segue validate", limit=ref, target=target(0.7), is_speed=False),
        samples.row("segue rollback", limit=ref, target=target(0.3), is_speed=False),
        samples.row("segue killed at half, then again", limit=fresh, is_speed=False),
        samples.row("segue small"),
    ]
    found[-1].note = f"{options.small:,} songs"
    kept = samples.facts["resume"][-1]
    found[-2].note = f"of {kept['chunks']} chunks; {kept['links_written_again']:,} links written again"
    for name, _, most in PEERS if options.peer_repeats else ():
        songs = min(most, options.songs, options.peer_songs)
        per_song = [seconds / songs * options.songs for seconds in samples.net(name)]
        row = Row(name, samples.net(name), note=f"{songs / median(samples.net(name)):,.0f} songs/s on {songs:,}")
        # Segue live, and the same work: song_tags with primary key and index, without foreign keys while it loads.
        row.compare(
            "segue live", samples.net("segue live"), None, target(3.0) if "Core" in name else None, base=per_song
        )
        found.append(row)
    for case, size in ((fresh, options.songs), *((("segue large", options.large),) if options.memory else ())):
        peak = Row(f"peak memory, {size:,} songs", samples.peaks[case], unit="MB")
        peak.compare("", [1.0], None, target(150.0), is_speed=False)
        found.append(peak)
    if options.memory:
        found.append(samples.row("segue large"))
    return found


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench migrate", description=__doc__)
    parser.add_argument("--songs", type=int, help="in the template database [200000]")
    parser.add_argument("--repeats", type=int, help="of every case but the peers [5]")
    parser.add_argument("--peer-repeats", type=int, help="of the peers, at most --repeats [2]")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--quick", action="store_true", help="3,000 songs, once, without targets: does it work?")
    parser.add_argument("--memory", action="store_true", help="also migrate 2,000,000 songs")
    options = parser.parse_args()
    options.songs = options.songs or (3_000 if options.quick else 200_000)
    options.repeats = options.repeats or (1 if options.quick else 5)
    options.small = min(SMALL_SONGS, options.songs)
    options.large = options.songs if options.quick else LARGE_SONGS
    options.peer_songs = 500 if options.quick else options.songs
    options.peer_repeats = min(options.repeats, 2 if options.peer_repeats is None else options.peer_repeats)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    before = os.getloadavg()
    try:
        with own_server() as bench:
            version = one(bench, "postgres", "SHOW server_version")
            samples, data = measure(bench, options)
    except WrongResult as error:
        print(f"bench: WRONG RESULT: {error}", file=sys.stderr)
        return 1
    found = rows(samples, options)
    facts = {
        "benchmark": "migrate",
        "data": data,
        "repeats": options.repeats,
        "server": f"PostgreSQL {version}",
        "cores": os.cpu_count(),
        "load_average": {"before": before, "after": os.getloadavg()},
        "startup_seconds": round(median(samples.startups), 4),
        "resume": samples.facts["resume"],
    }
    if options.json:
        print(json.dumps({**facts, "cases": [row.as_json() for row in found]}))
    else:
        about = f"{data['songs']:,} songs, {data['elements']:,} elements, {data['texts']:,} distinct texts, "
        print_table(facts, found, f"{about}{data['tags']:,} tags, {data['links']:,} links")
    return 0


if __name__ == "__main__":
    sys.exit(main())
