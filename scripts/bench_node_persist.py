"""`scripts/bench node-persist`: the import of user files against a bare parse of the same bytes, in one run.

The limit is `json.loads` of every file, one after the other, in a process of its own that does nothing else. Segue's
side is the whole `migrate`: listing, parsing, removing duplicates, loading, checkpoints, digests, provenance, keys and
their proof. Every case works in a fresh copy of one template database and its result is compared with the first one's.
The cases of one repeat run one after the other, every second repeat in reverse; a ratio is the median of the repeats'
own ratios. Segue's times are whole processes, less the interpreter's start-up, which is measured beside each of them.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench_cases import Samples, check
from bench_data import SEGUE, Bench, WrongResult, own_server, run_python
from bench_node_persist_store import write_large, write_store
from bench_report import Row, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

_JSON = """
import json, os, sys, time
started = time.perf_counter()
for entry in os.scandir(sys.argv[1]):
    with open(entry.path, "rb") as file:
        json.loads(file.read())
print(time.perf_counter() - started)
"""

#: The same program without any memory: every mention of an artist, an album or a track is decoded and sent, and the
#: server finds out which it has (the first row of table C2 in the measurements that set the aim).
_FORGETFUL = (
    """
from migrator.node_persist.seen import Seen
class Nothing(dict):
    def get(self, key, default=None):
        return default
    def __contains__(self, key):
        return False
    def __setitem__(self, key, value):
        pass
    def pop(self, key, default=None):
        return default
_make = Seen.__init__
def forgetful(self, limit):
    _make(self, limit)
    self.known = Nothing()
Seen.__init__ = forgetful
"""
    + SEGUE
)

#: The same program with the memory of one file: what a file says twice is sent once, what two files say is sent twice.
_BY_FILE = (
    """
from migrator.node_persist import extract
_extract = extract.Extractor.extract
def by_file(self, *arguments, **named):
    self.__init__()
    return _extract(self, *arguments, **named)
extract.Extractor.extract = by_file
"""
    + SEGUE
)

LIMIT = "json.loads of every file"
ONE, TWO = "segue, one process (--workers 1)", "segue, two workers"
FORGETFUL, BY_FILE = "segue, one process, nothing remembered", "segue, one process, each file on its own"
AGAIN = "segue again, nothing changed"
LARGE = "segue, one file of 100 MB"
TABLES = (
    *("users", "artists", "albums", "tracks", "track_artists", "track_albums", "audio_features", "playlists"),
    *("playlist_tracks", "user_listening_history", "user_top_tracks", "user_top_artists", "user_saved_tracks"),
)


def image(bench: Bench, database: str) -> str:
    """Return a digest of everything that was imported, without the times and the run that it was made in."""
    total = hashlib.sha256()
    with bench.connect(database) as connection:
        for table in TABLES:
            row = connection.execute(
                f"SELECT count(*), sum(hashtextextended((to_jsonb(t) - 'run_id' - 'created_at' - "
                f"'{'updated_at' if table == 'playlists' else 'run_id'}')::text, 1)) FROM {table} AS t"
            ).fetchone()
            total.update(repr((table, row)).encode())
    return total.hexdigest()


class Cases:
    """The measured cases on one store."""

    def __init__(self, bench: Bench, samples: Samples, store: Path) -> None:
        self.bench = bench
        self.samples = samples
        self.store = store
        self.truth = ""

    def parse(self) -> None:
        """Measure the limit."""
        self.samples.add(LIMIT, float(run_python(_JSON, str(self.store)).said))

    def migrate(self, case: str, *arguments: str, code: str = SEGUE, again: bool = False) -> None:
        """Measure an import into an empty catalog, and perhaps a second one into the same."""
        with self.bench.copy("template_catalog") as database:
            command = ("migrate", "node-persist", "--source", str(self.store), *arguments, "--json")
            ended = self.bench.segue(database, *command, code=code)
            if ended.code:
                raise WrongResult(f"{case} exits {ended.code}: {(ended.told or ended.said)[-2000:]}")
            self.samples.add_process(case, ended)
            check(ended)
            found = image(self.bench, database)
            self.truth = self.truth or found
            if found != self.truth:
                raise WrongResult(f"{case}: the tables are not those of the first import")
            if again:
                ended = self.bench.segue(database, *command)
                if not json.loads(ended.said)["unchanged"]:
                    raise WrongResult("the second run has done something")
                self.samples.add_process(AGAIN, ended)

    def large(self, directory: Path) -> None:
        """Measure the memory that one large file takes."""
        with self.bench.copy("template_catalog") as database:
            ended = self.bench.segue(
                database, "migrate", "node-persist", "--source", str(directory), "--workers", "1", "--json"
            )
            if ended.code:
                raise WrongResult(f"{LARGE} exits {ended.code}: {(ended.told or ended.said)[-2000:]}")
            self.samples.add_process(LARGE, ended)


def measure(bench: Bench, options: argparse.Namespace, folder: Path) -> tuple[Samples, dict[str, Any]]:
    """Write the files and run all cases; every second repeat in reverse."""
    samples = Samples()
    bench.make_empty("template_catalog")
    store, large = folder / "store", folder / "large"
    store.mkdir()
    size = write_store(store, options.files)
    samples.start_up()
    cases = Cases(bench, samples, store)
    turn: list[Callable[[], None]] = [
        cases.parse,
        partial(cases.migrate, ONE, "--workers", "1", again=True),
        partial(cases.migrate, TWO, "--workers", "2"),
    ]
    for repeat in range(options.repeats):
        for case in turn if repeat % 2 == 0 else reversed(turn):
            case()
            print(".", end="", file=sys.stderr, flush=True)
        if repeat == 0:
            cases.migrate(FORGETFUL, "--workers", "1", code=_FORGETFUL)
            cases.migrate(BY_FILE, "--workers", "1", code=_BY_FILE)
    large.mkdir()
    write_large(large, options.large)
    cases.large(large)
    print(file=sys.stderr)
    return samples, {"files": options.files, "bytes": size}


def rows(samples: Samples, options: argparse.Namespace) -> list[Row]:
    """Turn the samples into the rows of the report, with their targets."""
    target: Callable[[float], float | None] = (lambda _: None) if options.quick else (lambda value: value)
    forgetful, by_file = samples.row(FORGETFUL), samples.row(BY_FILE)
    forgetful.compare(ONE, samples.net(ONE), None, target(3.0), base=samples.net(FORGETFUL))
    by_file.compare(ONE, samples.net(ONE), None, None, base=samples.net(BY_FILE))
    found = [
        samples.row(LIMIT),
        samples.row(ONE, limit=LIMIT, target=target(0.6)),
        samples.row(TWO, limit=LIMIT, target=target(0.9)),
        forgetful,
        by_file,
        samples.row(AGAIN, limit=ONE, target=target(0.05), is_speed=False),
    ]
    for case in (ONE, LARGE):
        peak = Row(f"peak memory: {case}", samples.peaks[case], unit="MB")
        peak.compare("", [1.0], None, target(300.0), is_speed=False)
        found.append(peak)
    return found


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench node-persist", description=__doc__)
    parser.add_argument("--files", type=int, help="in the store, 30 to 100 KB each [20000]")
    parser.add_argument("--repeats", type=int, help="of every case [3]")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--quick", action="store_true", help="60 files, once, without targets: does it work?")
    options = parser.parse_args()
    options.files = options.files or (60 if options.quick else 20_000)
    options.repeats = options.repeats or (1 if options.quick else 3)
    options.large = 2_000_000 if options.quick else 100_000_000
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    before = os.getloadavg()
    folder = Path(tempfile.mkdtemp(prefix="segue-bench-files-"))
    try:
        with own_server() as bench:
            with bench.connect("postgres") as connection:
                version = connection.execute("SHOW server_version").fetchone()
            samples, data = measure(bench, options, folder)
    except WrongResult as error:
        print(f"bench: WRONG RESULT: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder)
    found = rows(samples, options)
    facts = {
        "benchmark": "node-persist",
        "data": data,
        "repeats": options.repeats,
        "server": f"PostgreSQL {version[0] if version else '?'}",
        "cores": os.cpu_count(),
        "load_average": {"before": before, "after": os.getloadavg()},
        "startup_seconds": round(median(samples.startups), 4),
    }
    if options.json:
        print(json.dumps({**facts, "cases": [row.as_json() for row in found]}))
    else:
        print_table(facts, found, f"{data['files']:,} files, {data['bytes'] / 1e6:,.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
