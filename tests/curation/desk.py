"""What tests of curation do again and again."""

import uuid
from dataclasses import dataclass, field
from typing import Any

import psycopg

from service.curation import acts, reading
from service.curation.tag import CuratedTag, Curator, Done
from sql.database import Database

#: Songs without themes are for people to tag; Zest is in no vocabulary.
THEMES = {
    1: ["Hope", "Xmas"],
    2: ["hope", "Joy"],
    3: ["Joy", "Our Theme", "Zest"],
    4: ["Xmas", "Joy"],
    8: None,
    9: None,
}


def tag_id(desk: "Desk", name: str) -> str:
    """Return the id of a tag by its normal form."""
    (found,) = desk.connection.execute("SELECT id::text FROM tags WHERE normalized_name = %s", [name]).fetchall()
    return str(found[0])


def song(number: int) -> str:
    """Return a song's id."""
    return str(uuid.UUID(int=number))


#: Everything that acts write; what only a migration writes is in other tests' databases.
_TABLES = """
    tags, song_tags, tag_synonyms, segue.banned_tags, segue.tag_redirects, segue.moderation_log, segue.merged_links,
    segue.api_tokens, segue.outbox, segue.vocabulary, segue.decisions, segue.journal
"""


@dataclass
class Desk:
    """A curator's desk, and a connection of the application's beside it."""

    database: Database
    connection: psycopg.Connection
    curator: Curator = field(default_factory=lambda: Curator("public", "ada"))

    def clear(self) -> None:
        """Empty all tables, also the log, which refuses that as long as its trigger works."""
        self.connection.execute(
            f"SET session_replication_role = replica; TRUNCATE {_TABLES}; SET session_replication_role = origin"
        )

    def __getattr__(self, act: str) -> Any:
        """Do an act in a transaction of its own."""
        if act.startswith("_"):
            raise AttributeError(act)

        def run(*args: object, **kwargs: object) -> Done:
            with self.database.transaction() as transaction:
                return getattr(acts, act)(transaction, self.curator, *args, **kwargs)

        return run

    def make(self, name: str, *, links: tuple[int, ...] = (), **values: object) -> str:
        """Create a tag with links to songs of some numbers, and return its id."""
        tag_id = self.create(name, **values).tags[0].id
        self.link(tag_id, *links)
        return str(tag_id)

    def link(self, tag_id: str, *songs: int) -> None:
        """Link songs as the application does: the link and its count in one transaction."""
        for number in songs:
            with self.connection.transaction():
                self.connection.execute(
                    "INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s)", [song(number), tag_id]
                )
                self.connection.execute("UPDATE tags SET usage_count = usage_count + 1 WHERE id = %s", [tag_id])

    def unlink(self, tag_id: str, *songs: int) -> None:
        """Take links away as the application does."""
        for number in songs:
            with self.connection.transaction():
                gone = self.connection.execute(
                    "DELETE FROM song_tags WHERE song_id = %s AND tag_id = %s", [song(number), tag_id]
                ).rowcount
                self.connection.execute("UPDATE tags SET usage_count = usage_count - %s WHERE id = %s", [gone, tag_id])

    def tag(self, tag_id: str) -> CuratedTag:
        """Read a tag."""
        with self.database.transaction() as transaction:
            return reading.read_tag(transaction, "public", tag_id)

    def songs(self, tag_id: str) -> list[int]:
        """Return the numbers of the songs that have a tag."""
        rows = self.connection.execute("SELECT song_id FROM song_tags WHERE tag_id = %s ORDER BY 1", [tag_id])
        return [row[0].int for row in rows.fetchall()]

    @property
    def ours(self) -> str:
        """The id of the people's tag."""
        return tag_id(self, "our theme")

    def wrong_counts(self) -> list[tuple[Any, ...]]:
        """Return tags whose count is not the number of their links."""
        return self.connection.execute(
            "SELECT t.name, t.usage_count, n FROM tags t"
            " LEFT JOIN LATERAL (SELECT count(*) AS n FROM song_tags l WHERE l.tag_id = t.id) c ON true WHERE usage_count <> n"
        ).fetchall()

    def orphans(self) -> int:
        """Return how many links lead to no tag."""
        query = "SELECT count(*) FROM song_tags l WHERE NOT EXISTS (SELECT FROM tags t WHERE t.id = l.tag_id)"
        return int(self.connection.execute(query).fetchone()[0])

    def state(self) -> dict[str, list[str]]:
        """Return every row of the tables that acts write, as text, but for the log and what belongs to it."""
        tables = ("tags", "song_tags", "tag_synonyms", "segue.tag_redirects", "segue.banned_tags", "segue.decisions")
        return {
            table: [row[0] for row in self.connection.execute(f"SELECT t::text FROM {table} t ORDER BY 1").fetchall()]
            for table in tables
        }
