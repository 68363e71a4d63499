"""Error reports to Sentry: sampled, never a flood, and rebuilt from what may leave the process alone."""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from monitoring.redaction import error_message, without_values

if TYPE_CHECKING:
    from sentry_sdk.types import Event

#: Asked every few seconds by machines; a trace of them says nothing.
_NEVER_TRACED = {"/livez", "/readyz", "/startupz", "/metrics"}
_HOT = "/v1/tags/autocomplete"

#: What an event keeps as it is; the rest is either rebuilt below or dropped.
_KEPT = (
    *("event_id", "timestamp", "start_timestamp", "type", "level", "platform", "logger", "release", "environment"),
    *("sdk", "transaction_info", "fingerprint"),
)
_KEPT_OF_FRAMES = ("filename", "abs_path", "module", "function", "lineno", "colno", "in_app", "context_line")
_KEPT_OF_SPANS = (
    *("span_id", "parent_span_id", "trace_id", "op", "origin", "status", "start_timestamp", "timestamp"),
    *("type", "is_segment", "client_sample_rate"),
)
_KEPT_OF_SAMPLING = ("trace_id", "public_key", "release", "environment", "sample_rate", "sample_rand", "sampled")
_KEPT_HEADERS = {"accept", "content-type", "content-length"}
_KEPT_CONTEXTS = {"runtime"}

Fields = dict[str, Any]


class TokenBucket:
    """Lets `burst` things through at once and `per_minute` in the long run; threads may share it."""

    def __init__(self, per_minute: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_minute / 60, burst, clock
        self._tokens, self._at = float(burst), clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take a token; False when there is none."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._tokens + (now - self._at) * self._rate, self._burst)
            self._at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


def start(
    dsn: str | None,
    *,
    release: str,
    environment: str = "production",
    trace_share: float = 0.01,
    hot_share: float = 0.0001,
    errors_per_minute: float = 30,
    errors_at_once: int = 20,
) -> bool:
    """Report this process's errors from now on; to be called in each worker, for the sender is a thread.

    Args:
        dsn: of the Sentry project (SENTRY_DSN); with none, nothing happens and nothing is imported.
        release: the program's version.
        environment: production, staging, ...
        trace_share: of requests, what part is traced.
        hot_share: the same of autocomplete, of which there are thousands a second.
        errors_per_minute: reports that one process sends in the long run; an error storm ends here, before the network.
        errors_at_once: reports that it sends at once.

    Returns:
        Whether errors are reported.

    Raises:
        ValueError: `dsn` is none; the message does not quote it, since it holds a key.
    """
    if not dsn:
        return False
    # Half a second of imports, for those who use it.
    import sentry_sdk  # noqa: PLC0415
    from sentry_sdk.integrations.atexit import AtexitIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.dedupe import DedupeIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.starlette import StarletteIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.threading import ThreadingIntegration  # noqa: PLC0415
    from sentry_sdk.utils import BadDsn  # noqa: PLC0415

    bucket, sampler = TokenBucket(errors_per_minute, errors_at_once), traces_sampler(trace_share, hot_share)
    try:
        sentry_sdk.init(
            dsn=dsn,
            release=release,
            environment=environment,
            server_name="",
            # Personal data is off unless `send_default_pii` or `data_collection` is given.
            include_local_variables=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            attach_stacktrace=False,
            auto_session_tracking=False,
            send_client_reports=False,
            traces_sampler=sampler,
            before_send=lambda event, _hint: scrubbed(event) if bucket.take() else None,
            before_send_transaction=lambda event, _hint: scrubbed(event),
            before_breadcrumb=lambda _crumb, _hint: None,
            shutdown_timeout=2,
            # Named one by one: those that switch themselves on record statements, keys, arguments and environments.
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[
                *(AtexitIntegration(callback=lambda _pending, _timeout: None), DedupeIntegration()),
                *(ExcepthookIntegration(), ThreadingIntegration(propagate_scope=False)),
                StarletteIntegration(transaction_style="endpoint"),
            ],
        )
    except BadDsn:
        raise ValueError("SENTRY_DSN is no DSN; copy it from the project's settings in Sentry") from None
    return True


def report(error: BaseException) -> None:
    """Report an error that was caught, such as a background thread's or the hot route's; nothing before `start`."""
    if "sentry_sdk" in sys.modules:
        sys.modules["sentry_sdk"].capture_exception(error)


def flush(timeout: float = 2.0) -> None:
    """Send what is still waiting, for at most `timeout` seconds: the last thing of a graceful stop."""
    if "sentry_sdk" in sys.modules:
        sys.modules["sentry_sdk"].flush(timeout)


def traces_sampler(share: float, hot_share: float) -> Callable[[Mapping[str, Any]], float]:
    """Return a function that says with what probability a request is traced."""

    def sample(context: Mapping[str, Any]) -> float:
        path = (context.get("asgi_scope") or {}).get("path", "")
        if path in _NEVER_TRACED:
            return 0.0
        parent = context.get("parent_sampled")
        if parent is not None:
            return float(parent)
        return hot_share if path == _HOT else share

    return sample


def scrubbed(event: "Event") -> "Event":
    """Return a new event of what may leave the process.

    What stays: type and place of an error, its message without values, method and endpoint of the request, times.
    What does not: paths, query strings, cookies, credentials, addresses, users, bodies, variables, breadcrumbs, SQL.
    """
    given = cast("Fields", event)
    kept = _only(given, _KEPT)
    # Without an endpoint the name is the path, and that is what somebody typed.
    is_endpoint = (given.get("transaction_info") or {}).get("source") in {"component", "route", "task", "custom"}
    kept["transaction"] = given.get("transaction") if is_endpoint else "other"
    if "exception" in given:
        kept["exception"] = {"values": [_exception(one) for one in _values(given["exception"])]}
    if "logentry" in given or "message" in given:
        kept["message"] = without_values(
            str((given.get("logentry") or {}).get("message") or given.get("message") or "")
        )
    if "request" in given:
        kept["request"] = _request(given["request"])
    if "spans" in given:
        kept["spans"] = [_only(span, _KEPT_OF_SPANS) for span in given["spans"]]
    contexts = given.get("contexts") or {}
    kept["contexts"] = {name: value for name, value in contexts.items() if name in _KEPT_CONTEXTS}
    if "trace" in contexts:
        kept["contexts"]["trace"] = _only(contexts["trace"], _KEPT_OF_SPANS)
        sampling = contexts["trace"].get("dynamic_sampling_context") or {}
        kept["contexts"]["trace"]["dynamic_sampling_context"] = _only(sampling, _KEPT_OF_SAMPLING)
    return cast("Event", kept)


def _only(given: Mapping[str, Any], names: tuple[str, ...]) -> Fields:
    return {name: given[name] for name in names if name in given}


def _values(exception: Any) -> list[Fields]:
    return list(exception.get("values", ()) if isinstance(exception, Mapping) else exception)


def _exception(given: Fields) -> Fields:
    kept = _only(given, ("type", "module", "thread_id"))
    kept["value"] = error_message(str(given.get("type")), given.get("module"), str(given.get("value") or ""))
    if given.get("mechanism"):
        kept["mechanism"] = _only(given["mechanism"], ("type", "handled", "exception_id", "parent_id", "source"))
    frames = (given.get("stacktrace") or {}).get("frames") or ()
    kept["stacktrace"] = {"frames": [_only(frame, _KEPT_OF_FRAMES) for frame in frames]}
    return kept


def _request(given: Fields) -> Fields:
    # No URL: what a path holds beside the endpoint's name is what somebody typed.
    headers = given.get("headers") or {}
    kept = {name: value for name, value in headers.items() if name.lower() in _KEPT_HEADERS}
    return {**_only(given, ("method",)), "headers": kept}
