"""What can be wrong with one file of a store; the run goes on with the next."""


class Damaged(Exception):
    """A file cannot be imported.

    Attributes:
        reason: what to say of it: positions and sizes, never content.
        outcome: the file's outcome, `damaged`, or `stray` when no generation of the library explains the file.
    """

    def __init__(self, reason: str, *, outcome: str = "damaged") -> None:
        super().__init__(reason)
        self.reason = reason
        self.outcome = outcome

    def __reduce__(self) -> tuple[object, ...]:
        return _damaged, (self.reason, self.outcome)


class Gone(Exception):
    """A file was deleted since the store was scanned."""


def _damaged(reason: str, outcome: str) -> Damaged:
    return Damaged(reason, outcome=outcome)
