"""Alert rules: promtool agrees with them, they rest on metrics that exist, and somebody is told what to do."""

import re
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitoring.exposition import WorkersCollector
from monitoring.metrics import BUILD_INFO, METRICS
from monitoring.recorder import Recorder
from monitoring.shared_rows import SharedRows
from tests.monitoring.promtool import promtool

ROOT = Path(__file__).parents[2]
RULES_FILE = ROOT / "monitoring/alerts/segue.rules.yml"
TESTS_FILE = ROOT / "monitoring/alerts/segue.rules.test.yml"

RULES = [rule for group in yaml.safe_load(RULES_FILE.read_text("utf-8"))["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDS = [rule for rule in RULES if "record" in rule]
CASES = yaml.safe_load(TESTS_FILE.read_text("utf-8"))["tests"]

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])

_WINDOW = re.compile(r"\d+[mhd]\b")
_SUFFIXES = ("_bucket", "_count", "_sum")


def selectors(expression: str) -> list[tuple[str, dict[str, str]]]:
    """Return each series that an expression reads: its name, and its label matchers as name → value or pattern."""
    found = re.findall(r"\b(segue_\w+|job\w*:segue_[\w:]+|up)(?:\{([^}]*)\})?", expression)
    return [(name, dict(re.findall(r'(\w+)=~?"([^"]*)"', labels))) for name, labels in found]


def metric_of(name: str) -> str:
    """Return a series' metric: of a histogram's parts, the histogram."""
    for suffix in _SUFFIXES:
        base = name.removesuffix(suffix)
        if base != name and base in METRICS and METRICS[base].kind == "histogram":
            return base
    return name


def test_promtool_finds_nothing() -> None:
    """Syntax, and no rule twice."""
    promtool("check", "rules", RULES_FILE)


def test_promtools_cases_pass() -> None:
    """Every case of the test file: silent when it has to be, and firing with these very texts."""
    promtool("test", "rules", TESTS_FILE)


@pytest.mark.parametrize(
    ("alert", "good", "broken"),
    [
        (
            "SegueIndexStale",
            'segue_staleness_seconds{job="segue"} > 30',
            'segue_staleness_seconds{job="segue"} > 300000',
        ),
        (
            "SegueMigrationStalled",
            "unless on(job, instance) sum without(reason)",
            "and on(job, instance) sum without(reason)",
        ),
        ("SegueRedisGone", '{job="segue", part="redis"} == 1', '{job="segue", part="redis"} >= 0'),
    ],
)
def test_a_broken_rule_is_noticed(tmp_path: Path, alert: str, good: str, broken: str) -> None:
    """A rule that fires too late, or always, fails its cases: promtool's answer is not taken for granted."""
    rules = RULES_FILE.read_text("utf-8")
    assert rules.count(good) == 1
    cases = yaml.safe_load(TESTS_FILE.read_text("utf-8"))
    cases["tests"] = [test for test in CASES if test["alert_rule_test"][0]["alertname"] == alert]
    (tmp_path / TESTS_FILE.name).write_text(yaml.safe_dump(cases), "utf-8")
    (tmp_path / RULES_FILE.name).write_text(rules, "utf-8")
    promtool("test", "rules", tmp_path / TESTS_FILE.name)

    (tmp_path / RULES_FILE.name).write_text(rules.replace(good, broken), "utf-8")
    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", tmp_path / TESTS_FILE.name)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_reads_series_that_exist(rule: dict[str, Any]) -> None:
    """Metrics are in the table, recorded series are recorded, and label values can occur."""
    recorded = {record["record"] for record in RECORDS}
    read = selectors(rule["expr"])
    assert read
    for name, matchers in read:
        assert name in recorded | {"up"} or metric_of(name) in METRICS, f"{name} is in no table"
        if metric_of(name) not in METRICS:
            continue
        metric = METRICS[metric_of(name)]
        values = {label.name: label.values for label in metric.labels}
        assert matchers.pop("job") == "segue"
        if "le" in matchers:
            assert float(matchers.pop("le")) in metric.buckets
        for label, pattern in matchers.items():
            assert [value for value in values[label] if re.fullmatch(pattern, value)], f"{label}={pattern} of {name}"


def test_bounds_are_written_as_they_are_exported() -> None:
    """`le="0.1"` of a rule is the text that a scrape holds, for Prometheus compares texts."""
    rows = SharedRows(1)
    Recorder(rows.claim()).histogram("segue_event_loop_lag_seconds").observe(1)
    text = generate_latest(WorkersCollector(rows, "1", "a")).decode()
    exported = {
        sample.labels["le"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "segue_event_loop_lag_seconds_bucket"
    }
    used = {matchers["le"] for rule in RULES for _, matchers in selectors(rule["expr"]) if "le" in matchers}

    assert used
    assert used <= exported


def test_recorded_names_say_level_metric_and_operation() -> None:
    """As Prometheus' manual asks, and nothing recorded goes unread but the quantiles that dashboards show."""
    read = {name for rule in RULES for name, _ in selectors(rule["expr"])}
    for rule in RECORDS:
        assert re.fullmatch(r"[a-z_]+:segue_\w+:\w+", rule["record"])
        assert rule["record"] in read or re.search(r":p\d\d_", rule["record"])


def test_windows_differ_in_nothing_else() -> None:
    """The rules of one ratio over several windows are one rule: what was changed in one was changed in all."""
    for name, variants in groupby(RECORDS, key=lambda rule: re.sub(r"rate\d+[mhd]$", "", rule["record"])):
        expressions = [(_WINDOW.sub("W", rule["expr"]), _WINDOW.findall(rule["expr"])) for rule in variants]

        assert len({expression for expression, _ in expressions}) == 1, name
        assert all(len(set(windows)) == 1 for _, windows in expressions), name
    for rule in RECORDS:
        (window,) = re.findall(r"rate(\d+[mhd])$", rule["record"])
        assert set(_WINDOW.findall(rule["expr"])) == {window}


@each_alert
def test_an_alert_tells_what_and_what_to_do(alert: dict[str, Any]) -> None:
    """Name, severity, texts, and a runbook in this repository that names the alert."""
    assert re.fullmatch(r"Segue([A-Z][a-z]+)+", alert["alert"])
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert all(text.endswith((".", ".md")) for text in alert["annotations"].values())
    assert alert["alert"] in (ROOT / alert["annotations"]["runbook_url"]).read_text("utf-8")


def test_runbooks_name_no_other_alerts() -> None:
    """A runbook does not send anybody after an alert that is gone."""
    names = {alert["alert"] for alert in ALERTS}
    for page in {ROOT / alert["annotations"]["runbook_url"] for alert in ALERTS}:
        assert set(re.findall(r"`(Segue[A-Z]\w+)`", page.read_text("utf-8"))) <= names


@each_alert
def test_an_alert_has_a_silent_and_a_firing_case(alert: dict[str, Any]) -> None:
    """Both in the test file, in a case that has series which could set it off."""
    expected = [
        case["exp_alerts"] for test in CASES for case in test["alert_rule_test"] if case["alertname"] == alert["alert"]
    ]

    assert [] in expected
    assert [alerts for alerts in expected if alerts]


def test_cases_use_series_that_exist() -> None:
    """A case with a misspelt series would be silent for the wrong reason."""
    for test in CASES:
        for series in test["input_series"]:
            ((name, matchers),) = selectors(series["series"])
            assert name == "up" or metric_of(name) in METRICS
            if name != "up":
                labels = {*METRICS[metric_of(name)].label_names, "job", "instance"}
                assert set(matchers) - {"le"} == labels


def test_the_builds_metric_is_not_in_the_table() -> None:
    """Its labels are not bounded, so it has no place in memory; the exposition makes it."""
    assert BUILD_INFO not in METRICS
