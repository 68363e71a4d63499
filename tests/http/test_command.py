"""How `segue` finds the serving side's commands, and what that costs the others."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import psycopg
import pytest

from service.settings import BadSetting, networks, origins
from sql.database import Database
from sql.schema.serving import follow

ROOT = Path(__file__).parents[2]


def test_commands_are_plugged_in(segue: Callable[..., Any]) -> None:
    """The listing names them with their help, each variable is shown, and an unknown command is still a usage error."""
    listing = segue("--help").stdout
    assert "Serve tags over HTTP" in listing
    assert "tokens" in listing
    help_ = segue("serve", "--help").stdout
    for name in ("SEGUE_HOST", "SEGUE_PORT", "SEGUE_WORKERS", "REDIS_URL", "SENTRY_DSN", "SEGUE_TRUSTED_PROXIES"):
        assert name in help_
    assert 2 == segue("nonsense").code


def test_other_commands_do_not_pay() -> None:
    """`segue migrate` imports nothing of the serving side, and does not even look for its commands."""
    program = (
        "import sys\n"
        "from migrator.cli import segue\n"
        "segue(['migrate', '--help'], standalone_mode=False)\n"
        "found = [name for name in sys.modules if name.split('.')[0] in ('service', 'cache', 'granian', 'starlette')]\n"
        "assert not found, found\n"
        "assert 'service' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)

    assert 0 == done.returncode, done.stderr


def test_help_does_not_wait_for_the_server() -> None:
    """The listing imports the command's options, not the server."""
    program = (
        "import sys\n"
        "import service.commands.serve\n"
        "assert not {'granian', 'starlette', 'numpy', 'service.http'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)

    assert 0 == done.returncode, done.stderr


def test_unfollow(segue: Callable[..., Any], database_url: str, connection: psycopg.Connection[Any]) -> None:
    """Triggers and outbox are gone, twice is as good as once, and beside a server it is refused."""
    connection.execute("CREATE TABLE songs (id uuid PRIMARY KEY, title text)")
    connection.commit()
    with closing(Database(database_url)) as database:
        followed = follow(database, "public", "songs")
    connection.execute("INSERT INTO tags (name, normalized_name) VALUES ('Joy', 'joy')")
    connection.execute("UPDATE segue.relay SET held_until = clock_timestamp() + interval '1 minute'")
    connection.commit()
    refused = segue("unfollow")
    assert 5 == refused.code
    assert "stop every `segue serve` first" in refused.stderr

    connection.execute("UPDATE segue.relay SET held_until = NULL")
    connection.commit()
    done = json.loads(segue("unfollow", "--json").stdout)
    assert {"tables": sorted(followed), "forgotten": 1} == {**done, "tables": sorted(done["tables"])}
    assert {"tables": [], "forgotten": 0} == json.loads(segue("unfollow", "--json").stdout)
    connection.execute("INSERT INTO tags (name, normalized_name) VALUES ('Hope', 'hope')")
    assert (0,) == connection.execute("SELECT count(*) FROM segue.outbox").fetchone()


def test_networks_and_origins() -> None:
    """What is written is what is meant, or an error that says how to write it."""
    assert (ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32"), ip_network("2001:db8::/32")) == networks(
        "--x", ["10.1.2.3/8", " 192.0.2.1 ", "2001:db8::/32"]
    )
    assert ("https://app.example.org", "http://localhost:3000") == origins(
        "--x", ["https://App.example.org/", "http://localhost:3000"]
    )
    assert ("*",) == origins("--x", ["*"])
    for wrong in ("example.org", "ftp://example.org", "https://", "https://a/b", "null"):
        with pytest.raises(BadSetting, match=r"--x .* is no origin"):
            origins("--x", [wrong])
    with pytest.raises(BadSetting, match="give it alone"):
        origins("--x", ["*", "https://example.org"])
    with pytest.raises(BadSetting, match="--x 'ten' is no network"):
        networks("--x", ["ten"])
