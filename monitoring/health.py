"""Probes: what `/livez`, `/startupz` and `/readyz` answer, from plain facts about a server process.

Not ready means: send requests elsewhere. A process that has lost its database or Redis still answers from memory, as
does every other one, so it stays ready and says `degraded`: in the body, and in `segue_degraded{part}`.
"""

from dataclasses import asdict, dataclass

from monitoring.metrics import PARTS

#: Seconds after which a process that cannot prove itself up to date says so; a change takes less than one.
STALE_AFTER = 10.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server process knows about itself.

    Attributes:
        index_entries: tags in its index; None while there is no index.
        is_warm: the cache holds the popular tags and prefixes.
        is_draining: it was told to stop, and finishes what it has begun.
        is_database_up: the last use of the database succeeded.
        is_redis_up: the same of Redis; None when none is configured.
        is_search_loaded: songs are searched in memory, else by the database; None when no songs are searched.
        staleness_seconds: time since it last knew itself up to date; None: it never did.
    """

    index_entries: int | None
    is_warm: bool
    is_draining: bool = False
    is_database_up: bool = True
    is_redis_up: bool | None = None
    is_search_loaded: bool | None = True
    staleness_seconds: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        ok: requests can be answered, as far as this goes.
        degraded: they are, but with less than usual.
    """

    name: str
    ok: bool
    degraded: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Health:
    """A probe's answer."""

    checks: tuple[Check, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether every check is."""
        return all(check.ok for check in self.checks)

    @property
    def status(self) -> str:
        """The whole in a word: ok, degraded or failed."""
        if not self.is_ok:
            return "failed"
        return "degraded" if any(check.degraded for check in self.checks) else "ok"

    @property
    def code(self) -> int:
        """The HTTP status, which is all that an orchestrator reads."""
        return 200 if self.is_ok else 503

    @property
    def body(self) -> dict[str, object]:
        """What goes out as JSON."""
        return {"status": self.status, "checks": [asdict(check) for check in self.checks]}

    @property
    def degraded_parts(self) -> dict[str, bool]:
        """Part → whether the process answers without it: the values of `segue_degraded`."""
        return {check.name: check.degraded for check in self.checks if check.name in PARTS}


def liveness() -> Health:
    """Return the answer of `/livez`: it is given, so the process lives. It looks at nothing."""
    return Health()


def startup(facts: Facts) -> Health:
    """Return the answer of `/startupz`: index and cache are filled, so liveness may be asked for from now on."""
    entries = facts.index_entries
    return Health(
        (
            _need(
                "index", "not loaded yet" if entries is None else None, f"{entries:,} tags" if entries else "no tags"
            ),
            _need("warm-up", None if facts.is_warm else "not done yet", "done"),
        )
    )


def readiness(facts: Facts) -> Health:
    """Return the answer of `/readyz`."""
    return Health(
        (
            *startup(facts).checks,
            _need("running", "stopping" if facts.is_draining else None, "accepts requests"),
            _part("database", None if facts.is_database_up else "gone: tags cannot be changed", "answers"),
            _part("redis", *_redis(facts)),
            _part("freshness", _staleness(facts), "up to date"),
            _part("search", *_search(facts)),
        )
    )


def _need(name: str, problem: str | None, fine: str) -> Check:
    return Check(name, ok=problem is None, degraded=False, detail=problem or fine)


def _part(name: str, problem: str | None, fine: str) -> Check:
    return Check(name, ok=True, degraded=problem is not None, detail=problem or fine)


def _redis(facts: Facts) -> tuple[str | None, str]:
    if facts.is_redis_up is None:
        return None, "not configured"
    gone = "gone: each process has its own memory only, and counts requests alone"
    return None if facts.is_redis_up else gone, "answers"


def _staleness(facts: Facts) -> str | None:
    if facts.staleness_seconds is None:
        return "has not followed any change yet"
    if facts.staleness_seconds > STALE_AFTER:
        return f"was last up to date {facts.staleness_seconds:.1f} s ago"
    return None


def _search(facts: Facts) -> tuple[str | None, str]:
    if facts.is_search_loaded is None:
        return None, "not configured"
    if facts.is_search_loaded:
        return None, "in memory"
    return "by the database, slower" if facts.is_database_up else "gone: neither memory nor database has songs", ""
