"""Structured logs: one JSON object a line, without secrets; a command's on stderr, a server's on stdout."""

import json
import logging
import random
import re
import sys
import traceback
from collections.abc import Callable, MutableMapping
from typing import Any, ClassVar, TextIO

import structlog

from monitoring.redaction import (
    BLANK,
    SECRET_NAMES,
    blanked,
    error_message,
    without_passwords,
    without_secrets,
    without_values,
)

_Event = MutableMapping[str, Any]

#: Made by the server, or blanked where they are made; to blank them would take their long names for keys.
_HARMLESS = {"method", "route", "request_id", "trace_id", "error", "at"}
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def logger() -> structlog.typing.FilteringBoundLogger:
    """Return a logger that writes JSON lines to stderr."""
    made: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.add_log_level,
            redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    return made


def redact(_logger: object, _method: str, event: _Event) -> _Event:
    """Blank values whose name says secret, and passwords inside URLs."""
    for name, value in event.items():
        if SECRET_NAMES.search(name):
            event[name] = BLANK
        elif isinstance(value, str):
            event[name] = without_passwords(value)
    return event


def server_logger(
    *, count: Callable[[str], None] | None = None, stream: TextIO | None = None
) -> structlog.typing.FilteringBoundLogger:
    """Return a logger that writes a server's JSON lines: `ts`, `level` and `event` first, then the fields.

    Args:
        count: called with the level of each line, to feed `segue_log_messages_total`.
        stream: where to; standard output by default.
    """

    def counted(_logger: object, method: str, event: _Event) -> _Event:
        if count is not None:
            count(method)
        return event

    made: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(stream or sys.stdout),
        processors=[
            counted,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.add_log_level,
            _with_error,
            _line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    return made


class AccessLog:
    """Lines about requests: every one that failed or was slow, and a sample of the rest.

    Args:
        log: a server's logger.
        share: of the other requests, what part gets a line.
        slow_seconds: from here on a request is slow.
    """

    def __init__(
        self, log: structlog.typing.FilteringBoundLogger, *, share: float = 0.01, slow_seconds: float = 0.1
    ) -> None:
        self._log, self._share, self._slow = log, share, slow_seconds
        self._random = random.Random().random

    def wants(self, code: int, seconds: float) -> bool:
        """Say whether a request gets a line; ask first, so that the hot route does not gather fields for nothing."""
        return code >= 500 or seconds >= self._slow or self._random() < self._share

    def write(
        self, *, method: str, route: str, code: int, seconds: float, request_id: str, trace_id: str | None = None
    ) -> None:
        """Write a request's line: an error from 500 on, a warning when it was slow; the route, never path or query."""
        say = self._log.error if code >= 500 else self._log.warning if seconds >= self._slow else self._log.info
        ids = {"request_id": request_id} | ({"trace_id": trace_id} if trace_id else {})
        say("request", method=method, route=route, code=code, dur_ms=round(seconds * 1000, 3), **ids)


class JsonHandler(logging.Handler):
    """Makes what libraries log through `logging` lines of the same kind, with the library's name as `logger`."""

    #: As `server_logger`'s; a class's, because `logging.config` makes the handler before a worker has metrics.
    count: ClassVar[Callable[[str], None] | None] = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line; a library's message may quote anything, so its values are blanked."""
        try:
            # The stream is looked up now: a worker may have another standard output than its parent.
            log = server_logger(count=JsonHandler.count)
            level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
            log.log(level, without_values(record.getMessage()), logger=record.name, exc_info=record.exc_info or None)
        except Exception:
            self.handleError(record)


def library_logging(*names: str, level: str = "INFO") -> dict[str, Any]:
    """Return a configuration for `logging.config.dictConfig`: these loggers, and all others, write our lines."""
    ours = {"handlers": ["json"], "level": level, "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"json": {"class": "monitoring.logs.JsonHandler"}},
        "root": {"handlers": ["json"], "level": "WARNING"},
        "loggers": {name: {**ours} for name in names},
    }


def trace_id(traceparent: str | None) -> str | None:
    """Return the trace's id in a W3C `traceparent` header; None when there is none or it is malformed."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    return found[1] if found else None


def _with_error(_logger: object, _method: str, event: _Event) -> _Event:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        name, module = type(error).__name__, type(error).__module__
        event["error"] = f"{name}: {error_message(name, module, str(error))}"
        frames = traceback.extract_tb(error.__traceback__)[-5:]
        event["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return event


def _line(_logger: object, _method: str, event: _Event) -> str:
    first = {name: event.pop(name) for name in ("ts", "level", "event")}
    fields = {
        name: value if name in _HARMLESS else BLANK if SECRET_NAMES.search(name) else blanked(value)
        for name, value in event.items()
    }
    return json.dumps({**first, **fields}, default=lambda value: without_secrets(repr(value)))
