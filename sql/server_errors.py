"""What can go wrong with the embedded server, as types with fields."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class EmbeddedServerError(Exception):
    """The embedded PostgreSQL cannot be used: what happened, to which object, what to do next.

    `exit_code` is what the command line ends with.
    """

    exit_code = 1

    def __init__(self, what: str, *, path: "Path | None" = None, next_step: str) -> None:
        super().__init__(f"{what} {next_step}")
        self.what = what
        self.path = path
        self.next_step = next_step


class NoBinariesError(EmbeddedServerError):
    """No PostgreSQL server programs were found, or none that may be used."""


class WrongMajorError(EmbeddedServerError):
    """The stored data belongs to another major version than the programs found."""


class HomeUnusableError(EmbeddedServerError):
    """A directory that the server needs cannot be created, written or trusted."""


class InitError(EmbeddedServerError):
    """Creating the data directory failed; nothing half-made is left in its place."""


class StartError(EmbeddedServerError):
    """The server ended while starting, or did not accept a connection in time."""


class StopError(EmbeddedServerError):
    """The server did not end in time."""
