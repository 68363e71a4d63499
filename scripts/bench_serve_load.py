"""Load on a server of this machine, from core 1: as much as it takes, or at a paced rate."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import psutil

#: Connections that stay open and always have a request under way.
CONNECTIONS = 100

_SCRIPT = """
local requests, at = {}, 0
function init()
  for path in io.lines("%s") do requests[#requests + 1] = wrk.format("GET", path) end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
function done(summary, latency)
  io.write(string.format("RESULT %%d %%d %%d %%f %%f %%f\\n", summary.requests, summary.duration,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status +
    summary.errors.timeout, latency:percentile(50), latency:percentile(90), latency:percentile(99)))
end
"""


#: Added to the script: milliseconds, of which wrk takes whole ones; the rest is kept for the next pause.
_PACED = """
local mean, rest = %f, 0
function delay()
  local pause = 2 * mean * math.random() + rest
  local whole = math.floor(pause)
  rest = pause - whole
  return whole
end
"""


@dataclass(frozen=True)
class Load:
    """What a load made of a server.

    Attributes:
        rate: requests per second.
        errors: connections that failed, and answers of another status than 2xx or 3xx.
        p50, p90, p99: milliseconds.
        share: CPU seconds of the server per second: near 1.0 when it had its core for itself.
        requests: how many there were.
    """

    rate: float
    errors: int
    p50: float
    p90: float
    p99: float
    share: float
    requests: int


def path_of(query: str, extra: str = "") -> str:
    """Return the path of an autocomplete request."""
    return f"/v1/tags/autocomplete?q={quote(query)}{extra}"


def saturate(url: str, pid: int, paths: Sequence[str], seconds: float = 5.0) -> Load:
    """Have 100 connections ask for the paths in turn, as fast as they are answered."""
    return _load(url, pid, paths, seconds)


def _load(url: str, pid: int, paths: Sequence[str], seconds: float, more: str = "") -> Load:
    with _file("\n".join(paths) + "\n") as listed, _file(_SCRIPT % listed + more) as script:
        before, started = _cpu_seconds(pid), time.monotonic()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "-s", script, url]
        done = subprocess.run(_on_core(1, command), capture_output=True, text=True, check=True)
        share = (_cpu_seconds(pid) - before) / (time.monotonic() - started)
    found = re.search(r"^RESULT (\d+) (\d+) (\d+) (\S+) (\S+) (\S+)", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    requests, micros, errors = (int(found[number]) for number in (1, 2, 3))
    p50, p90, p99 = (float(found[number]) / 1e3 for number in (4, 5, 6))
    return Load(requests / (micros / 1e6), errors, p50, p90, p99, share, requests)


def pace(url: str, pid: int, paths: Sequence[str], rate: int, seconds: float = 10.0) -> Load:
    """Have 100 connections ask for the paths at a rate in all, each after a random pause since its last answer.

    The pauses are even between none and twice their mean, so that requests come one by one, as those of 100 people do;
    tools that pace every connection by a clock of its own send them in bursts. A first second finds the mean.
    """
    period = 1e3 * CONNECTIONS / rate
    first = _load(url, pid, paths, 1.0, _PACED % period)
    return _load(url, pid, paths, seconds, _PACED % max(0.0, 2 * period - 1e3 * CONNECTIONS / first.rate))


def pin(pid: int, core: int) -> None:
    """Keep a process, its threads and its children on one core."""
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {core})


def missing_programs() -> list[str]:
    """Return the Debian packages that are not there."""
    return [] if shutil.which("wrk") else ["wrk"]


def _on_core(core: int, command: list[str]) -> list[str]:
    return ["taskset", "-c", str(core), *command]


def _cpu_seconds(pid: int) -> float:
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


@contextmanager
def _file(text: str) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(text)
        file.flush()
        yield file.name
