"""The disk runs full: exit 6 that says so, nothing half-done, and the same command goes on once there is space.

Needs root, to mount a small file system in memory; elsewhere it is left out, loudly.
"""

import os
import shutil
import subprocess
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

SONGS = 6_000
SIZE = "6m"


@pytest.fixture
def small_disk(connection: psycopg.Connection[Any]) -> Iterator[Path]:
    """A file system of six megabytes with a tablespace on it, called `small`."""
    place = Path(f"/tmp/segue-small-{uuid.uuid4().hex}")
    place.mkdir(mode=0o755)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        place.rmdir()
        pytest.skip("NOT TESTED: a full disk, which needs the right to mount a file system")
    try:
        directory = place / "space"
        directory.mkdir()
        (account,) = connection.execute("SELECT current_setting('data_directory')").fetchone()  # type: ignore[misc]
        owner = Path(account).stat()
        os.chown(directory, owner.st_uid, owner.st_gid)
        connection.execute(f"CREATE TABLESPACE small LOCATION '{directory}'")
        yield place
    finally:
        connection.execute("DROP TABLE IF EXISTS song_tags")
        connection.execute("DROP TABLESPACE IF EXISTS small")
        if subprocess.run(["umount", str(place)], capture_output=True).returncode:
            warnings.warn(f"{place} is still mounted", stacklevel=1)
        else:
            shutil.rmtree(place)


def test_a_full_disk(small_disk: Path, connection: psycopg.Connection[Any], segue: Any) -> None:
    """The chunk that meets the full disk is undone and named; with space again, the run ends as a clean one."""
    connection.execute("CREATE TABLE songs (id uuid PRIMARY KEY, title text, themes text[])")
    connection.execute(
        "INSERT INTO songs SELECT md5(n::text)::uuid, 'a title', (SELECT array_agg('Theme ' || mod(n + m, 300))"
        f" FROM generate_series(1, 20) AS m) FROM generate_series(1, {SONGS}) AS n"
    )
    connection.execute("ALTER TABLE song_tags SET TABLESPACE small")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    migrate = ("migrate", "--workers", "1", "-b", "500", "--json")
    stopped = segue(*migrate)

    assert 6 == stopped.code, stopped.stderr
    assert "No space left on device" in stopped.json["error"]
    assert "free space on the server" in stopped.json["error"]
    assert "paused" == stopped.json["status"]
    processed = stopped.json["rows"]["processed"]
    assert 0 < processed < SONGS
    assert [(20 * processed,)] == connection.execute("SELECT count(*) FROM song_tags").fetchall()
    assert 6 == segue(*migrate).code  # still full
    ballast.unlink()
    assert (
        0
        == subprocess.run(
            ["mount", "-o", "remount,size=64m", str(small_disk)], capture_output=True, check=True
        ).returncode
    )
    done = segue(*migrate, "-v")
    assert (0, True) == (done.code, done.json["resumed"]), done.stderr
    assert {"total": SONGS, "processed": SONGS, "quarantined": 0} == done.json["rows"]
    assert 0 == segue("rollback").code
