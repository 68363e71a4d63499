"""Tokens, e-mails and display names: only in the columns that are theirs, never in anything that is printed or reported."""

import base64
import json
import re

import psycopg
import pytest

from tests.node_persist.people import MADE, playlist, saved, track, user
from tests.node_persist.stores import write

KEY = base64.b64encode(b"k" * 32).decode()
EMAIL, NAME, ACCESS, REFRESH = (
    "private.person@mail.invalid",
    "Xaveria Quintessa",
    "BQD-access-secret",
    "AQC-refresh-secret",
)
SECRETS = (EMAIL, NAME, ACCESS, REFRESH)


def private(name: str, **more: object) -> dict[str, object]:
    """Return a user whose file holds secrets in every place that files have for them, and warts around them."""
    return user(
        name,
        profile={"id": f"{EMAIL}", "display_name": NAME, "email": EMAIL, "country": NAME, "product": 3},
        accessToken=ACCESS,
        tokens={"refresh_token": REFRESH, "expires_at": NAME},
        recentlyPlayed=[
            {"track": track("t1"), "played_at": NAME},
            {"track": track("t1"), "played_at": EMAIL, "context": ACCESS},
        ],
        savedTracks=[
            saved("t1", EMAIL),
            {"track": {"id": None, "name": NAME}},
            ACCESS,
            {"track": {"id": "t8", "name": [REFRESH]}},
        ],
        playlists=[
            playlist("p1", "t1", name="\0" + NAME),
            playlist("p2", "t1", tracks=REFRESH),
            playlist("p3", public=EMAIL),
        ],
        topTracks={"short_term": NAME, "long_term": [track("t2", popularity=EMAIL, duration_ms=ACCESS)]},
        topArtists=ACCESS,
        audioFeatures={"t2": {"energy": EMAIL}, "t3": ACCESS},
        **{"lastUpdated": NAME, **more},
    )


@pytest.fixture
def store(tmp_path):
    """A store with secrets in good, rival, damaged and foreign files."""
    store = tmp_path / "storage"
    write(store, 4, "ann", private("ann"))
    write(store, 4, "users/ann/data", private("ann", lastUpdated="2025-09-09T00:00:00Z"))
    for generation, cut in ((4, 1), (2, 9), (1, 300)):
        file = write(store, generation, f"cut{generation}", private(f"cut{generation}"))
        file.write_bytes(file.read_bytes()[:-cut])
    file = write(store, 4, "utf", private("utf"))
    file.write_bytes(file.read_bytes().replace(b"Xaveria", b"Xaveria\xff"))
    write(store, 4, "token:1", {"access_token": ACCESS})
    write(store, 0, "u-0", json.dumps(private("u-0")))
    return store


def searched(url: str, *, left_aside: tuple[str, ...]) -> dict[str, str]:
    """Return the text of every row of both schemas, by table."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'segue') ORDER BY 2"
        ).fetchall()
        return {
            table: "\n".join(row[0] for row in connection.execute(f"SELECT t::text FROM {schema}.{table} AS t"))
            for schema, table in tables
            if table not in left_aside
        }


def require_silence(place: str, text: str) -> None:
    """Assert that a text holds no secret, in no usual encoding."""
    for secret in SECRETS:
        for spelling in (
            secret,
            json.dumps(secret)[1:-1],
            base64.b64encode(secret.encode()).decode(),
            secret.split()[0],
        ):
            assert spelling.lower() not in text.lower(), f"{place} tells {SECRETS.index(secret)}"


@pytest.mark.parametrize("key", ["", f"k1:{KEY}"])
def test_nothing_private_is_told(key, store, segue, connection, database_url) -> None:
    """Outputs, events, quarantine, notes, journal and every other table but the users' own are silent."""
    env = {"SEGUE_TOKEN_KEY": key} if key else {}
    said = []
    for arguments in (
        ("migrate", "node-persist", "--source", str(store), "--dry-run", "--json"),
        ("migrate", "node-persist", "--source", str(store), "--dry-run"),
        ("migrate", "node-persist", "--source", str(store), "--json"),
        ("migrate", "node-persist", "--source", str(store)),
        ("status", "--json"),
        ("quarantine", "list", "--json"),
        ("quarantine", "list"),
        ("certificate", "1"),
    ):
        result = segue(*arguments, env=env)
        assert result.code in {0, 4}, result.stderr
        said.append((" ".join(arguments), result.stdout + result.stderr))
    for place, text in said:
        require_silence(place, text)
    found = searched(database_url, left_aside=("users",))
    for place, text in found.items():
        require_silence(place, text)
    assert found["quarantine"]
    assert found["notes"]
    assert bool(key) == bool(found["spotify_tokens"])
    query = "SELECT display_name, email FROM users WHERE spotify_id = 'ann'"
    assert [(NAME, EMAIL)] == connection.execute(query).fetchall()


def test_tokens_are_encrypted_or_counted(store, segue, connection) -> None:
    """Without a key tokens are left out with a note; with one they are stored, and belong to the user and the run."""
    assert 4 == segue("migrate", "node-persist", "--source", str(store)).code
    query = "SELECT count(*) FROM segue.notes WHERE problem LIKE 'tokens left out%'"
    left_out = connection.execute(query).fetchone()[0]
    assert left_out >= 1
    assert 0 == segue("rollback").code
    env = {"SEGUE_TOKEN_KEY": f"k1:{KEY}"}
    assert 4 == segue("migrate", "node-persist", "--source", str(store), env=env).code
    query = "SELECT access_token, refresh_token, key_id, run_id FROM spotify_tokens AS t JOIN users AS u ON u.id = t.user_id"
    found = connection.execute(query.replace("run_id", "t.run_id") + " WHERE spotify_id = 'ann'").fetchall()
    assert [("k1", 2)] == [row[2:] for row in found]
    assert all(re.fullmatch(r"[\x21-\x7e]+", token) for token in found[0][:2])
    assert 0 == segue("rollback", env=env).code
    assert set(MADE) >= {"spotify_tokens"}
    assert [(0,)] == connection.execute("SELECT count(*) FROM spotify_tokens").fetchall()


def test_personal_data_leave_with_the_run(store, segue, database_url) -> None:
    """After a rollback no table tells who was there."""
    assert 4 == segue("migrate", "node-persist", "--source", str(store)).code
    assert 0 == segue("rollback").code
    for place, text in searched(database_url, left_aside=()).items():
        require_silence(place, text)
