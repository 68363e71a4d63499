"""What is made ready in the database before a server starts: triggers that tell of changes, and the songs looked up."""

from dataclasses import replace

from service.search.songs import Songs, SongsUnreadable
from service.settings import Settings, SongsTable
from sql.database import Database
from sql.schema.serving import PATIENCE_SECONDS, follow


def prepare(database: Database, settings: Settings, *, must_search: bool) -> Settings:
    """Make the triggers that are missing.

    Args:
        database: where the tags are.
        settings: what the server was told.
        must_search: whether the table of songs was named; else a server without one searches no songs.

    Returns:
        The settings, with the songs as far as they are there.

    Raises:
        CannotFollow: the triggers cannot be made.
        SongsUnreadable: the songs that were named cannot be searched.
        ConnectionLost: the database cannot be reached.
    """
    found = replace(settings, songs=_songs(database, settings, must_search=must_search))
    make_triggers(database, found)
    return found


def make_triggers(database: Database, settings: Settings, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Make the triggers that are missing on the tables that are served.

    Raises:
        CannotFollow: they cannot be made.
    """
    songs = settings.songs
    if songs is None:
        follow(database, settings.schema, patience_seconds=patience_seconds)
    else:
        follow(
            database,
            settings.schema,
            songs.table,
            key=songs.key,
            title=songs.title,
            patience_seconds=patience_seconds,
        )


def _songs(database: Database, settings: Settings, *, must_search: bool) -> SongsTable | None:
    wanted = settings.songs
    if wanted is None:
        return None
    candidates = [wanted] if must_search else [wanted, replace(wanted, title=None)]
    for candidate in candidates:
        try:
            with database.transaction() as transaction:
                Songs.find(transaction, settings.schema, candidate)
        except SongsUnreadable:
            if must_search:
                raise
        else:
            return candidate
    return None
