"""What a worker and its supervisor have between them: the port, a lifeline, and a word when it is ready."""

import os
import signal
import socket
from dataclasses import dataclass
from typing import Final

#: Asks a worker to leave while others go on: it says so to its connections, but not to balancers.
RETIRE: Final = signal.SIGUSR2


class ReadyPipe:
    """One byte from a worker to its supervisor."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self.is_closed = False

    def fileno(self) -> int:
        """Return the end to wait on."""
        return self._reading

    def keep_reading_end(self) -> None:
        """Keep the supervisor's end."""
        os.close(self._writing)
        self._writing = -1

    def keep_writing_end(self) -> None:
        """Keep the worker's end."""
        os.close(self._reading)
        self._reading = -1

    def say_ready(self) -> None:
        """Tell the supervisor; a second word is not sent."""
        if not self.is_closed:
            os.write(self._writing, b"R")
            self.close()

    def is_ready(self) -> bool:
        """Read the byte; False when the worker ended without it."""
        return os.read(self._reading, 1) == b"R"

    def close(self) -> None:
        """Close what is open."""
        self.is_closed = True
        for end in (self._reading, self._writing):
            if end >= 0:
                os.close(end)
        self._reading = self._writing = -1


@dataclass(frozen=True, slots=True)
class Channel:
    """A worker's side.

    Attributes:
        listener: the shared listening socket.
        lifeline: reads as ended when the supervisor is gone.
        pipe: to say that it is ready.
        is_alone: whether nobody else answers yet: then it listens from the start and says that it is not ready.
    """

    listener: socket.socket
    lifeline: int
    pipe: ReadyPipe
    is_alone: bool
