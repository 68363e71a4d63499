"""What an admin may change while a run goes on: how hard it works, and at which load of the database it waits.

Controls are stored with the run, read again with every checkpoint, and so take effect within one chunk.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from migrator.chunk_size import TARGET_SECONDS
from migrator.errors import UnknownName, UsageError

#: Loads that can be limited, with what their numbers mean.
LOADS = {
    "lag": "seconds that the slowest standby is behind",
    "waiters": "sessions of others that wait for a lock",
    "sessions": "active sessions of others, as a multiple of their number at the start",
    "archive": "WAL files that wait to be archived",
    "vacuum": "vacuums at work on the run's tables",
    "sql": "what the statement given as throttle-sql returns",
}


@dataclass(frozen=True)
class Limit:
    """Two levels of one load.

    Attributes:
        wait: from here on the run waits until the load is a fifth below.
        stop: from here on the run ends early, resumable (exit code 6); None never.
    """

    wait: float
    stop: float | None = None

    def __str__(self) -> str:
        return f"{self.wait:g}" if self.stop is None else f"{self.wait:g}:{self.stop:g}"


DEFAULTS: Mapping[str, Limit] = {
    "lag": Limit(10.0),
    "waiters": Limit(10.0),
    "sessions": Limit(4.0),
    "archive": Limit(100.0),
    "sql": Limit(1.0),
}


@dataclass(frozen=True)
class Controls:
    """The controls of a run.

    Attributes:
        nice: seconds to sleep for each second of work; 0 does not sleep.
        chunk_ms: time that a chunk aims at, in milliseconds.
        workers: partitions at work at a time; None is as many as the run was started with.
        limits: by load; one that is missing is not watched.
        throttle_sql: a query of one number, watched as the load `sql`; None is none.
    """

    nice: float = 0.0
    chunk_ms: int = round(1_000 * TARGET_SECONDS)
    workers: int | None = None
    limits: Mapping[str, Limit] = field(default_factory=lambda: DEFAULTS)
    throttle_sql: str | None = None

    @classmethod
    def of(cls, stored: Mapping[str, str]) -> "Controls":
        """Read what `segue.runs.controls` holds: the assignments that differ from the defaults."""
        return cls().changed(f"{key}={value}" for key, value in stored.items())

    def changed(self, assignments: Iterable[str]) -> "Controls":
        """Return the controls after `key=value` assignments.

        Raises:
            UsageError: one is malformed, or its value makes no sense.
        """
        controls = self
        for assignment in assignments:
            key, equals, value = assignment.partition("=")
            if not equals:
                raise UsageError(f"{assignment!r} is no assignment; write key=value, such as nice=1")
            controls = controls._with(key.strip(), value.strip())
        return controls

    def as_json(self) -> dict[str, str]:
        """Return what differs from the defaults, as `of` reads it."""
        said, usual = self.said(), Controls().said()
        return {key: value for key, value in said.items() if value != usual[key]}

    def said(self) -> dict[str, str]:
        """Return every control by key, as `changed` takes it."""
        limits = {_key(load): str(self.limits[load]) if load in self.limits else "off" for load in LOADS}
        return {
            "nice": f"{self.nice:g}",
            "chunk-ms": str(self.chunk_ms),
            "workers": "all" if self.workers is None else str(self.workers),
            **limits,
            "throttle-sql": self.throttle_sql or "off",
        }

    def _with(self, key: str, value: str) -> "Controls":
        if key == "nice":
            return replace(self, nice=_number(key, value, 0, 100))
        if key == "chunk-ms":
            return replace(self, chunk_ms=round(_number(key, value, 1, 60_000)))
        if key == "workers":
            return replace(self, workers=None if value == "all" else round(_number(key, value, 1, 64)))
        if key == "throttle-sql":
            return replace(self, throttle_sql=None if value in {"", "off"} else value)
        load = next((name for name in LOADS if _key(name) == key), None)
        if load is None:
            raise UnknownName("control", key, list(self.said()))
        limits = {name: limit for name, limit in self.limits.items() if name != load}
        if value != "off":
            wait, _, stop = value.partition(":")
            limit = Limit(_number(key, wait, 0, 1e9), _number(key, stop, 0, 1e9) if stop else None)
            if limit.stop is not None and limit.stop <= limit.wait:
                raise UsageError(f"{key}={value}: the level to stop at has to be above the one to wait at")
            limits[load] = limit
        return replace(self, limits=limits)


def _key(load: str) -> str:
    return "throttle-sql-limit" if load == "sql" else f"throttle-{load}"


def differences(before: Controls, after: Controls) -> dict[str, list[str]]:
    """Return what changed: by key, the old value and the new one."""
    old, new = before.said(), after.said()
    return {key: [old[key], new[key]] for key in old if old[key] != new[key]}


def _number(key: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise UsageError(f"{key}={text}: give a number from {least:g} to {most:g}")
    return value
