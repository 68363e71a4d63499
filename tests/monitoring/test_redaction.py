"""Blanking: secrets and values do not come through, and what is left can be read."""

import psycopg
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from monitoring.redaction import blanked, error_message, without_passwords, without_secrets, without_values
from sql.errors import DatabaseError

#: Characters of passwords and tokens as they stand in URLs and headers; the last sign is none of a sentence.
SECRET = st.from_regex(r"[A-Za-z0-9_.~+-]{5,30}[A-Za-z0-9]", fullmatch=True)


@pytest.mark.parametrize(
    ("given_", "left"),
    [
        ("postgresql://app:s3cret@db:5432/music", "postgresql://app:***@db:5432/music"),
        ("redis://:s3cret@cache:6379/0", "redis://:***@cache:6379/0"),
        ("postgresql+psycopg://app:p@ss/w:rd@db/music", "postgresql+psycopg://app:***@db/music"),
        ("http://127.0.0.1:8000/readyz", "http://127.0.0.1:8000/readyz"),
    ],
)
def test_passwords_of_urls(given_: str, left: str) -> None:
    """The password goes, wherever it ends; user, host and path stay."""
    assert without_passwords(given_) == left


@pytest.mark.parametrize(
    ("given_", "left"),
    [
        ("host=db password='a b' user=app", "host=db password=*** user=app"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
        ("sent to a.person+tag@mail.example.org now", "sent to *** now"),
        ("key eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln expired", "key *** expired"),
        ("token 7f3Kx9QmZr2TbVw8LpNc4YhJd6SgAe1UoRi5XqEtFk0 refused", "token *** refused"),
        ("tag 0b39d351-2c2d-d07d-44b8-4a8566e64ccf is gone", "tag 0b39d351-2c2d-d07d-44b8-4a8566e64ccf is gone"),
    ],
)
def test_secrets_in_texts(given_: str, left: str) -> None:
    """Passwords, tokens and addresses go; ids of rows stay."""
    assert without_secrets(given_) == left


@pytest.mark.parametrize(
    ("given_", "left"),
    [
        (
            'duplicate key value violates unique constraint "tags_key"\nDETAIL:  Key (name)=(A secret love) exists.',
            "duplicate key value violates unique constraint ***",
        ),
        ("invalid literal for int() with base 10: 'my song'", "invalid literal for int() with base 10: ***"),
        ("no route for /v1/tags?q=what+people+type", "no route for /v1/tags"),
        ('syntax error\nLINE 1: SELECT * FROM users WHERE email = "x"', "syntax error"),
        ("[Errno 111] Connection refused", "[Errno 111] Connection refused"),
    ],
)
def test_values_in_messages(given_: str, left: str) -> None:
    """What a message quotes, a query string and a driver's detail go; the reason stays."""
    assert without_values(given_) == left


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (DatabaseError("cannot connect to postgresql://app:s3cret@db"), "cannot connect to postgresql://app:***@db"),
        (ConnectionRefusedError(111, "Connection refused"), "[Errno 111] Connection refused"),
        (FileNotFoundError(2, "No such file", "/home/somebody"), "[Errno 2] No such file: ***"),
        (
            TypeError("'str' object cannot be interpreted as an integer"),
            "*** object cannot be interpreted as an integer",
        ),
        (KeyError("row-value"), "***"),
        (LookupError("row-value"), "***"),
        (ValueError("row-value is no number"), "***"),
        (psycopg.DataError("invalid input: row-value"), "***"),
    ],
)
def test_messages_of_errors(error: Exception, left: str) -> None:
    """What we and the system write is kept but for its values; a message that may be a value altogether is not."""
    kind = type(error)

    assert error_message(kind.__name__, kind.__module__, str(error)) == left


@given(SECRET, st.sampled_from(["postgresql://u:{}@h/d", "redis://:{}@h", "password={}", "Bearer {}", "token: {} x"]))
def test_no_password_comes_through(secret: str, place: str) -> None:
    """Whatever a password looks like."""
    assume(secret.lower() not in place.lower())

    assert secret not in without_secrets(f"before {place.format(secret)} after")


@given(st.text(st.characters(codec="utf-8", exclude_characters="'\"\\"), min_size=3))
def test_no_quoted_value_comes_through(value: str) -> None:
    """Whatever a row holds."""
    assume(value not in "could not read row ***")

    assert value not in without_values(f"could not read row '{value}'")


def test_structures_are_blanked_to_the_ground() -> None:
    """Names that say secret blank their value of any type; the rest keeps its form."""
    given_ = {"user": {"email": 5, "n": 1}, "urls": ("redis://:pw@h",), "Authorization": ["x"], "none": None}

    left = {"user": {"email": "***", "n": 1}, "urls": ["redis://:***@h"], "Authorization": "***", "none": None}
    assert blanked(given_) == left
