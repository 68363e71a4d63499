"""Every query template of the import is valid SQL for every table that it is filled for."""

import re

import psycopg
import pytest
from psycopg import sql as psql

from migrator.node_persist.manifest import in_range
from migrator.node_persist.tables import BULK, OF_USERS, SHARED, TARGETS, staged_records, stored_records
from migrator.node_persist.templates import recording
from migrator.source import KeyRange
from sql import queries
from sql.database import compose

NAMES = {name: psql.Identifier("public", name) for name in TARGETS}
AREAS = ("stage", "node_persist", "node_persist_image", "references", "files", "guards")
#: Parts of other queries, and statements that PREPARE does not take.
PARTS = re.compile(
    r"stage\.(of_staged_users|merged)|node_persist\.of_staged_|node_persist_image\.(users_in_range|stored_records)|references\.(refers|hash_of_|run_of_row|is_as_written|record_written|user_without_file)"
)
UTILITIES = ("create", "copy", "truncate", "analyze", "alter", "drop", "{definition}")
#: Templates that only tables of users, or only shared tables, are filled into.
OF_USERS_ONLY = {
    "write_rows",
    "digest_of_stage",
    "stored_records",
    "find_row_differences",
    "forget_rows",
    "delete_doubles",
}
OF_SHARED_ONLY = {"merge_rows", "find_uncovered", "list_new", "keep_images", "keep_after_images", "restore_images"}


def general() -> dict[str, psql.Composable]:
    """Return the fragments that are the same for every table."""
    return {
        **NAMES,
        **in_range(KeyRange("a", "b")),
        **recording("users"),
        "id": psql.SQL("t.id"),
        "row_hash": compose("references.hash_of_users"),
        "records": staged_records(NAMES),
        "of_range": psql.SQL("true"),
        "on_conflict": psql.SQL("ON CONFLICT DO NOTHING"),
        "mine": psql.SQL("true"),
        "is_used": psql.SQL("true"),
        "is_edited": psql.SQL("true"),
        "target": NAMES["users"],
        "name": psql.Literal("public.users"),
        "grouped": psql.SQL("id, max(name) AS name"),
    }


def filled(name: str) -> list[dict[str, psql.Composable]]:
    """Return every way in which a template is filled."""
    verb = name.partition(".")[2]
    for table, name in (("playlists", "playlists"), ("tokens", "spotify_tokens")):
        if verb.endswith(table) and not verb.startswith("create"):
            return [{**general(), **recording(name)}]
    if verb in {"delete_referring", "delete_dangling"}:
        of_others = psql.SQL("r.run_id IS DISTINCT FROM %(run_id)s")
        more = {"referring": NAMES["playlists"], "column": psql.Identifier("user_id"), "of_others": of_others}
        return [{**general(), **more}]
    if verb == "count_quarantined":
        return [in_range(KeyRange("a", "b"), "key")]
    if verb in OF_USERS_ONLY:
        tables = BULK if verb == "forget_rows" else OF_USERS
        return [{**general(), **table.fragments(NAMES)} for table in tables]
    if verb in OF_SHARED_ONLY:
        return [{**general(), **table.fragments(NAMES)} for table in SHARED]
    return [general()]


def numbered(text: str) -> str:
    """Turn %(name)s into $1, $2, ... and %% into %."""
    names: dict[str, int] = {}
    text = re.sub(r"%\((\w+)\)s", lambda match: f"${names.setdefault(match[1], len(names) + 1)}", text)
    return text.replace("%%", "%")


@pytest.mark.system
def test_every_template_can_be_prepared_for_every_table(connection: psycopg.Connection) -> None:
    """PostgreSQL parses and plans each of them against the real catalog."""
    prepared = 0
    with connection.transaction(force_rollback=True):
        for name in ("stage.create_stage", "files.create_listing"):
            connection.execute(compose(name))
        for name in [f"{area}.{verb}" for area in AREAS for verb in queries(area)]:
            if PARTS.match(name) or queries(name.partition(".")[0])[name.partition(".")[2]].lower().startswith(
                UTILITIES
            ):
                continue
            for fragments in filled(name):
                text = numbered(compose(name, fragments).as_string(connection))
                result = connection.pgconn.prepare(f"query_{prepared}".encode(), text.encode())
                prepared += 1
                assert (name, b"") == (name, result.error_message)

    assert prepared > 80


@pytest.mark.system
def test_the_digests_of_what_is_staged_and_what_is_stored_have_the_same_types(connection: psycopg.Connection) -> None:
    """A record hashes by its columns' types, so equal rows hash alike only when both sides have the same."""
    with connection.transaction(force_rollback=True):
        connection.execute(compose("stage.create_stage"))
        connection.execute(compose("stage.digest_due", {"records": staged_records(NAMES)}))
        records = stored_records(NAMES, lambda _: psql.SQL("true"))
        connection.execute(compose("node_persist_image.digest_stored", {"records": records}), {"run_id": 1})
        # PostgreSQL refuses to compare two records of different column types.
        for table in OF_USERS:
            text = compose("node_persist_image.find_row_differences", table.fragments(NAMES)).as_string(connection)
            assert "record <> stored.record" in text
            connection.execute(text, {"run_id": 1, "most": 1})
