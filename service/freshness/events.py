"""What happens on the way of a change: one frozen event each, for whoever counts or logs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["tags", "songs"]


@dataclass(frozen=True, slots=True)
class Relayed:
    """The relay moved rows of the outbox into the log of changes.

    Attributes:
        rows: of the outbox.
        number: of the newest change.
    """

    rows: int
    number: int


@dataclass(frozen=True, slots=True)
class LeadershipChanged:
    """This process began to relay, or stopped."""

    is_leader: bool


@dataclass(frozen=True, slots=True)
class Applied:
    """A follower applied a change to the index and the cache.

    Attributes:
        kind: of the change.
        number: of the change.
        keys: how many tags or songs it names; None: it names none of them, and a build aside will bring it.
        seconds: since the writer's commit, exact to the relay's interval.
    """

    kind: Kind
    number: int
    keys: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Proven:
    """A follower looked for changes and knows how it stands.

    Attributes:
        staleness: seconds since it last was up to date.
        outbox_age: seconds that the oldest row has waited in the outbox; 0 when it is empty.
        is_relayed: some process holds the relay's lease.
    """

    staleness: float
    outbox_age: float
    is_relayed: bool


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """An index was built aside and took the place of the old one.

    Attributes:
        kind: what it holds.
        seconds: that the build took.
        number: the last change that it knows.
    """

    kind: Kind
    seconds: float
    number: int


@dataclass(frozen=True, slots=True)
class LogLost:
    """The log of changes no longer reaches back to what this process knew, so it starts over."""

    known: int
    newest: int


@dataclass(frozen=True, slots=True)
class TriggersLost:
    """Triggers were away for a time, so what this process knows may lack something and is built anew."""


@dataclass(frozen=True, slots=True)
class ConnectionChanged:
    """A follower lost the database, or has it again."""

    is_connected: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """Something went wrong and is tried again.

    Attributes:
        what: relay, follow, publish, apply, rebuild.
        error: the cause.
    """

    what: str
    error: Exception


Event = Relayed | LeadershipChanged | Applied | Proven | Rebuilt | LogLost | TriggersLost | ConnectionChanged | Failed
Observer = Callable[[Event], None]


def tell(observers: tuple[Observer, ...], event: Event) -> None:
    """Hand an event to every observer."""
    for observer in observers:
        observer(event)
