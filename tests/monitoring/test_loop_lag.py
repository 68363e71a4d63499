"""The event loop's lag is measured on a real loop."""

import asyncio
import time

from monitoring.loop_lag import watch


def test_what_blocks_the_loop_is_seen() -> None:
    """A loop that was blocked for 0.2 s shows it; one that is idle does not."""
    lags: list[float] = []

    async def run() -> int:
        watching = asyncio.create_task(watch(lags.append, interval=0.01))
        while len(lags) < 5:
            await asyncio.sleep(0.01)
        idle = len(lags)
        time.sleep(0.3)
        while len(lags) < idle + 1:
            await asyncio.sleep(0.01)
        watching.cancel()
        return idle

    idle = asyncio.run(run())

    assert min(lags) >= 0
    assert min(lags[:idle]) < 0.2
    assert max(lags[idle:]) > 0.2
