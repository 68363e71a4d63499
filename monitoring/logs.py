"""Structured logs on stderr: one JSON object a line, without secrets."""

import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

#: A password inside a database URL.
_PASSWORD = re.compile(r"(\w+://[^:/@\s]+):[^@/\s]+@")
_SECRET_NAMES = re.compile(r"password|token|secret|authorization|email", re.IGNORECASE)


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


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank values whose name says secret, and passwords inside URLs."""
    for name, value in event.items():
        if _SECRET_NAMES.search(name):
            event[name] = "***"
        elif isinstance(value, str):
            event[name] = _PASSWORD.sub(r"\1:***@", value)
    return event
