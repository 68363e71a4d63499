"""SIGKILL while a chunk is tried in parts: the next command ends as an uninterrupted run does."""

from typing import Any

import psycopg
import pytest

from tests.crash.state import SONGS, image, require_checkpoints_agree, song_id

MIGRATE = ("migrate", "--batch-size", "12", "--workers", "1", "--json")
POINTS = [
    "before:aside.check_constraints#2",
    "before:aside.save_row",
    "after:aside.save_row",
    "after:aside.save_row#2",
    "after:aside.defer_constraints#4",
    "before:runs.save_checkpoint#2",
    "after:runs.save_checkpoint#3",
]


@pytest.mark.slow
def test_killed_between_parts(
    songs: Any, connection: psycopg.Connection[Any], database_url: str, copy_of: Any, zygotes: Any
) -> None:
    """Wherever it is killed, the refused rows are in quarantine once, and everything else is as in a clean run."""
    songs(SONGS)
    keys = ", ".join(f"'{song_id(number)}'" for number in (4, 5, 15, 30))
    connection.execute(f"ALTER TABLE song_tags ADD CONSTRAINT odd CHECK (song_id NOT IN ({keys}))")
    connection.close()
    with copy_of(database_url) as url:
        assert 4 == zygotes[0].run(url, *MIGRATE)[0]
        with psycopg.connect(url) as looking:
            clean = image(looking)
            due = looking.execute("SELECT song_id::text, tag_id::text FROM song_tags ORDER BY 1, 2").fetchall()
    for point in POINTS:
        with copy_of(database_url) as url:
            assert -9 == zygotes[0].run(url, *MIGRATE, failpoint=point)[0], point
            with psycopg.connect(url) as looking:
                require_checkpoints_agree(looking, due)
            code, _, stderr = zygotes[0].run(url, *MIGRATE)
            assert 4 == code, stderr
            with psycopg.connect(url) as looking:
                assert clean == image(looking), point
