"""Where a command that works for a while exports its metrics; without an option nothing of it is even loaded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrator.errors import LeaseLost, MigratorError
from migrator.events import Observer

if TYPE_CHECKING:
    from monitoring.recorder import Recorder


class CannotExport(MigratorError):
    """The port is taken, or the file cannot be written; nothing was started."""


@dataclass(frozen=True)
class MetricsTarget:
    """Where metrics go.

    Attributes:
        host: address to listen on.
        port: None is nowhere.
        textfile: for node_exporter's textfile collector; None is none.
    """

    host: str
    port: int | None
    textfile: Path | None

    @contextmanager
    def exporting(self) -> Iterator["Recorder | None"]:
        """Yield what metrics are recorded with while they are exported; None when nobody asked for them.

        Raises:
            CannotExport: the port is taken, or the file cannot be written.
        """
        if self.port is None and self.textfile is None:
            yield None
            return
        from monitoring.exporting import exporting  # noqa: PLC0415 - it costs numpy and an HTTP server

        export = exporting(self.host, self.port, self.textfile)
        try:
            recorder = export.__enter__()
        except OSError as error:
            said = f"metrics cannot be exported to {self.textfile or f'{self.host}:{self.port}'}: {error}"
            raise CannotExport(f"{said}; choose another --metrics-port or --metrics-textfile") from error
        try:
            yield recorder
        finally:
            export.__exit__(None, None, None)

    @contextmanager
    def measuring(self, migration: str) -> Iterator[tuple[Observer, ...]]:
        """Yield the observer that measures one migration's run; none when nobody asked for metrics."""
        with self.exporting() as recorder:
            if recorder is None:
                yield ()
                return
            from migrator.measures import RunMeasures  # noqa: PLC0415 - as above

            measures = RunMeasures(recorder, migration)
            try:
                yield (measures,)
            except LeaseLost:
                measures.lease_lost()
                raise
            finally:
                measures.rest()


def metrics_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --metrics-port, --metrics-host and --metrics-textfile; the function gets them as one `metrics`."""

    @wraps(function)
    def gathered(
        *args: Any, metrics_port: int | None, metrics_host: str, metrics_textfile: Path | None, **kwargs: Any
    ) -> Any:
        target = MetricsTarget(metrics_host, metrics_port, metrics_textfile)
        return function(*args, metrics=target, **kwargs)

    for option in (
        click.option(
            "--metrics-textfile",
            type=click.Path(path_type=Path, dir_okay=False),
            envvar="SEGUE_METRICS_TEXTFILE",
            show_envvar=True,
            help="Write Prometheus metrics to this file, for node_exporter; the name has to end in .prom.",
            callback=_require_prom,
        ),
        click.option(
            "--metrics-host",
            default="127.0.0.1",
            envvar="SEGUE_METRICS_HOST",
            show_envvar=True,
            show_default=True,
            help="Address to export metrics on.",
        ),
        click.option(
            "--metrics-port",
            type=click.IntRange(1, 65_535),
            envvar="SEGUE_METRICS_PORT",
            show_envvar=True,
            help="Export Prometheus metrics on this port while it works.",
        ),
    ):
        gathered = option(gathered)
    return gathered


def _require_prom(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and value.suffix != ".prom":
        raise click.BadParameter(f"{value} does not end in .prom, so node_exporter would pass it over")
    return value
