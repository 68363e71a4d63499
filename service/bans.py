"""Names that no tag may have, kept in memory: an autocomplete answer says whether its text may become a tag."""

from sql.database import Database


class Bans:
    """The banned names; there are few, so they are read as a whole."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()
        #: Whether tags have changed since they were read.
        self.is_due = True

    def holds(self, normalized: str) -> bool:
        """Whether a normalised name is banned."""
        return normalized in self._names

    def read(self, database: Database) -> bool:
        """Read the names anew and return whether they are others than before.

        Raises:
            DatabaseError: they cannot be read; what was known stays.
        """
        self.is_due = False  # before reading: a change that comes meanwhile makes it due again
        try:
            with database.transaction() as transaction:
                names = frozenset(row["name"] for row in transaction.all("bans.list_names"))
        except BaseException:
            self.is_due = True
            raise
        is_changed = names != self._names
        self._names = names
        return is_changed
