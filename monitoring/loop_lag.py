"""How late the event loop is: what blocks it delays every request."""

import asyncio
from collections.abc import Callable


async def watch(observe: Callable[[float], None], *, interval: float = 0.25) -> None:
    """Sleep for `interval` seconds again and again, and observe by how much each sleep was longer; ends when cancelled.

    Args:
        observe: `recorder.histogram("segue_event_loop_lag_seconds").observe`.
    """
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval
        await asyncio.sleep(interval)
        observe(max(loop.time() - due, 0.0))
