"""What became of a request to migrate."""

from dataclasses import dataclass

from migrator.states import RunState
from migrator.validation import Validation


@dataclass
class Outcome:
    """What became of the request; `report.migrate_report` turns it into the JSON of the command line."""

    run_id: int
    status: RunState
    is_resumed: bool = False
    is_unchanged: bool = False
    has_joined: bool = False
    caught_up: int = 0
    validation: Validation | None = None
    seconds: float = 0.0
