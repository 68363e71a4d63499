"""The whole HTTP interface of a process, put together."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from monitoring.exposition import Exposition
from monitoring.logs import AccessLog
from service.http import curation_operations, meta_operations, run_operations, song_operations, tag_operations
from service.http.access import Access
from service.http.answers import Answers
from service.http.autocomplete import hot_route
from service.http.boundary import App, Boundary
from service.http.headers import Cors
from service.http.operations import Operation
from service.http.routing import application
from service.http.rsgi import RsgiApp
from service.http.shared_quota import SharedQuotas
from service.http.tracing import traced
from service.state import State

#: Threads that wait for the database; its pool has as many connections.
_THREADS = 12


@dataclass(frozen=True, slots=True)
class Interface:
    """What a process serves.

    Attributes:
        app: the RSGI application.
        asgi: the same without the hot route, as an ASGI application.
        operations: what it offers.
        access: its checks.
        answers: what the warm-up fills.
        quotas: a thread to start, or None without Redis.
        threads: to shut down at the end.
    """

    app: RsgiApp
    asgi: App
    operations: list[Operation]
    access: Access
    answers: Answers
    quotas: SharedQuotas | None
    threads: ThreadPoolExecutor


def interface(state: State, exposition: Exposition, version: str) -> Interface:
    """Make the interface of a process."""
    settings = state.settings
    answers, access, cors = Answers(state), Access(state), Cors(settings.cors_origins)
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="segue-http")
    operations = all_operations(answers, settings.max_age, exposition, version)
    routed = application(operations, state, access, threads)
    behind: App = Boundary(routed, state, cors, AccessLog(state.log))
    if settings.sentry_dsn:
        behind = traced(behind)
    quotas = SharedQuotas(settings.redis_url, tuple(access.quotas.values())) if settings.redis_url else None
    app = hot_route(state, answers, access.quotas["autocomplete"], cors, behind)
    return Interface(app, behind, operations, access, answers, quotas, threads)


def all_operations(answers: Answers, max_age: int, exposition: Exposition, version: str) -> list[Operation]:
    """Return every operation, in the order of the documentation."""
    operations = [
        *tag_operations.operations(answers, max_age),
        *song_operations.operations(),
        *curation_operations.operations(),
        *run_operations.operations(),
        *meta_operations.probes(),
        meta_operations.metrics(exposition),
    ]
    return [*operations, *meta_operations.description(operations, version)]
