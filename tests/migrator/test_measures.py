"""Metrics of runs: what the observer counts, where it goes, and that it costs nothing when nobody asked."""

import json
import socket
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from migrator.controls import LOADS
from migrator.events import (
    ChunkCommitted,
    ChunkRetried,
    Compared,
    Event,
    PhaseStarted,
    RowsRemoved,
    RunClosed,
    Throttled,
)
from migrator.measures import RunMeasures
from monitoring.exporting import NAMES, exporting, write
from monitoring.exposition import WorkersCollector
from monitoring.metrics import METRICS
from monitoring.recorder import Recorder
from monitoring.shared_rows import SharedRows
from sql.errors import TRANSIENT
from tests.conftest import Command

SONGS = [(str(uuid.UUID(int=number)), ["Hope", f"Theme {number}", "x" * 51]) for number in range(1, 41)]


def samples(text: str) -> dict[tuple[str, str], float]:
    """Return samples by name and labels."""
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Measured:
    """An observer with what it shows."""

    def __init__(self) -> None:
        rows = SharedRows(1)
        self.observe = RunMeasures(Recorder(rows.claim()), "themes")
        self.registry = CollectorRegistry()
        self.registry.register(WorkersCollector(rows, "1", "", NAMES))

    def shown(self) -> dict[tuple[str, str], float]:
        """Return what a scrape would see."""
        from prometheus_client.exposition import generate_latest

        return samples(generate_latest(self.registry).decode())


counts = st.integers(0, 1_000)
events = st.one_of(
    st.builds(
        lambda rows, bad, seconds: ChunkCommitted(1, 0, rows, seconds, 100, min(bad, rows)),
        counts,
        counts,
        st.floats(0, 9),
    ),
    st.builds(lambda state: ChunkRetried(1, state, "why", 1, 0.1), st.sampled_from([*TRANSIENT, None])),
    st.builds(lambda n: Compared(1, n), counts),
    st.builds(lambda n: RowsRemoved(1, "tags", n), counts),
)


@given(st.lists(events, max_size=30), counts)
def test_counters_are_sums_of_events(happened: list[Event], before: int) -> None:
    """Whatever happens in whatever order, each counter is the sum over its events; a resumed run's quarantine goes on."""
    measured = Measured()
    measured.observe(PhaseStarted(1, "migrating", 10_000, done=before, quarantined=before))
    for event in happened:
        measured.observe(event)
    shown = measured.shown()
    chunks = [event for event in happened if isinstance(event, ChunkCommitted)]
    retries = [event.sqlstate or "other" for event in happened if isinstance(event, ChunkRetried)]
    rows = "segue_migration_rows_total"

    assert shown[rows, "migration=themes,outcome=processed"] == sum(event.rows for event in chunks)
    assert shown[rows, "migration=themes,outcome=quarantined"] == sum(event.quarantined for event in chunks)
    assert shown["segue_migration_quarantined_rows", "migration=themes"] == before + sum(e.quarantined for e in chunks)
    for state in set(retries):
        assert shown["segue_migration_retries_total", f"sqlstate={state}"] == retries.count(state)
    for name, kind, of in (
        ("segue_validation_mismatches_total", Compared, "mismatches"),
        ("segue_rollback_rows_total", RowsRemoved, "rows"),
    ):
        assert shown[name, "migration=themes"] == sum(getattr(e, of) for e in happened if isinstance(e, kind))
    if chunks:
        assert shown["segue_migration_chunk_duration_seconds_count", "migration=themes"] == len(chunks)


def test_waits_are_counted_once() -> None:
    """A wait is told again and again with its whole length; several waits add up, each under its load."""
    measured = Measured()
    for seconds in (0.0, 0.5, 1.0, 0.0, 0.5):
        measured.observe(Throttled(1, "lag 12, limit 10", seconds))
    measured.observe(Throttled(1, "the load cannot be read: syntax error", 0.25))
    shown = measured.shown()

    assert 1.5 == shown["segue_migration_throttle_seconds_total", "reason=lag"]
    assert 0.25 == shown["segue_migration_throttle_seconds_total", "reason=other"]


@pytest.mark.parametrize("end", [PhaseStarted(1, "validating"), RunClosed(1, "paused", 1.0)])
def test_nothing_is_late_when_nothing_is_due(end: Event) -> None:
    """The checkpoint's age, the ETA and the chunk's size are there only while rows are converted."""
    measured = Measured()
    live = {"segue_migration_checkpoint_age_seconds", "segue_migration_eta_seconds", "segue_migration_chunk_size"}
    measured.observe(PhaseStarted(1, "migrating", 100, 40, 0))
    measured.observe(ChunkCommitted(1, 0, 30, 0.1, 50))
    shown = measured.shown()
    assert live <= {name for name, _ in shown}
    assert 0 <= shown["segue_migration_eta_seconds", "migration=themes"] < 5, "30 of the 60 that were left"

    measured.observe(end)
    assert not live & {name for name, _ in measured.shown()}


def test_labels_are_those_of_the_controls() -> None:
    """Reasons of the throttle are the loads that can be limited."""
    assert tuple(LOADS) == METRICS["segue_migration_throttle_seconds_total"].labels[0].values


def test_the_file_is_what_the_report_says(segue: Command, songs: Any, tmp_path: Path) -> None:
    """After a migration and a rollback the textfile holds the figures of their reports, and nothing lies beside it."""
    songs(SONGS)
    path = tmp_path / "segue.prom"
    report = segue("migrate", "--json", "--metrics-textfile", str(path)).json
    shown = samples(path.read_text())
    assert (
        report["rows"]["processed"] == shown["segue_migration_rows_total", "migration=themes,outcome=processed"] == 40
    )
    assert report["rows"]["quarantined"] == shown["segue_migration_quarantined_rows", "migration=themes"] == 40
    assert not any(name.startswith("segue_http") for name, _ in shown)

    removed = segue("rollback", "--json", "--metrics-textfile", str(path)).json["removed"]
    assert sum(removed.values()) == samples(path.read_text())["segue_rollback_rows_total", "migration=themes"] > 40
    assert [path] == list(tmp_path.iterdir())
    assert 0o644 == path.stat().st_mode & 0o777


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """While it is written again and again, every look at it finds a whole one."""
    measured, path, ended = Measured(), tmp_path / "segue.prom", threading.Event()
    write(path, measured.registry)
    whole = path.read_text()

    def keep_writing() -> None:
        while not ended.is_set():
            write(path, measured.registry)

    thread = threading.Thread(target=keep_writing)
    thread.start()
    try:
        assert {whole} == {path.read_text() for _ in range(300)}
    finally:
        ended.set()
        thread.join()


def test_a_full_disk_costs_metrics_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be written any more is told, and changes nothing else."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    with exporting("127.0.0.1", None, folder / "segue.prom") as recorder:
        recorder.counter("segue_rollback_rows_total", "themes").inc(1)
        (folder / "segue.prom").unlink()
        folder.rmdir()

    assert "metrics not written" in capsys.readouterr().err


def test_what_cannot_be_exported_is_told_before_anything_starts(segue: Command, songs: Any, tmp_path: Path) -> None:
    """A port that is taken, a directory that is not there, a name that node_exporter would pass over."""
    songs(SONGS)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = segue("migrate", "--metrics-port", port)
        assert (1, True) == (result.code, f"127.0.0.1:{port}" in result.stderr)
    result = segue("migrate", "--metrics-textfile", str(tmp_path / "no" / "segue.prom"))
    assert (1, True) == (result.code, "cannot be exported" in result.stderr)
    assert 2 == _usage(segue, "migrate", "--metrics-textfile", str(tmp_path / "segue.txt"))
    assert [] == segue("status", "--json").json["runs"]


def _usage(segue: Command, *arguments: str) -> int:
    return segue(*arguments).code


def test_without_the_options_nothing_is_loaded(database_url: str, songs: Any) -> None:
    """A plain migration imports neither the exporter nor what it rests on."""
    songs(SONGS)
    script = (
        "import json, sys\n"
        "from migrator.cli import segue\n"
        "try:\n    segue(['migrate', '--workers', '1'], prog_name='segue')\n"
        "except SystemExit: pass\n"
        "print(json.dumps([name for name in sys.modules if name.split('.')[0] in ('numpy', 'prometheus_client', 'wsgiref')"
        " or name in ('migrator.measures', 'monitoring.exporting')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"DATABASE_URL": database_url, "PATH": "/usr/bin"},
        cwd=Path(__file__).parents[2],
    )
    assert [] == json.loads(done.stdout.strip().splitlines()[-1]), done.stderr
