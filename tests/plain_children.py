"""A pytest plugin of scripts/test: what coverage measures, and what it leaves alone because measuring costs too much.

It measures the workers of pytest-xdist, not the processes that tests start: hundreds of those are killed on purpose,
and measuring them costs more than half of the suite's time. Nor does it measure tests marked `untraced`: they run the
same few functions some hundred thousand times, or time them; other tests cover those.
"""

import os
import sys
import threading
from collections.abc import Iterator

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.pop("COVERAGE_PROCESS_START", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Run a test marked `untraced` without coverage's trace function, and put that back."""
    if item.get_closest_marker("untraced") is None:
        return (yield)
    here, elsewhere = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type] # None is what threading itself starts with
    try:
        return (yield)
    finally:
        sys.settrace(here)
        threading.settrace(elsewhere)  # type: ignore[arg-type]
