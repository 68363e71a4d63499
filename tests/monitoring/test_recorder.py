"""Recording in one process: what is bound counts right, also from several threads."""

import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as TheirHistogram

from monitoring.layout import BLOCKS
from monitoring.metrics import BUCKETS, OTHER
from monitoring.recorder import Recorder
from monitoring.shared_rows import SharedRows

REQUESTS = "segue_http_request_duration_seconds"
LOOKUPS = ("segue_cache_lookups_total", "suggestions", "l1", "hit")


@pytest.fixture
def row() -> "memoryview[float]":
    """The numbers of this process."""
    return SharedRows(1).claim()


@pytest.fixture
def recorder(row: "memoryview[float]") -> Recorder:
    """This process's metrics."""
    return Recorder(row)


def numbers(row: "memoryview[float]", name: str, *labels: str) -> list[float]:
    """Return a series' numbers."""
    block = BLOCKS[name]
    place = block.place(labels)
    return row[place : place + block.width].tolist()


@given(st.lists(st.one_of(st.sampled_from(BUCKETS), st.floats(0, 10)), max_size=30))
def test_a_histogram_counts_like_prometheus_own(seconds: list[float]) -> None:
    """The same observations give the counts and the sum of prometheus_client's histogram; a bound belongs to its bucket."""
    row = SharedRows(1).claim()
    ours = Recorder(row).histogram("segue_event_loop_lag_seconds")
    registry = CollectorRegistry()
    theirs = TheirHistogram("lag_seconds", "Lag.", buckets=BUCKETS, registry=registry)
    for value in seconds:
        ours.observe(value)
        theirs.observe(value)

    *counts, total = numbers(row, "segue_event_loop_lag_seconds")
    bounds = [*map(str, BUCKETS), "+Inf"]
    due = [registry.get_sample_value("lag_seconds_bucket", {"le": bound}) for bound in bounds]
    assert [sum(counts[: n + 1]) for n in range(len(counts))] == due
    assert total == pytest.approx(registry.get_sample_value("lag_seconds_sum"))


def test_counters_and_gauges(row: "memoryview[float]", recorder: Recorder) -> None:
    """A counter grows by what it is told; a gauge goes up and down."""
    counter, gauge = recorder.counter(*LOOKUPS), recorder.gauge("segue_http_requests_in_progress")
    counter.inc()
    counter.inc(2.5)
    gauge.inc()
    gauge.inc()
    gauge.inc(-1)

    assert numbers(row, *LOOKUPS) == [3.5]
    assert numbers(row, "segue_http_requests_in_progress") == [1]
    gauge.set(7)
    assert numbers(row, "segue_http_requests_in_progress") == [7]


@given(st.lists(st.lists(st.integers(0, 50), min_size=1), max_size=4))
def test_a_counter_takes_over_anothers_totals(lives: list[list[int]]) -> None:
    """Totals of a source that begins anew at 0 now and then add up; nothing is lost and nothing is counted twice."""
    row = SharedRows(1).claim()
    row[BLOCKS[LOOKUPS[0]].place(LOOKUPS[1:])] = 100  # what a process before this one counted
    counter = Recorder(row).counter(*LOOKUPS)
    due = 100
    for steps in lives:
        counter.advance_to(0)
        total = 0
        for step in steps:
            total += step
            counter.advance_to(total)
        due += total

    assert numbers(row, *LOOKUPS) == [due]


def test_the_same_labels_give_the_same_object(recorder: Recorder) -> None:
    """Two parts of the program that bind one series share it, or their totals would overwrite each other."""
    assert recorder.counter(*LOOKUPS) is recorder.counter(*LOOKUPS)
    assert recorder.counter(*LOOKUPS) is not recorder.counter(*LOOKUPS[:3], "miss")


def test_unknown_labels_are_counted_and_not_kept(row: "memoryview[float]", recorder: Recorder) -> None:
    """Values that clients make up are counted under `other`, and memory does not grow with them."""
    kept = len(recorder._bound), len(recorder._places)
    for number in range(1000):
        recorder.histogram(REQUESTS, "BREW", f"/made/up/{number}", "418").observe(0.2)

    *counts, total = numbers(row, REQUESTS, OTHER, OTHER, OTHER)
    assert (sum(counts), round(total, 6)) == (1000, 200)
    assert (len(recorder._bound), len(recorder._places)) == (kept[0], kept[1] + 1)


@pytest.mark.parametrize("call", ["counter", "gauge", "histogram"])
def test_a_name_that_is_not_in_the_table_is_an_error(recorder: Recorder, call: str) -> None:
    """Neither a made-up name nor one of another type."""
    bind = getattr(recorder, call)
    other_type = "segue_index_entries" if call == "counter" else "segue_invalidations_total"
    for name in ("segue_made_up_total", other_type):
        with pytest.raises(KeyError, match=f"no {call} '{name}' in monitoring/metrics.py"):
            bind(name)


def test_threads_lose_nothing(row: "memoryview[float]", recorder: Recorder) -> None:
    """Eight threads write one series at once, and switch as often as the interpreter can; every observation is there."""
    counter, histogram = recorder.counter(*LOOKUPS), recorder.histogram(REQUESTS, "GET", "/v1/tags", "200")

    def work() -> None:
        for _ in range(20_000):
            counter.inc()
            histogram.observe(0.5)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    *counts, total = numbers(row, REQUESTS, "GET", "/v1/tags", "200")
    assert (numbers(row, *LOOKUPS), sum(counts), total) == ([160_000], 160_000, 80_000)
