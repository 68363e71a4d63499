"""`segue serve`. The server itself is imported when it starts, so that `segue --help` does not wait for it."""

import re
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from service.commands.base import Session, command, require_schema
from service.settings import BadSetting, Limits, Settings, SongsTable, networks, origins
from sql.database import Database

_LIMITS = Limits()
_LOOPBACK = tuple(str(network) for network in _LIMITS.exempt)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _option(name: str, envvar: str, help: str, **further: Any) -> Decorator:  # noqa: A002 - click's name for it
    return click.option(name, envvar=envvar, show_envvar=True, show_default=True, help=help, **further)


def _several(name: str, envvar: str, help: str, metavar: str, **further: Any) -> Decorator:  # noqa: A002
    text = f"{help} May be given several times; the variable holds them parted by spaces."
    return _option(name, envvar, text, multiple=True, metavar=metavar, **further)


@click.command()
@_option("--host", "SEGUE_HOST", "Address to listen on; 0.0.0.0 or :: for all.", default="127.0.0.1")
@_option(
    "--port", "SEGUE_PORT", "Port to listen on; 0 takes a free one.", type=click.IntRange(0, 65_535), default=8_000
)
@_option("--workers", "SEGUE_WORKERS", "Processes that answer.", type=click.IntRange(1, 64), default=1)
@_option("--redis-url", "REDIS_URL", "Shares cache and rate limits between servers (redis://…).")
@_option("--sentry-dsn", "SENTRY_DSN", "Reports errors there, without personal data.")
@_option("--environment", "SENTRY_ENVIRONMENT", "Under which name: production, staging, …", default="production")
@_option(
    "--table", "SEGUE_TABLE", "Songs to search, with their schema when it is not the application's.", default="songs"
)
@_option("--key", "SEGUE_KEY", "Their key column.", default="id")
@_option("--title", "SEGUE_TITLE", "Their title column, which a text filter looks into.", default="title")
@_several("--cors-origin", "SEGUE_CORS_ORIGINS", "Lets pages of this origin read answers; * for any.", "ORIGIN")
@_several("--trusted-proxy", "SEGUE_TRUSTED_PROXIES", "Believes X-Forwarded-For of proxies here.", "NETWORK")
@_several("--admin-network", "SEGUE_ADMIN_NETWORKS", "Allows tokens from here alone.", "NETWORK")
@_option(
    "--rate-limit",
    "SEGUE_RATE_LIMIT",
    "Requests a second that one client may make in the long run; 0 for no limit.",
    type=click.FloatRange(0, 1_000_000),
    default=_LIMITS.rate,
)
@_option(
    "--rate-burst",
    "SEGUE_RATE_BURST",
    "Requests that one client may make at once.",
    type=click.IntRange(1, 1_000_000),
    default=_LIMITS.burst,
)
@_several("--rate-exempt", "SEGUE_RATE_EXEMPT", "Does not count requests from here.", "NETWORK", default=_LOOPBACK)
@_option(
    "--cache-entries",
    "SEGUE_CACHE_ENTRIES",
    "Autocomplete answers that one worker keeps.",
    type=click.IntRange(1, 10_000_000),
    default=50_000,
)
@_option(
    "--max-age",
    "SEGUE_MAX_AGE",
    "Seconds that browsers and proxies keep an answer without asking.",
    type=click.IntRange(0, 86_400),
    default=10,
)
@_option(
    "--stale-seconds",
    "SEGUE_STALE_SECONDS",
    "Seconds that they may then show it while they ask again.",
    type=click.IntRange(0, 604_800),
    default=60,
)
@_option(
    "--max-query-bytes",
    "SEGUE_MAX_QUERY_BYTES",
    "Longest query string.",
    type=click.IntRange(64, 65_000),
    default=_LIMITS.query_bytes,
)
@_option(
    "--max-body-bytes",
    "SEGUE_MAX_BODY_BYTES",
    "Longest request body.",
    type=click.IntRange(64, 100_000_000),
    default=_LIMITS.body_bytes,
)
@_option(
    "--request-seconds",
    "SEGUE_REQUEST_SECONDS",
    "Time after which a request that waits for the database is given up.",
    type=click.FloatRange(0.1, 300),
    default=_LIMITS.request_seconds,
)
@_option(
    "--max-concurrency",
    "SEGUE_MAX_CONCURRENCY",
    "Requests that one worker has in work at a time, autocomplete aside.",
    type=click.IntRange(1, 10_000),
    default=_LIMITS.concurrency,
)
@_option(
    "--drain-seconds",
    "SEGUE_DRAIN_SECONDS",
    "Time after SIGTERM in which /readyz says no while requests are still answered.",
    type=click.FloatRange(0, 300),
    default=5.0,
)
@_option(
    "--stop-seconds",
    "SEGUE_STOP_SECONDS",
    "Time that requests under way then have.",
    type=click.FloatRange(0.1, 300),
    default=15.0,
)
@click.pass_context
@command
def serve(session: Session, context: click.Context, /, **options: Any) -> int:
    """Serve tags over HTTP: autocomplete, search and curating; see /docs of the running server.

    SIGTERM finishes what was begun and ends the server, Ctrl-C does without the drain time, SIGHUP replaces the workers
    one after the other without losing a request. Logs go to stdout as JSON lines.
    """
    from service.server.serving import serve as run  # noqa: PLC0415 - see above

    with session.database() as database:
        try:
            settings = _settings(session.schema, database, options)
        except BadSetting as error:
            raise click.UsageError(str(error)) from None
        require_schema(database, session.schema)
        database.close()  # the server forks, and a child must not inherit a connection
        named = any(
            context.get_parameter_source(name) is not ParameterSource.DEFAULT for name in ("table", "key", "title")
        )
        return run(settings, must_search=named)


def _sentry_dsn(text: str | None) -> str | None:
    if text and not re.fullmatch(r"https?://[^/@\s]+@[^/\s]+/\S+", text):
        raise BadSetting("--sentry-dsn is no DSN; copy it from the project's settings in Sentry")
    return text or None


def _settings(schema: str, database: Database, given: dict[str, Any]) -> Settings:
    limits = Limits(
        query_bytes=given["max_query_bytes"],
        body_bytes=given["max_body_bytes"],
        request_seconds=given["request_seconds"],
        concurrency=given["max_concurrency"],
        rate=given["rate_limit"],
        burst=given["rate_burst"],
        exempt=networks("--rate-exempt", given["rate_exempt"]),
    )
    return Settings(
        database_url=database.url,
        schema=schema,
        lock_timeout_ms=database.lock_timeout_ms,
        host=given["host"],
        port=given["port"],
        workers=given["workers"],
        redis_url=given["redis_url"] or None,
        sentry_dsn=_sentry_dsn(given["sentry_dsn"]),
        environment=given["environment"],
        songs=SongsTable(given["table"], given["key"], given["title"] or None) if given["table"] else None,
        limits=limits,
        cors_origins=origins("--cors-origin", given["cors_origin"]),
        trusted_proxies=networks("--trusted-proxy", given["trusted_proxy"]),
        admin_networks=networks("--admin-network", given["admin_network"]),
        cache_entries=given["cache_entries"],
        max_age=given["max_age"],
        stale_seconds=given["stale_seconds"],
        drain_seconds=given["drain_seconds"],
        stop_seconds=given["stop_seconds"],
    )
