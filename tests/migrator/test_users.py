"""Erasing what is stored about one person."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from migrator.erasures import ERASED_PATH, erased, hold, masking
from migrator.personal_data.tables import PERSONAL
from sql.database import Database
from tests.conftest import Command, dump
from tests.migrator.people import ALICE, BOB, CASES, TOKEN, Connection, fill, found, operational, start_run


@pytest.mark.parametrize("mode", ["erase", "anonymize"])
@pytest.mark.parametrize("person", CASES.values(), ids=CASES)
@pytest.mark.parametrize("by", ["spotify id", "users.id"])
def test_nothing_of_an_erased_person_is_left(
    connection: Connection, segue: Command, mode: str, person: tuple[str, str, str], by: str
) -> None:
    """No row of any table of any schema holds id, address or name; a bystander's rows are as they were."""
    fill(connection, *BOB)
    bystander = dump(connection, schemas=("public", "segue"))
    user = fill(connection, *person)
    start_run(connection, [f"users/{person[0]}/data"])
    assert {table for table, _ in found(connection, *person)} > {
        "public.users",
        "segue.journal",
        "segue.archive_sessions",
    }

    flags = ["--anonymize"] if mode == "anonymize" else []
    result = segue("users", "erase", person[0] if by == "spotify id" else user, "--yes", "--json", *flags)

    assert result.code == 0
    assert result.json["mode"] == mode
    assert (
        found(connection, person[0], person[1], person[2], user, json.dumps(person[2], ensure_ascii=False)[1:-1]) == []
    )
    assert sorted(found(connection, TOKEN)) == [("public.spotify_tokens", TOKEN), ("segue.journal", TOKEN)]  # Bob's
    after = dump(connection, schemas=("public", "segue"))
    for table, image in bystander.items():
        if table not in ("segue.runs", "segue.erasure_key", "sequences"):
            assert set(image["rows"]) <= set(after[table]["rows"]), table
    event = connection.execute("SELECT run_id, kind, detail FROM segue.events").fetchall()
    assert event == [(None, "user_erased", {"mode": mode, "rows": result.json["rows"]})]
    assert not {text for text in (*person, user) if text in result.stdout + result.stderr}


def test_what_anonymize_keeps_has_no_way_back(connection: Connection, segue: Command) -> None:
    """Plays, lists and snapshots stay under a random user; ids, provenance, names and playlist ids do not."""
    user = fill(connection, *ALICE, plays=30)
    ids = {
        table: {str(row[0]) for row in connection.execute(f"SELECT id FROM {table}")}
        for table in ("user_listening_history", "playlists", "listening_snapshots", "users")
    }
    listened = "SELECT track_id, listened_at, context_type FROM user_listening_history ORDER BY 2"
    before = connection.execute(listened).fetchall()

    assert segue("users", "erase", ALICE[0], "--anonymize", "--yes").code == 0

    assert connection.execute(listened).fetchall() == before
    ((new, name, *rest),) = connection.execute(
        "SELECT id, spotify_id, display_name, email, country, run_id FROM users"
    ).fetchall()
    assert str(new) != user
    assert name.startswith(ERASED_PATH)
    assert rest == [None, None, None, None]
    for table, old in ids.items():
        kept = {str(row[0]) for row in connection.execute(f"SELECT id FROM {table}")}
        assert len(kept) == len(old), table
        assert not kept & old, table
    for table in (
        "user_listening_history",
        "user_top_tracks",
        "user_top_artists",
        "user_saved_tracks",
        "listening_snapshots",
        "playlists",
    ):
        assert connection.execute(f"SELECT DISTINCT user_id, run_id FROM {table}").fetchall() == [(new, None)], table
    assert connection.execute(
        "SELECT DISTINCT context_type FROM user_listening_history WHERE context_id IS NOT NULL"
    ).fetchall() == [("album",)]
    assert connection.execute("SELECT name, description, spotify_playlist_id FROM playlists").fetchall() == [
        ("playlist", None, None)
    ]
    assert connection.execute("SELECT track_id, position FROM playlist_tracks ORDER BY 2").fetchall() == [
        ("t1", 0),
        ("t2", 1),
    ]
    for table in (
        "spotify_tokens",
        "recommendation_sessions",
        "recommendations",
        "recommendation_feedback",
        "generated_insights",
        "background_jobs",
    ):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_shared_rows_stay(connection: Connection, segue: Command) -> None:
    """Tracks and artists are not a person's; a tag that they made stays without them."""
    fill(connection, *ALICE)
    assert segue("users", "erase", ALICE[0], "--yes").code == 0

    assert connection.execute("SELECT count(*) FROM tracks").fetchone() == (3,)
    assert connection.execute("SELECT count(*) FROM artists").fetchone() == (1,)
    assert connection.execute("SELECT created_by FROM tags").fetchall() == [(None,)]
    assert connection.execute("SELECT added_by FROM song_tags").fetchall() == [(None,)]


def test_a_dry_run_counts_and_changes_nothing(connection: Connection, segue: Command) -> None:
    """What it says is what the erasure then says; sequences stay too."""
    fill(connection, *ALICE)
    start_run(connection, [f"users/{ALICE[0]}/data"])
    before = dump(connection, schemas=("public", "segue"))

    rehearsed = segue("users", "erase", ALICE[0], "--dry-run", "--json")
    assert dump(connection, schemas=("public", "segue")) == before
    done = segue("users", "erase", ALICE[0], "--yes", "--json")

    assert rehearsed.code == 0
    assert rehearsed.json["rows"] == done.json["rows"]
    assert rehearsed.json["dry_run"]
    assert set(done.json["rows"]) == {
        "segue.runs",
        "segue.jobs",
        "segue.archive_sessions",
        *(table.name for table in PERSONAL),
    }


def test_it_asks_before_it_erases(connection: Connection, segue: Command, snapshot: Callable[..., Any]) -> None:
    """Without --yes and without a terminal it refuses (5)."""
    fill(connection, *ALICE)
    before = snapshot("public", "segue")
    result = segue("users", "erase", ALICE[0], "--json")

    assert result.code == 5
    assert "--yes" in result.json["error"]
    assert snapshot("public", "segue") == before


@pytest.mark.parametrize("verb", [("export",), ("erase", "--yes")], ids=["export", "erase"])
def test_an_unknown_user_is_a_usage_error(connection: Connection, segue: Command, verb: tuple[str, ...]) -> None:
    """Exit 2; other users are not suggested, and an e-mail address is not repeated."""
    fill(connection, *ALICE)

    for name in ("alice.wonde", "%", ".*", str(uuid.uuid4()), "", " ", "calm", "short_term", "Alice Liddell"):
        result = segue("users", *verb, name, "--json")
        assert (name, result.code) == (name, 2)
        assert ALICE[0] not in result.stdout + result.stderr
    assert found(connection, ALICE[0])
    result = segue("users", *verb, ALICE[1], "--json")
    assert result.code == 2
    assert ALICE[1] not in result.stdout + result.stderr


def test_erasing_twice_says_so(connection: Connection, segue: Command) -> None:
    """The second time nothing is done; what has come since is erased again."""
    fill(connection, *ALICE)
    segue("users", "erase", ALICE[0], "--yes")
    before = dump(connection, schemas=("public", "segue"))

    again = segue("users", "erase", ALICE[0], "--yes", "--json")
    assert again.code == 0
    assert again.json["was_erased"]
    assert again.json["rows"] == {}
    after = dump(connection, schemas=("public", "segue"))
    assert {name for name in after if after[name] != before[name]} == {"segue.erasure_key"}

    connection.execute("INSERT INTO users (spotify_id) VALUES (%s)", [ALICE[0]])
    back = segue("users", "erase", ALICE[0], "--yes", "--json")
    assert back.json["rows"] == {"users": 1}
    assert not back.json["was_erased"]


def test_somebody_known_from_files_alone_is_erased(connection: Connection, segue: Command) -> None:
    """A user whose rows were rolled back, or who was never imported, is still in the operational tables."""
    user = str(connection.execute("SELECT segue.row_id('user', %s)", [ALICE[0]]).fetchone()[0])  # type: ignore[index]
    operational(connection, ALICE[0], user, str(uuid.uuid4()), ALICE[1], ALICE[2])
    connection.execute("DELETE FROM segue.journal WHERE table_name LIKE 'playlist%'")

    result = segue("users", "erase", ALICE[0], "--yes", "--json")

    assert result.code == 0
    assert found(connection, *ALICE, user) == []


@pytest.mark.parametrize("flags", [[], ["--anonymize"]], ids=["erase", "anonymize"])
def test_files_are_kept_for_the_accounting_and_known_again(
    connection: Connection, database_url: str, segue: Command, flags: list[str]
) -> None:
    """A file's row stays, with outcome erased and a pseudonym that only this database can compute; later runs know both."""
    fill(connection, *ALICE)
    fill(connection, *BOB)
    database = Database(database_url)
    with database.transaction() as transaction:
        assert erased(transaction, [ALICE[0], BOB[0]]) == set()
        assert hold(transaction) is None
        assert masking(transaction)(f"users/{ALICE[0]}/data") == f"users/{ALICE[0]}/data"

    assert segue("users", "erase", ALICE[0], "--yes", *flags).code == 0

    with database.transaction() as transaction:
        assert erased(transaction, [ALICE[0], BOB[0], "carol"]) == {ALICE[0]}
        key = hold(transaction)
        mask = masking(transaction)
    database.close()
    assert key is not None
    rows = connection.execute(
        "SELECT path, user_id, size, mtime_ns, reason, elements, linked, due_rows FROM segue.files WHERE outcome = 'erased' ORDER BY 1"
    ).fetchall()
    paths = sorted(key.pseudonym_of(path) for path in (f"users/{ALICE[0]}/data", f"0{ALICE[0]}"))
    assert rows == [(path, None, 0, 0, None, 0, 0, 0) for path in paths]
    assert sorted(map(mask, (f"users/{ALICE[0]}/data", f"0{ALICE[0]}"))) == paths
    assert mask("users/bob/data") == "users/bob/data"
    assert connection.execute("SELECT count(*) FROM segue.files WHERE user_id = 'bob'").fetchone() == (2,)


def test_boundaries_still_cut_the_files_in_the_same_way(connection: Connection, segue: Command) -> None:
    """Partition boundaries that were the person's paths become others' that separate the same files."""
    fill(connection, *ALICE)
    for name in ("aa", "mm", "zz"):
        connection.execute(
            "INSERT INTO segue.files (run_id, path, size, mtime_ns, user_id, outcome) VALUES (7, %s, 1, 1, %s, 'imported')",
            [f"users/{name}/data", name],
        )
    start_run(connection, [f"0{ALICE[0]}", f"users/{ALICE[0]}/data", "users/mm/data"])
    where = (
        "SELECT file.path, part.ordinal FROM segue.files AS file JOIN segue.partitions AS part"
        ' ON (after_key IS NULL OR path > after_key COLLATE "C") AND (upto_key IS NULL OR path <= upto_key COLLATE "C")'
        " WHERE file.user_id <> %s ORDER BY 1"
    )
    before = connection.execute(where, [ALICE[0]]).fetchall()

    assert segue("users", "erase", ALICE[0], "--yes").code == 0

    assert connection.execute(where, [ALICE[0]]).fetchall() == before
    ends = connection.execute("SELECT after_key, upto_key, cursor FROM segue.partitions ORDER BY ordinal").fetchall()
    assert ends == [
        (None, "", ""), ("", "users/aa/data", "users/aa/data"), ("users/aa/data", "users/mm/data", "users/mm/data"), ("users/mm/data", None, None),
    ]  # fmt: skip


def test_it_refuses_while_a_run_is_at_work(
    connection: Connection, segue: Command, snapshot: Callable[..., Any]
) -> None:
    """A live lease on a run that writes users' rows: exit 5, nothing changed; an expired one does not hinder."""
    fill(connection, *ALICE)
    start_run(connection, ["x"], status="migrating", migration="node-persist")
    connection.execute(
        "UPDATE segue.runs SET lease_token = gen_random_uuid(), lease_until = now() + interval '1 min', holder = 'me'"
    )
    before = snapshot("public", "segue")

    refused = segue("users", "erase", ALICE[0], "--yes", "--json")
    assert refused.code == 5
    assert "run 7" in refused.json["error"]
    assert snapshot("public", "segue") == before

    connection.execute("UPDATE segue.runs SET lease_until = now() - interval '1 min'")
    assert segue("users", "erase", ALICE[0], "--yes").code == 0


def test_an_import_that_asked_is_not_overtaken(connection: Connection, database_url: str, segue: Command) -> None:
    """From when a chunk asks who was erased until it ends, no erasure begins: it would miss what the chunk writes."""
    fill(connection, *ALICE)
    database = Database(database_url)
    with database.transaction() as transaction:
        assert erased(transaction, [ALICE[0]]) == set()
        with psycopg.connect(database_url) as other, pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SET lock_timeout = '50ms'; UPDATE segue.erasure_key SET erasures = 1")
    database.close()
    assert segue("users", "erase", ALICE[0], "--yes").code == 0
