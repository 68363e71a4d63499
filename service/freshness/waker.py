"""Waiting for a database connection to say something, for another thread, or for the time to pass."""

import selectors
import socket
from contextlib import suppress


class Waker:
    """One thread rests, any other one wakes it."""

    def __init__(self) -> None:
        self._waking, self._resting = socket.socketpair()
        for end in (self._waking, self._resting):
            end.setblocking(False)  # noqa: FBT003 - the standard library's signature

    def wake(self) -> None:
        """Wake the resting thread, or keep it from its next rest."""
        with suppress(OSError):  # a full buffer wakes it, too; a closed one has nobody to wake
            self._waking.send(b"\0")

    def rest(self, descriptor: int, seconds: float) -> None:
        """Wait until woken, until a file descriptor can be read, or for some seconds."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._resting, selectors.EVENT_READ)
            selector.register(descriptor, selectors.EVENT_READ)
            selector.select(seconds)
        with suppress(BlockingIOError):
            self._resting.recv(4_096)

    def close(self) -> None:
        """Give the sockets back."""
        self._waking.close()
        self._resting.close()
