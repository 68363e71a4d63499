"""Traces of requests for Sentry, the hot route's aside: made only where errors are reported, and named by templates."""

import sys
from typing import Any, cast

from service.http.boundary import App


def traced(app: App) -> App:
    """Return the application with a trace around each request, of which the sampler keeps some."""
    from sentry_sdk.integrations.asgi import SentryAsgiMiddleware  # noqa: PLC0415 - half a second, for those who use it

    # Errors are reported where they are caught; this sees none.
    made: Any = SentryAsgiMiddleware(cast("Any", app), transaction_style="url")
    return cast("App", made)


def name_trace(template: str) -> None:
    """Call the present trace by a path's template, never by the path itself."""
    sdk = sys.modules.get("sentry_sdk")
    if sdk is not None:
        sdk.get_current_scope().set_transaction_name(template, source="route")
