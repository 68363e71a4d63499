"""SIGKILL at every boundary of a snapshots run: of the first run, of bringing it up to date, and of its rollback."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.crash.conftest import boundary
from tests.crash.state import image
from tests.crash.zygote import Zygote
from tests.migrator.listening import at, features, listen

KNOWN = {f"t{n}": features(f"0.{n}", f"0.{9 - n}", None, f"{90 + n}") for n in range(1, 5)}
USERS = ("ann", "bob", "cat", "dan", "eve")
PLAYS = [
    (user, f"t{(day + number) % 5 + 1}", at("2024-03-10") + timedelta(days=9 * day))
    for number, user in enumerate(USERS)
    for day in range(6)
]
MIGRATE = ("migrate", "snapshots", "--batch-size", "2", "--workers", "1", "--json")


def state(url: str) -> dict[str, Any]:
    """Return what the database holds, times and leases aside."""
    with psycopg.connect(url) as connection:
        return image(connection)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["first run", "up to date", "rollback"])
def test_kill_at_every_boundary(
    phase: str,
    connection: psycopg.Connection[Any],
    database_url: str,
    copy_of: Any,
    sweep: Callable[[Callable[[Zygote, int], bool]], int],
    zygotes: list[Zygote],
) -> None:
    """A command killed at any boundary and given again ends as one that was not."""
    listen(connection, PLAYS, KNOWN)
    arguments = ("rollback", "--json") if phase == "rollback" else MIGRATE
    if phase != "first run":
        assert 0 == zygotes[0].run(database_url, *MIGRATE)[0]
    if phase == "up to date":
        listen(connection, [("bob", "t1", at("2024-04-01")), ("eve", "t2", at("2024-03-10", "13:00"))], KNOWN)
        connection.execute("DELETE FROM users WHERE spotify_id = 'cat'")
    connection.close()
    with copy_of(database_url) as url:
        assert 0 == zygotes[0].run(url, *arguments)[0]
        clean = state(url)

    seen = {}

    def attempt(zygote: Zygote, number: int) -> bool:
        with copy_of(database_url) as url:
            code, _, stderr = zygote.run(url, *arguments, failpoint=boundary(number))
            assert code in {-9, 0}, stderr
            left = state(url)
            # Most kills leave one of a few states; each of them is resumed once.
            if left != clean and seen.setdefault(repr(left), number) == number:
                code_again, _, stderr = zygote.run(url, *arguments)
                assert 0 == code_again, stderr
                assert clean == state(url)
                if phase != "rollback":
                    assert 0 == zygote.run(url, "validate", "snapshots")[0]
            return code == -9

    assert sweep(attempt) > 10
    assert len(seen) > 3
