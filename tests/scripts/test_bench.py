"""The benchmark runs: every case, with positive figures, and a wrong result is a failure."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
CASES = {
    "L*: one statement, keys after",
    "segue fresh",
    "segue fresh, --workers 1",
    "REF: one statement, keys live",
    "segue live",
    "segue live, a fifth exists",
    "segue validate",
    "segue rollback",
    "segue killed at half, then again",
    "segue small",
    "SQLAlchemy Core executemany, batches of 10,000",
    "SQLAlchemy Core executemany, batches of 1,000",
    "SQLAlchemy ORM, get or create, commit every 1,000",
    "row by row, commit every 100 (the seed's shape)",
    "peak memory, 3,000 songs",
}


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `scripts/bench`."""
    return subprocess.run(["scripts/bench", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=280)


@pytest.mark.slow
def test_a_quick_run_measures_every_case() -> None:
    """Its figures are positive, and none is held against a target."""
    done = bench("migrate", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    body: dict[str, Any] = json.loads(done.stdout)
    assert {row["case"] for row in body["cases"]} == CASES
    for row in body["cases"]:
        assert 0 < row["min"] <= row["median"] <= row["max"], row
        assert row["met"] is None, row
        if row["limit"] is not None:
            assert row["ratio"] > 0, row
    assert body["data"]["songs"] == 3_000
    assert body["data"]["links"] > body["data"]["texts"] > body["data"]["tags"] > 0
    assert body["startup_seconds"] > 0


def test_an_unknown_benchmark_is_a_usage_error() -> None:
    """Exit code 2, and the usage."""
    done = bench("everything")
    assert done.returncode == 2
    assert "usage: scripts/bench migrate" in done.stderr


@pytest.mark.slow
def test_bench_node_persist() -> None:
    """Every case runs on a few files and gives the tables of the first one."""
    done = bench("node-persist", "--quick", "--json")

    assert 0 == done.returncode, done.stderr
    cases = {case["case"]: case for case in json.loads(done.stdout)["cases"]}
    assert 8 == len(cases)
    assert all(case["median"] > 0 for case in cases.values())


@pytest.mark.slow
def test_bench_serve() -> None:
    """Every case runs on a small vocabulary, peers included, and all that search find the same."""
    if not shutil.which("wrk"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("wrk is missing; on Debian: apt-get install wrk")
    done = bench("serve", "--quick", "--json")

    assert 0 == done.returncode, done.stderr
    cases = {case["case"]: case for case in json.loads(done.stdout)["cases"]}
    assert {"autocomplete, 100 connections", "search over HTTP, p95", "cache, keystrokes by Zipf's law"} <= set(cases)
    assert all(case["median"] > 0 for case in cases.values())
    assert all(case["met"] is None for case in cases.values())


@pytest.mark.slow
def test_bench_live() -> None:
    """Every case runs beside users and under the mirror, and what they wrote is in the tags at the end."""
    done = bench("live", "--quick", "--json")

    assert 0 == done.returncode, done.stderr
    rows = json.loads(done.stdout)["cases"]
    cases = {case["case"]: case for case in rows}
    assert {"users' p99, --mirror forward", "a user changes one theme of one song, mirrored"} <= set(cases)
    assert {"killed, then again: first new chunk", "segue pause: the run stands still"} <= set(cases)
    may_be_none = ("mirror in a storm", "killed, then again: songs done again")
    assert all(case["median"] > 0 for case in rows if not case["case"].startswith(may_be_none))
    assert all(case["met"] is None for case in rows)
