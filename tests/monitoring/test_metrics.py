"""The table of metrics, and the places that follow from it."""

from math import isnan, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.layout import BLOCKS, HEADER, UNSET, WIDTH
from monitoring.metrics import OTHER, PARTS, TABLE, Metric
from sql.errors import TRANSIENT

names = pytest.mark.parametrize("metric", TABLE, ids=lambda metric: metric.name)

#: What other pages promise: dashboards and alerts of users rest on these names.
PROMISED = {
    "segue_http_request_duration_seconds",
    "segue_http_requests_in_progress",
    "segue_autocomplete_stage_duration_seconds",
    "segue_autocomplete_results_total",
    "segue_cache_lookups_total",
    "segue_cache_loads_total",
    "segue_cache_load_duration_seconds",
    "segue_cache_evictions_total",
    "segue_cache_entries",
    "segue_cache_size_bytes",
    "segue_invalidations_total",
    "segue_invalidation_lag_seconds",
    "segue_invalidation_connected",
    "segue_staleness_seconds",
    "segue_index_built_timestamp_seconds",
    "segue_index_entries",
    "segue_index_build_duration_seconds",
    "segue_db_pool_connections",
    "segue_rate_limited_total",
    "segue_event_loop_lag_seconds",
    "segue_degraded",
    "segue_log_messages_total",
    "segue_migration_rows_total",
    "segue_migration_chunk_duration_seconds",
    "segue_migration_chunk_size",
    "segue_migration_checkpoint_age_seconds",
    "segue_migration_retries_total",
    "segue_migration_throttle_seconds_total",
    "segue_migration_quarantined_rows",
    "segue_migration_eta_seconds",
    "segue_validation_mismatches_total",
    "segue_rollback_rows_total",
}


@names
def test_a_metric_is_named_by_the_rules(metric: Metric) -> None:
    """Prefix, unit, `_total` on counters and on nothing else; the help is a sentence."""
    assert metric.name.startswith("segue_")
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.kind != "histogram" or metric.name.endswith("_seconds")
    assert metric.help.endswith(".")
    assert metric.label_names == tuple(sorted(set(metric.label_names), key=metric.label_names.index))


@names
def test_a_metric_says_how_processes_add_up(metric: Metric) -> None:
    """Every gauge has a mode, and nothing else has one; buckets rise; no label lists `other` or a value twice."""
    assert (metric.mode is not None) == (metric.kind == "gauge")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    for label in metric.labels:
        assert OTHER not in label.values
        assert len(set(label.values)) == len(label.values)


def test_the_promised_names_are_there() -> None:
    """No name of the promise is missing, and no name is there twice."""
    assert set() == PROMISED - {metric.name for metric in TABLE}
    assert len(TABLE) == len({metric.name for metric in TABLE})


def test_labels_follow_their_sources() -> None:
    """Labels that mirror another table of the program are equal to it."""
    values = {(metric.name, label.name): label.values for metric in TABLE for label in metric.labels}

    assert values["segue_migration_retries_total", "sqlstate"] == tuple(TRANSIENT)
    assert values["segue_degraded", "part"] == PARTS


def test_limits_of_the_service_level_are_bucket_borders() -> None:
    """100 and 500 ms are exact bounds, so the share over them is counted and not estimated."""
    (requests,) = (metric for metric in TABLE if metric.name == "segue_http_request_duration_seconds")

    assert {0.1, 0.5} <= set(requests.buckets)
    assert requests.buckets[0] == 0.00025


def test_places_do_not_overlap() -> None:
    """Every series has numbers of its own, after the header and inside the row."""
    taken = [
        place
        for block in BLOCKS.values()
        for labels in block.metric.series()
        for place in range(block.place(labels), block.place(labels) + block.width)
    ]

    assert len(taken) == len(set(taken)) == sum(block.end - block.start for block in BLOCKS.values())
    assert min(taken) == HEADER
    assert max(taken) < WIDTH
    assert WIDTH % 512 == 0


@given(st.data())
def test_labels_and_places_are_inverse(data: st.DataObject) -> None:
    """A series' place leads back to its labels."""
    block = data.draw(st.sampled_from(list(BLOCKS.values())))
    labels = tuple(data.draw(st.sampled_from((*label.values, OTHER))) for label in block.metric.labels)
    index = (block.place(labels) - block.start) // block.width

    assert block.labels(index) == labels
    assert list(block.metric.series())[index] == labels
    assert 0 <= index < block.length == prod(len(label.values) + 1 for label in block.metric.labels)


@given(st.text())
def test_any_other_value_is_other(value: str) -> None:
    """A value that no label lists has the place of `other`, whatever a client may send."""
    block = BLOCKS["segue_http_request_duration_seconds"]

    if value not in block.positions[1]:
        assert block.place(("GET", value, "404")) == block.place(("GET", OTHER, "404"))


def test_a_wrong_number_of_labels_is_an_error() -> None:
    """A call that forgot a label is a mistake of the program, not a series."""
    with pytest.raises(ValueError, match=r"segue_degraded has the labels \('part',\), given were 0"):
        BLOCKS["segue_degraded"].place(())


def test_gauges_begin_without_a_value_or_at_zero() -> None:
    """A gauge that nobody set must not look like a 0 that somebody measured; what is summed begins at 0."""
    for block in BLOCKS.values():
        values = {UNSET.get(place) for place in range(block.start, block.end)}
        if block.metric.kind != "gauge":
            assert values == {None}
        else:
            (value,) = {repr(value) for value in values}
            assert value == ("0.0" if block.metric.mode == "sum" else "nan")
    assert any(isnan(value) for value in UNSET.values())
