"""What `/metrics` answers: the rows of all processes as one set of series, in the format that the scraper asks for."""

import time
from collections.abc import Collection, Iterator
from itertools import accumulate
from math import inf, isnan

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from monitoring.layout import BLOCKS, Block
from monitoring.metrics import BUILD_INFO, OTHER
from monitoring.shared_rows import Numbers, SharedRows


class WorkersCollector(Collector):
    """Turns the rows of a server's processes into Prometheus' families.

    Counters of processes that died are still counted; their gauges are not shown.

    Args:
        rows: of the processes.
        version, revision: of the program.
        names: the metrics to show, their counters from 0 on; None is all, without the sparse ones' zeros.
    """

    def __init__(self, rows: SharedRows, version: str, revision: str, names: Collection[str] | None = None) -> None:
        self._rows, self._build = rows, (version, revision)
        self._shows_zeros = names is not None
        self._blocks = [block for name, block in BLOCKS.items() if names is None or name in names]

    def collect(self) -> Iterator[Family]:
        """Yield each metric that has a series to show."""
        totals, live = self._rows.read()
        for block in self._blocks:
            if block.metric.kind == "gauge":
                family: Family = _gauge(block, live[:, block.start : block.end])
            else:
                numbers = totals[block.start : block.end].reshape(-1, block.width)
                is_sparse = block.metric.is_sparse and not (self._shows_zeros and block.metric.kind == "counter")
                family = _cumulative(block, numbers, is_sparse=is_sparse)
            if family.samples:
                yield family
        build = GaugeMetricFamily(BUILD_INFO, "The program that runs; always 1.", labels=("version", "revision"))
        build.add_metric(self._build, 1)
        yield build


class Exposition:
    """Answers scrapes, in any process of the server, for all of them."""

    def __init__(self, rows: SharedRows, *, version: str, revision: str) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(WorkersCollector(rows, version, revision))

    def answer(self, accept: str) -> tuple[bytes, str]:
        """Return body and content type for an Accept header: OpenMetrics where it asks for it, else the text format."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def _cumulative(block: Block, numbers: Numbers, *, is_sparse: bool) -> Family:
    metric = block.metric
    shown = [(labels, numbers[index].tolist()) for index, labels in _shown(block, numbers, is_sparse=is_sparse)]
    if metric.kind == "counter":
        counters = CounterMetricFamily(metric.name, metric.help, labels=metric.label_names)
        for labels, (value,) in shown:
            counters.add_metric(labels, value)
        return counters
    histograms = HistogramMetricFamily(metric.name, metric.help, labels=metric.label_names)
    bounds = ["+Inf" if bound == inf else str(bound) for bound in (*metric.buckets, inf)]
    for labels, (*counts, total) in shown:
        histograms.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
    return histograms


def _shown(block: Block, numbers: Numbers, *, is_sparse: bool) -> Iterator[tuple[int, tuple[str, ...]]]:
    used = set(np.flatnonzero(numbers.any(axis=1)).tolist())
    # Thousands of series could be where dozens are: of a sparse metric only those in use get their labels spelled out.
    if is_sparse:
        yield from ((index, block.labels(index)) for index in sorted(used))
    else:
        series = enumerate(block.metric.series())
        yield from ((index, labels) for index, labels in series if index in used or OTHER not in labels)


def _gauge(block: Block, live: Numbers) -> Family:
    metric = block.metric
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.label_names)
    for index, labels in enumerate(metric.series()):
        values = [value for value in live[:, index].tolist() if not isnan(value)]  # NaN: never set
        if not values or (OTHER in labels and not any(values)):
            continue
        if metric.mode == "sum":
            value = sum(values)
        elif metric.mode == "age":
            value = max(time.time() - min(values), 0.0)
        else:
            value = max(values) if metric.mode == "max" else min(values)
        family.add_metric(labels, value)
    return family
