"""The one table of where personal data is. A test compares it with the database: every table must be in it.

A row is about a user when its condition in sql/queries/users.sql (`of_...`) holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql as psql

from sql.database import Transaction, compose

#: Columns that no export shows, encrypted or not.
TOKENS = ("access_token", "refresh_token")


@dataclass(frozen=True)
class PersonalTable:
    """A table with rows about people.

    Attributes:
        name: `segue.NAME` in the operational schema, else the application's.
        whose: the condition that finds a user's rows, without `of_`.
        order: columns that sort an export.
        erased: the statement that erases them.
        anonymized: the statement that leaves them without a person; None when nothing of them may stay.
        column: where `whose` is `author`: the column with the author's id.
        exported: the query that exports them.
    """

    name: str
    whose: str
    order: tuple[str, ...]
    erased: str = "delete_rows"
    anonymized: str | None = None
    column: str = "id"
    exported: str = "export_rows"

    def identifier(self, schema: str) -> psql.Identifier:
        """Return the table's quoted name."""
        first, _, rest = self.name.partition(".")
        return psql.Identifier(first, rest) if rest else psql.Identifier(schema, first)

    def fragments(self, schema: str) -> dict[str, psql.Composable]:
        """Return what the queries of sql/queries/users.sql need for this table."""
        names = {**application_names(schema), "table": self.identifier(schema), "column": psql.Identifier(self.column)}
        order = psql.SQL(", ").join(psql.Identifier("whose", column) for column in self.order)
        return {**names, "condition": compose(f"users.of_{self.whose}", names), "order": order}


#: In the order of erasure: what refers to a row comes before it, and what finds rows by others' comes before those.
PERSONAL = (
    PersonalTable("segue.journal", "journal", ("run_id", "table_name", "kind", "key"), exported="export_journal"),
    PersonalTable("segue.quarantine", "quarantine", ("run_id", "key", "ordinal")),
    PersonalTable("segue.notes", "file", ("run_id", "path", "ordinal")),
    PersonalTable("segue.files", "file", ("run_id", "path"), erased="mask_files", anonymized="mask_files"),
    PersonalTable(
        "segue.merged_links",
        "linker",
        ("log_id", "song_id"),
        erased="clear_linker",
        anonymized="clear_linker",
    ),
    PersonalTable("background_jobs", "mention", ("id",)),
    PersonalTable("tags", "author", ("id",), erased="clear_author", anonymized="clear_author", column="created_by"),
    PersonalTable(
        "song_tags",
        "author",
        ("song_id", "tag_id"),
        erased="clear_author",
        anonymized="clear_author",
        column="added_by",
    ),
    PersonalTable("spotify_tokens", "user", ("user_id",)),
    PersonalTable("recommendation_feedback", "feedback", ("id",)),
    PersonalTable("recommendations", "session", ("session_id", "rank", "id")),
    PersonalTable("recommendation_sessions", "user", ("id",)),
    PersonalTable("generated_insights", "user", ("id",)),
    PersonalTable("listening_snapshots", "user", ("snapshot_date", "time_range"), anonymized="give_keyed_rows"),
    PersonalTable("user_listening_history", "user", ("listened_at", "track_id"), anonymized="give_plays"),
    PersonalTable("user_top_tracks", "user", ("time_range", "rank", "track_id"), anonymized="give_rows"),
    PersonalTable("user_top_artists", "user", ("time_range", "rank", "artist_id"), anonymized="give_rows"),
    PersonalTable("user_saved_tracks", "user", ("saved_at", "track_id"), anonymized="give_rows"),
    # Its rows follow their playlist: `give_playlists` takes them along before what is left is deleted.
    PersonalTable("playlist_tracks", "playlist", ("playlist_id", "position", "track_id"), anonymized="give_playlists"),
    PersonalTable("playlists", "user", ("id",)),
    PersonalTable("users", "self", ("id",)),
)

#: Every other table, and why nothing in it is about a user of the application.
IMPERSONAL: Mapping[str, str] = {
    "albums": "the shared catalog",
    "artists": "the shared catalog",
    "audio_features": "the shared catalog",
    "tag_synonyms": "words",
    "track_albums": "the shared catalog",
    "track_artists": "the shared catalog",
    "tracks": "the shared catalog",
    "segue.alembic_version": "the schema's revision",
    "segue.api_tokens": "hashes; names and actors are operators",
    "segue.banned_tags": "words; its actor is a curator",
    "segue.changes": "keys of tags and songs, for a while",
    "segue.cleanup_changes": "keys of songs, until the cleanup has taken them in",
    "segue.cleanups": "names and definitions of columns",
    "segue.decisions": "words; its actor is an operator",
    "segue.erasure_key": "a random value",
    "segue.erasures": "keyed hashes of erased users, kept so that they stay erased",
    "segue.events": "counts and states; its actor is an operator; append-only, so nothing personal may enter",
    "segue.jobs": "its people are operators; an error or a report may name a file or row, which an erasure masks",
    "segue.job_workers": "which processes wait for jobs",
    "segue.migrations": "names of migrations and of their options",
    "segue.moderation_log": "words; its actor is a curator, and it leaves out who had made a tag; append-only",
    "segue.outbox": "keys of tags and songs, for a moment",
    "segue.mirror_pending": "keys of songs, inside a transaction",
    "segue.mirror_late": "keys of songs, until the next command",
    "segue.mirror_texts": "theme texts, inside a transaction",
    "segue.mirror_words": "tag names, inside a transaction",
    "segue.mirror_back_pending": "keys of songs, inside a transaction",
    "segue.mirror_edits": "keys of songs and tags that people have linked",
    "segue.partitions": "boundaries are paths, which an erasure moves to another file's",
    "segue.relay": "which process relays",
    "segue.runs": "an error or a conflict may name a file or row, which an erasure masks",
    "segue.tables": "names of tables",
    "segue.tag_redirects": "ids of tags",
    "segue.vocabulary": "words",
    "segue.workers": "which processes work on a run",
}


def application_names(schema: str) -> dict[str, psql.Composable]:
    """Return the quoted names of the application's tables with personal data."""
    return {table.name: table.identifier(schema) for table in PERSONAL if not table.name.startswith("segue.")}


def personal_tables(transaction: Transaction) -> list[PersonalTable]:
    """Return PERSONAL, and the archives that exist, which hold rows of any shape."""
    archives = [
        PersonalTable(f"segue.{row['name']}", "mention", ("ctid",)) for row in transaction.all("users.list_archives")
    ]
    return [*archives, *PERSONAL]
