"""The list of tables with personal data, and how a person is found in them."""

from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.personal_data.subject import mention, word
from migrator.personal_data.tables import IMPERSONAL, PERSONAL
from tests.conftest import Command
from tests.migrator.people import ALICE, Connection, fill

#: Names of columns that say whose a row is, or hold somebody's words.
TELLING = ("user", "spotify", "email", "display", "owner", "author", "created_by", "added_by", "moderator", "playlist_id",
           "session_id", "payload", "before", "path", "token")  # fmt: skip

#: Such columns of tables that hold nothing about a user all the same.
HARMLESS = {
    "segue.partitions": {"lease_token"},
    "segue.runs": {"lease_token"},
    "segue.workers": {"token"},
    "segue.job_workers": {"token"},
    "segue.jobs": {"lease_token"},
    "segue.api_tokens": {"token_hash", "created_by"},
    "segue.moderation_log": {"before"},
}


def unlisted(connection: Connection) -> set[str]:
    """Return tables that are in neither list, and tables listed as impersonal that a column or key says are not."""
    listed = {table.name for table in PERSONAL}
    owned = {table.name for table in PERSONAL if table.erased == "delete_rows"}
    wrong = set()
    for schema, table, columns, refers in connection.execute(
        "SELECT n.nspname, c.relname, (SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),"
        " (SELECT array_agg(confrelid::regclass::text) FROM pg_constraint WHERE conrelid = c.oid AND contype = 'f')"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p') AND nspname IN ('public', 'segue')"
    ).fetchall():
        name = table if schema == "public" else f"segue.{table}"
        if name in listed or name.startswith("segue.archive_"):
            continue
        telling = {column for column in columns or () if any(part in column for part in TELLING)} - HARMLESS.get(
            name, set()
        )
        if name not in IMPERSONAL or telling or set(refers or ()) & owned:
            wrong.add(name)
    return wrong


def test_every_table_is_in_the_list(connection: Connection) -> None:
    """Each table of the database is listed as personal or, with a reason, as not; and nothing else is listed."""
    assert unlisted(connection) == set()
    names = {
        row[0]
        for row in connection.execute(
            "SELECT CASE schemaname WHEN 'public' THEN '' ELSE 'segue.' END || tablename FROM pg_tables WHERE schemaname IN ('public', 'segue')"
        )
    }
    assert {table.name for table in PERSONAL} | set(IMPERSONAL) == names
    assert not {table.name for table in PERSONAL} & set(IMPERSONAL)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE diaries (id int, user_id uuid)",
        "CREATE TABLE segue.hints (path text)",
        "CREATE TABLE numbers (id int)",
        "ALTER TABLE tracks ADD COLUMN owner_id uuid",
        "ALTER TABLE albums ADD COLUMN of uuid REFERENCES users",
        "ALTER TABLE segue.decisions ADD COLUMN email text",
    ],
)
def test_a_new_place_for_personal_data_is_noticed(connection: Connection, statement: str) -> None:
    """The comparison above fails for a table or column that nobody has listed."""
    connection.execute(statement)

    assert len(unlisted(connection)) == 1


def test_every_foreign_key_to_a_person_is_followed(connection: Connection, segue: Command) -> None:
    """No personal table is emptied by a cascade: each is counted, so each has its own condition."""
    fill(connection, *ALICE)
    result = segue("users", "erase", ALICE[0], "--yes", "--json")

    assert {table.name for table in PERSONAL} <= set(result.json["rows"])
    assert result.json["rows"]["playlist_tracks"] == 2


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(NAMES, NAMES)
def test_a_name_is_found_as_a_whole_word_only(server: Any, name: str, other: str) -> None:
    """A JSON text that holds the name as a string is found by it, whatever its characters; the expression is valid."""
    with psycopg.connect(server.url("postgres")) as connection:
        row = connection.execute(
            "SELECT jsonb_build_object('a', %s::text)::text ~ %s, jsonb_build_object('a', %s::text)::text ~ %s, 'x' ~ %s",
            [name, mention([name]), "x" + name + "x", mention([name]), word([name, "0123"])],
        ).fetchone()
    assert row is not None
    if name[0].isalnum() and name[-1].isalnum():
        assert row[:2] == (True, False)


@pytest.mark.parametrize("text", ["alice.b", "alice2", "alice@example.org", "x-alice", "alice_b"])
def test_a_longer_name_is_another_one(connection: Connection, text: str) -> None:
    """Ids that only begin or end with the name are other people's."""
    ((is_other, is_own),) = connection.execute(
        "SELECT %s ~ %s, %s ~ %s", [text, word(["alice"]), f"{text}: alice.", word(["alice"])]
    )
    assert not is_other
    assert is_own
