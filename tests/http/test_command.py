"""How `segue` finds the serving side's commands, and what that costs the others."""

import subprocess
import sys
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from service.settings import BadSetting, networks, origins

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
