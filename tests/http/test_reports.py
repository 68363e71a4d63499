"""What goes to Sentry: our mistakes and named traces, and nothing of what people typed."""

import subprocess
import sys
from pathlib import Path

from tests.monitoring.ingest import ingest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys
from monitoring import sentry
from service.settings import Settings
from tests.http.conftest import Inside

dsn, url = sys.argv[1:]
sentry.start(dsn, release="0", trace_share=1.0)
inside = Inside(Settings(database_url=url, sentry_dsn=dsn, songs=None))
assert inside.get("/v1/tags/popular?category=typed-text").status == 200
assert inside.get("/v1/tags/0190b0a4-7c1e-7d30-9a53-0b7c4a2f4f11?q=typed-text").status == 422
inside.state.index.popular = None
assert inside.get("/v1/tags/popular?category=typed-text").status == 500
inside.close()
sentry.flush()
"""


def test_errors_and_traces(filled_url: str) -> None:
    """A mistake is reported once, traces bear templates, a refused request is no error, and nothing typed is in it."""
    with ingest() as found:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, found.dsn, filled_url], cwd=ROOT, capture_output=True, text=True
        )
    assert 0 == done.returncode, done.stderr

    errors = found.of("event")
    assert ["TypeError"] == [error["exception"]["values"][-1]["type"] for error in errors]
    assert ["/v1/tags/popular", "/v1/tags/{id}", "/v1/tags/popular"] == [
        trace["transaction"] for trace in found.of("transaction")
    ]
    assert "typed-text" not in found.raw
