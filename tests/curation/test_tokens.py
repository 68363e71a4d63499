"""Tokens: what is stored, what is accepted, and that a revocation is felt at once."""

import hashlib
from datetime import timedelta

import pytest

from service import tokens
from service.tokens import Refusal, Scope, TokenError, TokenVerifier


@pytest.fixture
def make(desk):
    """Return a function that makes a token."""

    def run(name: str = "robot", scopes=("read",), **values) -> tokens.NewToken:
        with desk.database.transaction() as transaction:
            return tokens.create_token(transaction, name, scopes, created_by="ada@home", **values)

    return run


@pytest.fixture
def revoke(desk):
    """Return a function that revokes one."""

    def run(name: str) -> tokens.ApiToken:
        with desk.database.transaction() as transaction:
            return tokens.revoke_token(transaction, name)

    return run


def test_only_the_hash_is_stored(desk, make) -> None:
    """The text has 256 random bits, is never the same, and is nowhere in the database."""
    made = make(scopes=["curate", "read", "read"])
    random_part = made.text.removeprefix("segue_")

    assert (43, True) == (len(random_part), made.text.startswith("segue_"))
    assert made.text != make("other").text
    rows = desk.connection.execute("SELECT t::text, token_hash FROM segue.api_tokens t WHERE name = 'robot'").fetchall()
    assert [hashlib.sha256(made.text.encode()).digest()] == [row[1] for row in rows]
    assert random_part not in rows[0][0]
    assert made.text not in repr(made.token)
    assert {Scope.READ, Scope.CURATE} == made.token.scopes


def test_accepted_and_refused(desk, make, revoke) -> None:
    """Each reason is told apart inside."""
    verifier = TokenVerifier(desk.database, seconds=0)
    good, near, late = (
        make(),
        make("near", networks=["10.0.0.0/8", "2001:db8::/32"]),
        make("late", expires_in=timedelta(days=1)),
    )
    gone = make("gone")
    revoke("gone")

    assert good.token == verifier.verify(good.text, None).token
    assert late.token == verifier.verify(late.text, "203.0.113.9").token
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"):
        assert near.token == verifier.verify(near.text, address).token
    for address in ("11.1.2.3", "2001:db9::1", "", "no address", None):
        assert Refusal.NETWORK is verifier.verify(near.text, address).refusal
    desk.connection.execute("UPDATE segue.api_tokens SET expires_at = now() WHERE name = 'late'")
    assert Refusal.EXPIRED is verifier.verify(late.text, None).refusal
    assert Refusal.REVOKED is verifier.verify(gone.text, None).refusal
    assert Refusal.UNKNOWN is verifier.verify(good.text[:-1] + ("a" if good.text[-1] != "a" else "b"), None).refusal
    for wrong in (
        "",
        "segue_",
        good.text + "a",
        good.text[:-1],
        good.text.upper(),
        f" {good.text}",
        "segue_" + "é" * 43,
        "\0",
        "\ud800",
    ):
        assert Refusal.MALFORMED is verifier.verify(wrong, None).refusal


def test_a_revocation_is_felt_within_seconds(desk, make, revoke) -> None:
    """A verified token is believed for five seconds at most, and its expiry is looked at each time."""
    now = [100.0]
    verifier = TokenVerifier(desk.database, seconds=60, timer=lambda: now[0])
    made = make()
    assert verifier.verify(made.text, None).token
    revoke("robot")

    assert verifier.verify(made.text, None).token, "no look at the database"
    now[0] += tokens.CACHE_SECONDS
    assert Refusal.REVOKED is verifier.verify(made.text, None).refusal
    assert 5 >= tokens.CACHE_SECONDS


def test_a_cached_token_expires_on_time(desk, make) -> None:
    """What is cached is the row, not the answer."""
    verifier = TokenVerifier(desk.database)
    made = make(expires_in=timedelta(milliseconds=300), networks=["10.0.0.0/8"])
    assert verifier.verify(made.text, "10.0.0.1").token
    assert Refusal.NETWORK is verifier.verify(made.text, "11.0.0.1").refusal

    while verifier.verify(made.text, "10.0.0.1").refusal is not Refusal.EXPIRED:
        pass


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"name": " "}, "1 to 100"),
        ({"name": "x" * 101}, "1 to 100"),
        ({"name": "a\nb"}, "printable"),
        ({"scopes": []}, "read, curate, operate"),
        ({"scopes": ["admin"]}, "'admin' is no scope"),
        ({"networks": ["10.0.0.1/8"]}, "host bits"),
        ({"networks": ["here"]}, "'here' is no network"),
        ({"name": "taken"}, "revoke that one"),
    ],
)
def test_refused(make, values, says) -> None:
    """What cannot be is said before anything is stored."""
    make("taken")

    with pytest.raises(TokenError, match=says):
        make(**values)


def test_revoking(desk, make, revoke) -> None:
    """By name or id, once; the name is free again then."""
    first = make()
    revoked = revoke("robot")
    assert (first.token.id, "revoked") == (revoked.id, revoked.state)
    assert revoked == revoke("robot") == revoke(first.token.id.upper())
    second = make()
    assert second.token.id == revoke("robot").id
    with pytest.raises(TokenError, match="segue tokens list"):
        revoke("nobody")
    with desk.database.transaction() as transaction:
        assert () == tokens.list_tokens(transaction)
        assert 2 == len(tokens.list_tokens(transaction, with_revoked=True))


def test_revoking_an_ambiguous_name(desk, make, revoke) -> None:
    """Two tokens that work can share a name when one had expired and was prolonged by hand: the id decides."""
    first = make(expires_in=timedelta(seconds=-1))
    second = make()
    desk.connection.execute("UPDATE segue.api_tokens SET expires_at = NULL")

    with pytest.raises(TokenError, match=second.token.id):
        revoke("robot")
    assert first.token.id == revoke(first.token.id).id
    assert second.token.id == revoke("robot").id
