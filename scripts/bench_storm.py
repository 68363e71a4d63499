"""`scripts/bench storm`: users write while a mirrored migration is killed, resumed, paused and rolled back under them.

Every seed is a storm of its own: 16 connections on 4,096 songs, each acknowledged write in a ledger. At its end tags,
legacy arrays and the ledger must agree exactly, no user's write may have failed, and no deadlock may have been found.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from statistics import median, quantiles

import psycopg
from psycopg import sql

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench_data import own_server

from sql.database import Database
from sql.schema import upgrade
from tests.crash.zygote import Zygote
from tests.storm.storm import Storm
from tests.storm.writers import Writers


def weather(url: str, zygotes: list[Zygote], seed: int, pause: float) -> tuple[list[str], dict[str, list[float]]]:
    """Run one storm; return what was found wrong, and the users' seconds before, during and after the migration."""
    users = Writers(url, seed, pause=pause)
    storm = Storm(url, zygotes, seed, users)
    seconds: dict[str, list[float]] = {}
    found: list[str] = []

    def taken(name: str) -> None:
        users.stop()
        seconds[name] = list(users.ledger.seconds)
        users.ledger.seconds.clear()

    users.start()
    storm.rest(1)
    taken("before")
    users.start()
    try:
        storm.migrate()
    finally:
        taken("migrating")
    found += storm.differences(is_migrated=True)
    users.start()
    storm.rest(1)
    taken("mirrored")
    found += storm.differences(is_migrated=True)
    found += storm.catch_up()
    users.start()
    try:
        storm.rollback()
    finally:
        taken("rolling back")
    found += storm.differences(is_migrated=False)
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    if row and row[0]:
        found.append(f"{row[0]} deadlocks")
    return [f"seed {seed}: {said}" for said in found] + (storm.log if found else []), seconds


def main() -> int:
    """Run the storms of the command line; 1 when anything was found wrong."""
    parser = argparse.ArgumentParser(prog="scripts/bench storm", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="storms (default 1,000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--pause", type=float, default=0.002, help="mean seconds between a user's transactions")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    wrong: list[str] = []
    total: dict[str, list[float]] = {}
    with own_server() as bench, Zygote() as first, Zygote() as second:
        for seed in range(options.first, options.first + options.seeds):
            url = bench.server.url(f"storm_{os.getpid()}_{seed}")
            _create(bench.server.url("postgres"), url)
            found, seconds = weather(url, [first, second], seed, options.pause)
            wrong += found
            for name, taken in seconds.items():
                total.setdefault(name, []).extend(taken)
            print("x" if found else ".", end="", file=sys.stderr, flush=True)
            _drop(bench.server.url("postgres"), url)
    print(file=sys.stderr)
    body = {
        "seeds": options.seeds,
        "wrong": wrong,
        "milliseconds": {
            name: {"writes": len(taken), "median": _ms(median(taken)), "p99": _ms(quantiles(taken, n=100)[98])}
            for name, taken in total.items()
        },
    }
    if options.json:
        print(json.dumps(body))
    else:
        for name, figures in body["milliseconds"].items():
            print(
                f"{name:<14} {figures['writes']:>9,} writes   median {figures['median']} ms   p99 {figures['p99']} ms"
            )
        print("\n".join(wrong) or f"{options.seeds} storms: the ledger, the legacy arrays and the tags agree")
    return 1 if wrong else 0


def _ms(seconds: float) -> float:
    return round(1_000 * seconds, 2)


def _create(admin: str, url: str) -> None:
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(_name(url)))
    database = Database(url)
    upgrade(database)
    database.close()


def _drop(admin: str, url: str) -> None:
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(_name(url)))


def _name(url: str) -> sql.Identifier:
    return sql.Identifier(str(psycopg.conninfo.conninfo_to_dict(url)["dbname"]))


if __name__ == "__main__":
    sys.exit(main())
