"""Log lines: JSON, one a line, without secrets; commands write to stderr as ever, servers to stdout."""

import json
import logging
import logging.config
from collections import Counter
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from monitoring.logs import AccessLog, JsonHandler, library_logging, logger, server_logger, trace_id

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def stream() -> StringIO:
    """Where a server's logger writes."""
    return StringIO()


@pytest.fixture
def lines(stream: StringIO) -> Lines:
    """What was written, each line read as JSON."""
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_commands_line_is_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    """Event, fields, level and time on stderr; secrets blanked."""
    logger().info("RunClosed", run_id=1, url="postgresql://app:s3cret@db/music", token="t")

    out, err = capsys.readouterr()
    line = json.loads(err)
    assert out == ""
    assert list(line) == ["run_id", "url", "token", "event", "timestamp", "level"]
    assert (line["url"], line["token"], line["run_id"]) == ("postgresql://app:***@db/music", "***", 1)


def test_a_servers_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Time, level and event come first, on stdout."""
    server_logger().warning("redis gone", url="redis://:s3cret@cache", seconds=1.5)

    out, err = capsys.readouterr()
    line = json.loads(out)
    assert err == ""
    assert list(line)[:3] == ["ts", "level", "event"]
    assert line["ts"].endswith("Z")
    assert {**line, "ts": 0} == {
        "ts": 0,
        "level": "warning",
        "event": "redis gone",
        "url": "redis://:***@cache",
        "seconds": 1.5,
    }


def test_every_line_is_counted(stream: StringIO) -> None:
    """By its level, also those with an error."""
    counts: Counter[str] = Counter()
    log = server_logger(count=lambda level: counts.update([level]), stream=stream)
    log.info("a")
    log.error("b")
    try:
        int("x")
    except ValueError:
        log.exception("c")

    assert counts == {"info": 1, "error": 2}


def test_an_error_is_named_by_type_and_place(stream: StringIO, lines: Lines) -> None:
    """Its message keeps the reason and loses the values; variables are not shown."""
    try:
        Path("/a song of somebody").stat()
    except FileNotFoundError:
        server_logger(stream=stream).exception("load failed")

    (line,) = lines()
    assert line["error"] == "FileNotFoundError: [Errno 2] No such file or directory: ***"
    assert line["at"][0].endswith(" test_an_error_is_named_by_type_and_place")
    assert "somebody" not in stream.getvalue()


def test_a_line_is_one_line(stream: StringIO, lines: Lines) -> None:
    """Line feeds, control characters and half characters in a field do not break the line, nor unknown types."""
    server_logger(stream=stream).info("x", text='a\nb\x1b[31m\ud800"', at=object, ids=frozenset({1}))

    assert [line["text"] for line in lines()] == ['a\nb\x1b[31m\ud800"']
    assert stream.getvalue().isascii()


def test_requests_that_failed_or_were_slow_are_all_logged(stream: StringIO, lines: Lines) -> None:
    """Of the others, the share that was asked for; a share of 0 is none."""
    access = AccessLog(server_logger(stream=stream), share=0.0)
    requests = [(200, 0.01), (404, 0.01), (200, 0.1), (500, 0.01), (503, 2.0)]
    for number, (code, seconds) in enumerate(requests):
        if access.wants(code, seconds):
            access.write(method="GET", route="/v1/tags", code=code, seconds=seconds, request_id=f"r{number}")

    assert [(line["level"], line["code"], line["dur_ms"], line["request_id"]) for line in lines()] == [
        ("warning", 200, 100.0, "r2"),
        ("error", 500, 10.0, "r3"),
        ("error", 503, 2000.0, "r4"),
    ]
    assert "trace_id" not in lines()[0]


def test_one_in_a_hundred_of_the_rest(stream: StringIO) -> None:
    """The sample is what its share says: 1,000 of 100,000, give or take six standard deviations."""
    access = AccessLog(server_logger(stream=stream))

    assert 810 < sum(access.wants(200, 0.001) for _ in range(100_000)) < 1190


def test_ids_are_not_taken_for_keys(stream: StringIO, lines: Lines) -> None:
    """A trace's id is as long as a key, and stays."""
    access = AccessLog(server_logger(stream=stream))
    ids = {"request_id": "0123456789abcdef0123456789abcdef0123456789", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    access.write(method="GET", route="/v1/tags", code=200, seconds=0.0012346, **ids)

    (line,) = lines()
    assert {name: line[name] for name in ids} == ids
    assert (line["event"], line["method"], line["route"], line["dur_ms"]) == ("request", "GET", "/v1/tags", 1.235)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n", None),
        ("4bf92f3577b34da6a3ce929d0e0e4736", None),
        ("", None),
        (None, None),
    ],
)
def test_the_traces_id_comes_from_the_standard_header(header: str | None, found: str | None) -> None:
    """A malformed header is no trace."""
    assert trace_id(header) == found


@pytest.fixture
def libraries() -> Iterator[None]:
    """Configure `logging` as a server does, and take it back."""
    root, theirs = logging.getLogger(), logging.getLogger("a_library")
    before = root.handlers[:], root.level
    logging.config.dictConfig(library_logging("a_library"))
    yield
    root.handlers[:], theirs.handlers[:], theirs.propagate = before[0], [], True
    root.setLevel(before[1])
    theirs.setLevel(logging.NOTSET)
    JsonHandler.count = None


@pytest.mark.usefixtures("libraries")
def test_what_libraries_log_becomes_such_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With the library's name, blanked and counted; a level of its own becomes the next lower one of ours."""
    counts: Counter[str] = Counter()
    JsonHandler.count = lambda level: counts.update([level])
    log = logging.getLogger("a_library")
    log.info("Started %s on redis://:%s@h", "'worker'", "pw")
    log.log(35, "odd level")
    logging.getLogger("another").error("broke", exc_info=ValueError("'x'"))
    logging.getLogger("another").info("not said")

    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["level"], line["event"], line["logger"]) for line in found] == [
        ("info", "Started *** on redis://:***@h", "a_library"),
        ("warning", "odd level", "a_library"),
        ("error", "broke", "another"),
    ]
    assert found[2]["error"] == "ValueError: ***"
    assert counts == {"info": 1, "warning": 1, "error": 1}
