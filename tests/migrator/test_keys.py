"""Encryption of tokens, and bringing them under a newer key."""

import base64
import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import UsageError
from migrator.stop import StopSignal
from migrator.token_keys import VARIABLE, TokenKey, TokenKeys, UndecryptableToken
from migrator.token_rotation import rotate
from sql.database import Database
from tests.conftest import Command

OLD, NEW, FOREIGN = TokenKey("old", bytes(range(64))), TokenKey("new", bytes(range(64, 128))), TokenKey.fresh()
COLUMNS = ("access_token", "refresh_token")
TOKEN = "BQD-secret-token"


def ring(*keys: TokenKey) -> TokenKeys:
    """Return keys as an operator would give them."""
    parsed = TokenKeys.parse(" ".join(key.text for key in keys))
    assert parsed is not None
    return parsed


@given(st.text(), st.text(min_size=1), st.sampled_from(COLUMNS))
def test_what_is_encrypted_decrypts(token: str, user_id: str, column: str) -> None:
    """Any token comes back, the same every time, in one printable word that says its key and not itself."""
    keys = ring(NEW, OLD)
    envelope = keys.encrypt(user_id, column, token)

    assert keys.decrypt(user_id, column, envelope) == token
    assert keys.encrypt(user_id, column, token) == envelope
    assert envelope.isascii()
    assert envelope.startswith("v1.new.")
    assert ring(OLD, NEW).decrypt(user_id, column, envelope) == token
    assert len(token) < 8 or token not in envelope


@given(st.binary(max_size=80).map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_lone_surrogates_neither_fail_nor_leak(token: str) -> None:
    """A token that is no Unicode text is encrypted too: an error would carry it."""
    keys = ring(NEW)

    assert keys.decrypt("u", "access_token", keys.encrypt("u", "access_token", token)) == token


@pytest.mark.parametrize(
    ("user_id", "column", "change"),
    [
        ("bob", "access_token", str),
        ("alice", "refresh_token", str),
        ("alice", "access_token", lambda text: text[:-1] + ("A" if text[-1] != "A" else "B")),
        ("alice", "access_token", lambda text: text[: text.rindex(".") + 1]),
        ("alice", "access_token", lambda text: text.replace("v1.new", "v1.old")),
        ("alice", "access_token", lambda text: text.replace("v1", "v2")),
        ("alice", "access_token", lambda text: text + "!"),
        ("alice", "access_token", lambda _: TOKEN),
        ("alice", "access_token", lambda _: ""),
    ],
)
def test_a_moved_or_changed_token_does_not_decrypt(user_id: str, column: str, change: Any) -> None:
    """An envelope opens for its own user, column and key only, and whole."""
    keys = ring(NEW, OLD)

    with pytest.raises(UndecryptableToken) as failed:
        keys.decrypt(user_id, column, change(keys.encrypt("alice", "access_token", TOKEN)))
    assert TOKEN not in str(failed.value)


@given(st.data())
def test_no_single_bit_can_be_changed(data: st.DataObject) -> None:
    """Every flipped bit of what was sealed is noticed."""
    keys = ring(NEW)
    head, _, body = keys.encrypt("alice", "access_token", TOKEN).rpartition(".")
    sealed = bytearray(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(UndecryptableToken):
        keys.decrypt("alice", "access_token", f"{head}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}")


def test_keys_are_read_in_every_form() -> None:
    """Named and plain, both alphabets, padded or not, by commas and white space; the first encrypts."""
    raw = b"\xfb\xef\xff" * 21 + b"x"
    plain, url = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw[:32]).decode().rstrip("=")
    keys = TokenKeys.parse(f" k-1:{plain},\n{url}\t{OLD.text} ")
    assert keys is not None

    for item in (f"k-1:{plain}", url, OLD.text):
        own = TokenKeys.parse(item)
        assert own is not None
        assert keys.decrypt("u", "access_token", own.encrypt("u", "access_token", TOKEN)) == TOKEN
    assert keys.newest_id == "k-1"
    assert keys.needs_rotation(ring(OLD).encrypt("u", "access_token", TOKEN))
    assert not keys.needs_rotation(keys.encrypt("u", "access_token", TOKEN))
    assert TokenKeys.from_environment({}) is None
    assert TokenKeys.from_environment({VARIABLE: " , \n"}) is None


SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"id:{SECRET}",
        f"bad id?:{SECRET}",
        f":{SECRET}",
        f"a.b:{SECRET}",
        f"{SECRET}!",
        f"{SECRET}€",
        f"{OLD.text},{OLD.text}",
        f"{OLD.text},,{SECRET}",
        f"{'x' * 33}:{base64.b64encode(bytes(64)).decode()}",
        SECRET * 50,
    ],
)
def test_malformed_keys_are_refused_without_showing_them(segue: Command, text: str) -> None:
    """The error says which key and what is wrong (exit 2), and nothing of the key."""
    with pytest.raises(UsageError):
        TokenKeys.parse(text)
    result = segue("keys", "rotate", "--json", env={VARIABLE: text})

    assert result.code == 2
    said = result.stdout + result.stderr
    assert VARIABLE in said
    assert SECRET[:6] not in said
    assert OLD.text[4:14] not in said


def test_a_fresh_key_is_one_word_on_stdout(segue: Command) -> None:
    """`segue keys new` can stand inside $(…); each key is another, and its repr does not show it."""
    first, second = segue("keys", "new"), segue("keys", "new")

    assert first.code == 0
    assert first.stdout != second.stdout
    assert len(first.stdout.split()) == 1
    assert VARIABLE in first.stderr
    assert first.stdout.strip() not in first.stderr
    assert TokenKeys.parse(first.stdout) is not None
    assert TokenKey.fresh().text.split(":")[1] not in repr(TokenKey.fresh())


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The test's database as the program sees it."""
    opened = Database(database_url)
    yield opened
    opened.close()


def store(
    connection: psycopg.Connection[Any], keys: TokenKeys, names: list[str], *, run_id: int | None = 7
) -> dict[str, str]:
    """Store tokens of users, encrypted, and return the users' ids by name."""
    ids = {}
    for name in names:
        ids[name] = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
        connection.execute("INSERT INTO users (id, spotify_id, run_id) VALUES (%s, %s, %s)", [ids[name], name, run_id])
        refresh = keys.encrypt(name, "refresh_token", f"{TOKEN}-r-{name}") if len(name) % 2 else None
        connection.execute(
            "INSERT INTO spotify_tokens (user_id, access_token, refresh_token, key_id, expires_at, updated_at, run_id)"
            " VALUES (%s, %s, %s, %s, '2026-01-02 03:04:05Z', '2025-01-02 03:04:05Z', %s)",
            [ids[name], keys.encrypt(name, "access_token", f"{TOKEN}-a-{name}"), refresh, keys.newest_id, run_id],
        )
    return ids


def read(connection: psycopg.Connection[Any], keys: TokenKeys) -> dict[str, tuple[str, str | None]]:
    """Return the tokens in the clear, by user's name."""
    rows = connection.execute(
        "SELECT spotify_id, access_token, refresh_token FROM spotify_tokens JOIN users ON users.id = user_id"
    ).fetchall()
    return {
        name: (keys.decrypt(name, "access_token", a), r and keys.decrypt(name, "refresh_token", r))
        for name, a, r in rows
    }


REST = "SELECT user_id, expires_at, updated_at, run_id FROM spotify_tokens ORDER BY 1"


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 100])
def test_rotation_brings_every_row_under_the_newest_key(
    connection: psycopg.Connection[Any], database: Database, batch_rows: int
) -> None:
    """Afterwards the newest key alone reads everything, nothing else of a row has changed, and a second one is idle."""
    store(connection, ring(OLD), ["a", "bb", "ccc", "dddd"])
    store(connection, ring(NEW), ["e", "ff"], run_id=None)
    before, rest = read(connection, ring(NEW, OLD)), connection.execute(REST).fetchall()

    done = rotate(database, "public", ring(NEW, OLD), StopSignal(), batch_rows=batch_rows)
    again = rotate(database, "public", ring(NEW, OLD), StopSignal(), batch_rows=batch_rows)

    assert (done.rotated, done.already, done.undecryptable, done.users) == (4, 2, 0, [])
    assert (again.rotated, again.already) == (0, 6)
    assert read(connection, ring(NEW)) == before
    assert connection.execute(REST).fetchall() == rest
    assert connection.execute("SELECT DISTINCT key_id FROM spotify_tokens").fetchall() == [("new",)]


def test_rows_that_no_key_opens_stay_and_are_named(connection: psycopg.Connection[Any], segue: Command) -> None:
    """Exit 3 names them by users.id; every other row is rotated; no token or key is printed."""
    ids = store(connection, ring(FOREIGN), ["lost"]) | store(connection, ring(OLD), ["kept"])
    stored = connection.execute("SELECT t::text FROM spotify_tokens t WHERE user_id = %s", [ids["lost"]]).fetchone()

    env = {VARIABLE: f"{NEW.text} {OLD.text}"}
    result = segue("keys", "rotate", "--json", env=env)
    shown = segue("keys", "rotate", env=env)

    assert result.code == shown.code == 3
    assert result.json == {
        "key_id": "new",
        "rotated": 1,
        "already": 0,
        "undecryptable": 1,
        "users": [ids["lost"]],
        "journal": {"rotated": 0, "undecryptable": 0},
    }
    assert ids["lost"] in shown.stdout
    left = connection.execute("SELECT t::text FROM spotify_tokens t WHERE user_id = %s", [ids["lost"]]).fetchone()
    assert left == stored
    for secret in (TOKEN, NEW.text[4:], OLD.text[4:], "v1."):
        assert secret not in result.stdout + result.stderr + shown.stdout + shown.stderr


def test_without_a_key_it_refuses(segue: Command) -> None:
    """Exit 5, and the message names the variable."""
    result = segue("keys", "rotate", "--json")

    assert result.code == 5
    assert VARIABLE in result.json["error"]


def test_the_journals_images_follow(connection: psycopg.Connection[Any], database: Database) -> None:
    """A row that equalled its image still does, and what a rollback puts back opens with the newest key alone."""
    ids = store(connection, ring(OLD), ["alice"])
    connection.execute(
        "INSERT INTO segue.journal (run_id, table_name, key, kind, before, after)"
        " SELECT 7, 'spotify_tokens', user_id::text, 'changed',"
        "  to_jsonb(t) || jsonb_build_object('access_token', %s::text, 'refresh_token', NULL), to_jsonb(t)"
        " FROM spotify_tokens t",
        [ring(OLD).encrypt("alice", "access_token", "before")],
    )
    lost = {"user_id": str(uuid.uuid4()), "access_token": ring(OLD).encrypt("gone", "access_token", "x")}
    connection.execute(
        "INSERT INTO segue.journal (run_id, table_name, key, kind, before) VALUES (7, 'spotify_tokens', 'k', 'changed', %s)",
        [json.dumps(lost)],
    )

    done = rotate(database, "public", ring(NEW, OLD), StopSignal())

    assert (done.images_rotated, done.images_undecryptable) == (1, 1)
    assert done.users == [lost["user_id"]]
    assert not done.is_complete
    before, equal = connection.execute(
        "SELECT before, after = to_jsonb(t) FROM segue.journal, spotify_tokens t WHERE key = %s", [ids["alice"]]
    ).fetchone() or ({}, False)
    assert equal
    assert before["key_id"] == "new"
    assert before["refresh_token"] is None
    assert ring(NEW).decrypt("alice", "access_token", before["access_token"]) == "before"


@pytest.mark.parametrize(
    "point", ["before:tokens.save_batch", "after:tokens.save_batch", "before:commit", "after:commit#3"]
)
def test_a_killed_rotation_loses_nothing(connection: psycopg.Connection[Any], segue_process: Any, point: str) -> None:
    """Killed at any step, every token is under one of the keys; called again, it ends as if nothing had happened."""
    store(connection, ring(OLD), ["a", "bb", "ccc"])
    before = read(connection, ring(OLD))
    env = {VARIABLE: f"{NEW.text},{OLD.text}"}

    killed = segue_process("keys", "rotate", env={**env, "SEGUE_FAILPOINT": point})
    killed.communicate(timeout=60)
    between = read(connection, ring(NEW, OLD))
    finished = segue_process("keys", "rotate", "--json", env=env)
    out, _ = finished.communicate(timeout=60)

    assert killed.returncode == -9
    assert before == between
    assert finished.returncode == 0
    counts = json.loads(out.splitlines()[-1])
    assert counts["rotated"] + counts["already"] == 3
    assert read(connection, ring(NEW)) == before


def test_rotation_waits_for_a_writer_and_does_not_overwrite_it(
    connection: psycopg.Connection[Any], database_url: str, database: Database
) -> None:
    """A token that the application is replacing is rotated as the application left it."""
    ids = store(connection, ring(OLD), ["alice"])
    fresh = ring(OLD).encrypt("alice", "access_token", "fresh")
    with psycopg.connect(database_url) as other:
        other.execute("UPDATE spotify_tokens SET access_token = %s WHERE user_id = %s", [fresh, ids["alice"]])
        import threading

        results: list[Any] = []
        thread = threading.Thread(
            target=lambda: results.append(rotate(database, "public", ring(NEW, OLD), StopSignal()))
        )
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        other.commit()
        thread.join(30)

    assert results[0].rotated == 1
    assert read(connection, ring(NEW))["alice"][0] == "fresh"


def test_environment_is_clean() -> None:
    """The suite does not run under a developer's own key."""
    assert VARIABLE not in os.environ
