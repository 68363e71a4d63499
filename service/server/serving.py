"""`segue serve` from its settings: check, take the port, load, and keep workers running."""

from importlib.metadata import version
from typing import Final

from monitoring.logs import server_logger
from monitoring.shared_rows import SharedRows
from service.server import worker
from service.server.channel import Channel
from service.server.granian_server import bind, listen
from service.server.loading import Preloaded, preload
from service.server.preflight import prepare
from service.server.process import ServerProcess
from service.server.supervisor import Supervisor
from service.settings import Settings
from sql.database import Database

#: Rows of metrics beside two for each worker, which a restart needs: for those that were killed and not yet noticed.
_SPARE_ROWS: Final = 4


class PortTaken(Exception):
    """The address cannot be listened on; the message says which and what to do.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = 1


def serve(settings: Settings, *, must_search: bool) -> int:
    """Serve until told to stop; return the exit code.

    Args:
        settings: what the server was told.
        must_search: whether the table of songs was named.

    Raises:
        PortTaken: the port or address cannot be had.
        DatabaseError: the database cannot be reached or served.
    """
    log = server_logger()
    try:
        listener = bind(settings.host, settings.port)
    except OSError as error:
        raise _taken(settings, error) from error
    with listener:
        database = Database(
            settings.database_url, lock_timeout_ms=settings.lock_timeout_ms, application_name="segue serve"
        )
        try:
            settings = prepare(database, settings, must_search=must_search)
        finally:
            database.close()  # workers must not inherit its connections
        if settings.songs is None:
            log.info("no table of songs, so songs are not searched", schema=settings.schema)
        rows = SharedRows(2 * settings.workers + _SPARE_ROWS)
        program = version("segue")
        inherited: Preloaded | None = None

        def refresh() -> None:
            nonlocal inherited
            inherited = None  # two at a time would need twice the memory
            # A single worker loads for itself while the port already answers probes.
            if settings.workers > 1:
                log.info("loading the index")
                inherited = preload(settings)

        def work(channel: Channel) -> int:
            process = ServerProcess(settings, rows, inherited, program)
            return worker.run(
                process, channel, drain_seconds=settings.drain_seconds, stop_seconds=settings.stop_seconds
            )

        refresh()
        try:
            listen(listener)
        except OSError as error:
            raise _taken(settings, error) from error
        host, port = listener.getsockname()[:2]
        log.info("listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}", workers=settings.workers)
        grace = settings.drain_seconds + settings.stop_seconds
        return Supervisor(listener, settings.workers, work, refresh=refresh, grace=grace, log=log).run()


def _taken(settings: Settings, error: OSError) -> PortTaken:
    return PortTaken(
        f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
        "end what listens there, or give another --port or --host"
    )
