"""Edits of links that a mirror could not carry back into the legacy column in people's own transactions."""

from sql.database import Database

#: Songs looked up at a time, and carried over in one transaction at first.
PAGE_SONGS, TOGETHER = 1_000, 50


def drain_back(database: Database, run_id: int) -> int:
    """Carry late edits of links back, each of which is tried once; return how many songs had any.

    What still cannot be written stays noted, with the reason.
    """
    after, found = "", 0
    while True:
        with database.transaction() as transaction:
            rows = transaction.all("mirror_back_parts.list_late", run_id=run_id, after=after, most=PAGE_SONGS)
        songs = [row["song"] for row in rows]
        for first in range(0, len(songs), TOGETHER):
            _carry(database, run_id, songs[first : first + TOGETHER])
        found += len(songs)
        if len(songs) < PAGE_SONGS:
            return found
        after = songs[-1]


def _carry(database: Database, run_id: int, songs: list[str]) -> None:
    """Send some songs' edits through the way back; where a busy song keeps the others, one by one."""
    with database.transaction() as transaction:
        if not transaction.one("mirror_back_parts.is_of_run", run_id=run_id)["found"]:
            return
        transaction.run("mirror_back_parts.take_late", run_id=run_id, songs=songs)
    if len(songs) > 1:
        with database.transaction() as transaction:
            left = transaction.all("mirror_back_parts.list_busy", songs=songs)
        for row in left:
            _carry(database, run_id, [row["song"]])
