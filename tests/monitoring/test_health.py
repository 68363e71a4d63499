"""Probes: what makes a process not ready, and what only degrades it."""

import json
from dataclasses import replace
from itertools import product

import pytest

from monitoring.health import STALE_AFTER, Facts, Health, liveness, readiness, startup
from monitoring.metrics import PARTS

WELL = Facts(index_entries=399, is_warm=True)


def check(health: Health, name: str) -> tuple[bool, bool, str]:
    """Return ok, degraded and detail of a check."""
    (found,) = (check for check in health.checks if check.name == name)
    return found.ok, found.degraded, found.detail


def test_a_process_that_answers_lives() -> None:
    """Liveness looks at nothing: a process is not killed because something around it is gone."""
    assert (liveness().code, liveness().body) == (200, {"status": "ok", "checks": []})


def test_a_process_with_everything_is_ready() -> None:
    """All checks are ok, none is degraded."""
    assert (readiness(WELL).code, readiness(WELL).status) == (200, "ok")
    assert set(readiness(WELL).degraded_parts.values()) == {False}


@pytest.mark.parametrize(
    ("facts", "name", "detail"),
    [
        (replace(WELL, index_entries=None), "index", "not loaded yet"),
        (replace(WELL, is_warm=False), "warm-up", "not done yet"),
        (replace(WELL, is_draining=True), "running", "stopping"),
    ],
)
def test_what_makes_a_process_not_ready(facts: Facts, name: str, detail: str) -> None:
    """Without an index, before the warm-up and while stopping, requests are to go elsewhere."""
    health = readiness(facts)

    assert (health.code, health.status) == (503, "failed")
    assert check(health, name) == (False, False, detail)


@pytest.mark.parametrize(
    ("facts", "part", "detail"),
    [
        (replace(WELL, is_database_up=False), "database", "gone: tags cannot be changed"),
        (
            replace(WELL, is_redis_up=False),
            "redis",
            "gone: each process has its own memory only, and counts requests alone",
        ),
        (replace(WELL, staleness_seconds=None), "freshness", "has not followed any change yet"),
        (replace(WELL, staleness_seconds=61.25), "freshness", "was last up to date 61.2 s ago"),
        (replace(WELL, is_search_loaded=False), "search", "by the database, slower"),
        (
            replace(WELL, is_search_loaded=False, is_database_up=False),
            "search",
            "gone: neither memory nor database has songs",
        ),
    ],
)
def test_what_degrades_a_process(facts: Facts, part: str, detail: str) -> None:
    """What is lost is said, and the process stays ready."""
    health = readiness(facts)

    assert (health.code, health.status) == (200, "degraded")
    assert check(health, part) == (True, True, detail)
    assert health.degraded_parts[part]


def test_nothing_is_missed_that_was_never_there() -> None:
    """Without a Redis or a songs table configured, their absence is no loss."""
    health = readiness(replace(WELL, is_redis_up=None, is_search_loaded=None))

    assert health.status == "ok"
    assert check(health, "redis")[2] == check(health, "search")[2] == "not configured"


def test_a_moment_without_news_is_no_staleness() -> None:
    """Only beyond the limit a process calls itself stale."""
    assert readiness(replace(WELL, staleness_seconds=STALE_AFTER)).status == "ok"


def test_an_empty_index_is_an_index() -> None:
    """A database without tags is served as it is."""
    assert check(readiness(replace(WELL, index_entries=0)), "index") == (True, False, "no tags")


def test_startup_ends_with_the_warm_up_and_does_not_begin_again() -> None:
    """Draining or losing a part does not send a process back to its start."""
    assert startup(replace(WELL, is_warm=False)).code == 503
    assert startup(replace(WELL, is_draining=True, is_database_up=False, staleness_seconds=None)).code == 200


def test_losses_never_make_a_process_not_ready() -> None:
    """In every combination of losses the process stays ready, says degraded, and the body is JSON."""
    for database, redis, search, staleness in product((True, False), (True, False, None), (True, False), (0.0, 99.0)):
        facts = replace(
            WELL, is_database_up=database, is_redis_up=redis, is_search_loaded=search, staleness_seconds=staleness
        )
        health = readiness(facts)
        is_whole = database and redis is not False and search and not staleness

        assert (health.code, health.status) == (200, "ok" if is_whole else "degraded")
        assert tuple(health.degraded_parts) == PARTS
        assert json.loads(json.dumps(health.body)) == health.body
