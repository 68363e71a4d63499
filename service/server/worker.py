"""One server process: load or inherit the index, become ready, answer, and leave without losing a request."""

import asyncio
import os
import signal
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from service.server.channel import RETIRE, Channel


class Serving(Protocol):
    """What a worker serves; service/server/process.py makes it."""

    app: Any

    def become_ready(self) -> None:
        """Load what is missing and start following; may take seconds, runs in a thread.

        Raises:
            Exception: it cannot; the worker ends.
        """

    async def watch(self) -> None:
        """Do in the event loop what is to be done now and then; cancelled at the end."""

    def say_close(self) -> None:
        """From now on tell every client to close its connection."""

    def say_stopping(self) -> None:
        """From now on be not ready."""

    def close(self) -> None:
        """Stop threads and close connections."""


def run(serving: Serving, channel: Channel, *, drain_seconds: float, stop_seconds: float) -> int:
    """Serve in this process until told to leave; return its exit code."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(serving, channel, drain_seconds, stop_seconds))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if find_spec("uvloop") is None:  # no dependency, but quicker where it is installed
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory


async def _serve(serving: Serving, channel: Channel, drain_seconds: float, stop_seconds: float) -> int:
    from service.server.granian_server import GranianServer  # noqa: PLC0415 - in the worker alone

    loop = asyncio.get_running_loop()
    leaving: asyncio.Future[int] = loop.create_future()

    def leave(number: int) -> None:
        if not leaving.done():
            leaving.set_result(number)

    for number in (signal.SIGTERM, signal.SIGQUIT, RETIRE):
        loop.add_signal_handler(number, leave, number)
    # Ends when the supervisor is gone: nobody else would end this process then.
    loop.add_reader(channel.lifeline, leave, signal.SIGTERM)
    server = GranianServer(serving.app, channel.listener)
    try:
        if channel.is_alone:
            server.start()
        watching = loop.create_task(serving.watch())
        loading = loop.run_in_executor(None, serving.become_ready)
        both: list[asyncio.Future[Any]] = [loading, leaving]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()
            server.start()
            channel.pipe.say_ready()
        else:
            os._exit(0)  # a thread that loads cannot be stopped, and nothing was begun for anybody
        await _leave(server, serving, await leaving, drain_seconds, stop_seconds)
        watching.cancel()
    finally:
        loop.remove_reader(channel.lifeline)
        await asyncio.to_thread(serving.close)
    return 0


async def _leave(server: Any, serving: Serving, number: int, drain_seconds: float, stop_seconds: float) -> None:
    # Connections are told to close with their next answer, so that almost none is open and idle when the server cuts
    # them: a client that has just sent a request on such a one would lose it.
    serving.say_close()
    if number != RETIRE:
        serving.say_stopping()
    if number != signal.SIGQUIT:
        await asyncio.sleep(drain_seconds)
    await server.finish(stop_seconds)
