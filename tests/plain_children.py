"""A pytest plugin of scripts/test: coverage measures the workers of pytest-xdist, not the processes that tests start.

Hundreds of those are killed on purpose, and measuring them costs more than half of the suite's time.
"""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.pop("COVERAGE_PROCESS_START", None)
