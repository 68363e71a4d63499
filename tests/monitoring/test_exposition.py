"""What a scraper gets: real formats, read back with Prometheus' own parsers."""

import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from monitoring.exposition import Exposition
from monitoring.metrics import METRICS, OTHER, TABLE
from monitoring.recorder import Recorder
from monitoring.shared_rows import SharedRows
from tests.monitoring.promtool import promtool

REQUESTS = "segue_http_request_duration_seconds"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def rows() -> SharedRows:
    """Rows for three processes."""
    return SharedRows(3)


@pytest.fixture
def exposition(rows: SharedRows) -> Exposition:
    """What answers scrapes."""
    return Exposition(rows, version="1.2.3", revision="abc1234")


def samples(exposition: Exposition, accept: str = "") -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Scrape, and return each sample by name and labels."""
    body, _ = exposition.answer(accept)
    read = read_openmetrics if accept else read_text
    found = [sample for family in read(body.decode()) for sample in family.samples]
    by_key = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}
    assert len(by_key) == len(found), "two samples have one name and the same labels"
    return by_key


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """Return a sample's key."""
    return name, frozenset(labels.items())


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_a_scrape_has_the_sums_of_all_processes(rows: SharedRows, exposition: Exposition, accept: str) -> None:
    """Buckets are cumulative and the same in either format; counters are sums."""
    for seconds in (0.0002, 0.1, 3.0):
        recorder = Recorder(rows.claim())
        recorder.histogram(REQUESTS, "GET", "/v1/tags/autocomplete", "200").observe(seconds)
        recorder.counter("segue_invalidations_total", "outbox").inc(2)
    found = samples(exposition, accept)

    labels = {"method": "GET", "route": "/v1/tags/autocomplete", "code": "200"}
    due = {"0.00025": 1, "0.05": 1, "0.1": 2, "1.0": 2, "+Inf": 3}
    assert {le: found[key(f"{REQUESTS}_bucket", le=le, **labels)] for le in due} == due
    assert found[key(f"{REQUESTS}_count", **labels)] == 3
    assert found[key(f"{REQUESTS}_sum", **labels)] == pytest.approx(3.1002)
    assert found[key("segue_invalidations_total", source="outbox")] == 6


def test_the_format_is_the_one_that_is_asked_for(exposition: Exposition) -> None:
    """OpenMetrics for who accepts it, the text format for who does not say."""
    body, content_type = exposition.answer(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")

    body, content_type = exposition.answer("*/*")
    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"# EOF" not in body


def test_gauges_are_summed_or_the_worst(rows: SharedRows, exposition: Exposition) -> None:
    """Each gauge follows its mode; of an age, the oldest shows, and it grows by itself."""
    now = time.time()
    for number in (1, 2, 3):
        recorder = Recorder(rows.claim())
        recorder.gauge("segue_cache_entries", "tags").set(number)
        recorder.gauge("segue_outbox_age_seconds").set(number)
        recorder.gauge("segue_index_entries").set(number)
        recorder.gauge("segue_staleness_seconds").set(now - 100 * number)
    found = samples(exposition)

    assert found[key("segue_cache_entries", cache="tags")] == 6
    assert found[key("segue_outbox_age_seconds")] == 3
    assert found[key("segue_index_entries")] == 1
    assert 300 <= found[key("segue_staleness_seconds")] < 330
    assert found[key("segue_workers")] == 3
    time.sleep(0.01)
    assert samples(exposition)[key("segue_staleness_seconds")] > found[key("segue_staleness_seconds")]


def test_an_age_is_never_negative(rows: SharedRows, exposition: Exposition) -> None:
    """A clock that was set back gives 0, not a time in the future."""
    Recorder(rows.claim()).gauge("segue_staleness_seconds").set(time.time() + 1000)

    assert samples(exposition)[key("segue_staleness_seconds")] == 0


def test_one_process_with_a_value_is_enough(rows: SharedRows, exposition: Exposition) -> None:
    """A process that has not set a gauge yet does not pull it down to 0."""
    Recorder(rows.claim()).gauge("segue_index_entries").set(1000)
    rows.claim()

    assert samples(exposition)[key("segue_index_entries")] == 1000


def test_what_nobody_set_is_not_shown_and_what_can_alert_is(rows: SharedRows, exposition: Exposition) -> None:
    """No gauge pretends a 0; counters are there from the start, so that their first step is seen by rate()."""
    rows.claim()
    found = samples(exposition)
    names = {name for name, _ in found}

    assert not names & {"segue_staleness_seconds", "segue_index_built_timestamp_seconds", "segue_degraded"}
    assert found[key("segue_log_messages_total", level="error")] == 0
    assert found[key("segue_http_requests_in_progress")] == 0
    assert found[key("segue_rate_limited_total", policy="autocomplete")] == 0
    assert not [labels for _, labels in found if OTHER in dict(labels).values()]
    assert not {name for name in names if name.startswith("segue_migration_")}


def test_other_is_shown_once_it_is_used(rows: SharedRows, exposition: Exposition) -> None:
    """A value that a label does not list is counted, and seen."""
    Recorder(rows.claim()).counter("segue_rate_limited_total", "a new policy").inc()

    assert samples(exposition)[key("segue_rate_limited_total", policy=OTHER)] == 1


def test_the_program_says_what_it_is(exposition: Exposition) -> None:
    """Version and revision are labels of a 1."""
    assert samples(exposition)[key("segue_build_info", version="1.2.3", revision="abc1234")] == 1


def test_a_scrape_with_every_metric_passes_promtool(rows: SharedRows, exposition: Exposition) -> None:
    """Prometheus' linter has nothing to say about names, help and types, with every series of the table in use."""
    recorder = Recorder(rows.claim())
    for metric in TABLE:
        # Of requests a sample: thousands of series could be.
        for labels in list(metric.series())[:: 97 if metric.name == REQUESTS else 1]:
            if metric.kind == "histogram":
                recorder.histogram(metric.name, *labels).observe(0.01)
            elif metric.kind == "counter":
                recorder.counter(metric.name, *labels).inc()
            else:
                recorder.gauge(metric.name, *labels).set(1)
    body, _ = exposition.answer("")

    families = {family.name for family in read_text(body.decode())} - {"segue_build_info"}
    assert {name if name in METRICS else f"{name}_total" for name in families} == set(METRICS)
    promtool("check", "metrics", given=body)
