"""`segue tokens`: what people see, and that they never see a token twice."""

import json
import tomllib
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from migrator.commands.session import Session
from service.commands import base
from service.commands.base import Refused, command, json_option
from service.commands.tokens import tokens
from tests.conftest import ROOT, Result


@pytest.fixture
def run(desk):
    """Run `segue tokens ARGUMENTS…` with the group's session."""

    def invoke(*arguments: str, url: str | None = None, schema: str = "public", of: click.Command = tokens) -> Result:
        session = Session(url or str(desk.database), Path(), None, schema, None, 5_000)
        result = CliRunner().invoke(of, list(arguments), obj=session)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return invoke


def test_life_of_a_token(run) -> None:
    """It is printed once, alone on stdout; lists describe it and never hold it or its hash."""
    made = run(
        "create", "deploy", "--scope", "curate", "--scope", "read", "--network", "10.0.0.0/8", "--expires-days", "30"
    )
    text = made.stdout.strip()

    assert (0, 49) == (made.code, len(text))
    assert text not in made.stderr
    assert "only now" in made.stderr
    listed, as_json = run("list"), run("list", "--json")
    (token,) = as_json.json["tokens"]
    assert ["curate", "read"] == token["scopes"]
    assert (["10.0.0.0/8"], "active") == (token["networks"], token["state"])
    assert {"id", "name", "state", "scopes", "networks", "created_at", "created_by", "expires_at", "revoked_at"} == set(
        token
    )
    assert "deploy: curate, read; from 10.0.0.0/8, until" in listed.stdout
    for said in (listed.stdout, as_json.stdout):
        assert text[6:] not in said
        assert "hash" not in said

    revoked = run("revoke", "deploy", "--json")
    assert (0, "revoked") == (revoked.code, revoked.json["state"])
    assert "" == run("list").stdout
    assert "revoked" in run("list", "--all").stdout
    assert 0 == run("revoke", token["id"]).code


def test_json_shows_the_token_once(run) -> None:
    """`create --json` is the only object that has it."""
    made = run("create", "deploy", "--scope", "operate", "--json")

    assert made.json["token"].startswith("segue_")
    assert None is made.json["expires_at"]
    assert made.json["token"] not in run("revoke", "deploy", "--json").stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["create", "x"], 2),
        (["create", "x", "--scope", "root"], 2),
        (["create", "x", "--scope", "read", "--network", "everywhere"], 2),
        (["create", "x", "--scope", "read", "--expires-days", "0"], 2),
        (["create", "", "--scope", "read"], 2),
        (["create", "taken", "--scope", "read"], 5),
        (["revoke", "nobody"], 2),
    ],
)
def test_refused(run, arguments, code) -> None:
    """Exit codes are the command line's: 2 for what cannot be, 5 for what is in the way; JSON says the same."""
    run("create", "taken", "--scope", "read")

    plain, as_json = run(*arguments), run(*arguments, "--json")

    assert (code, code) == (plain.code, as_json.code)
    assert plain.stderr
    if "error" in as_json.stdout:
        assert code == as_json.json["exit_code"]


def test_the_schema_is_looked_at_first(run, desk, bare_url) -> None:
    """A database without the tables, with another application's, or of another version is refused with what to do."""
    assert "segue db upgrade" in run("list", url=bare_url).stderr
    assert 5 == run("list", url=bare_url).code
    assert "--schema public" in run("list", schema="other").stderr
    for version, says in (("0001", "segue db upgrade"), ("9999", "install the newer")):
        desk.connection.execute("UPDATE segue.alembic_version SET version_num = %s", [version])
        try:
            assert says in run("list").stderr
        finally:
            desk.connection.execute("UPDATE segue.alembic_version SET version_num = %s", [base.LATEST])
    assert 1 == run("list", url="postgresql://nobody@127.0.0.1:1/none").code


def test_what_a_command_may_raise(run) -> None:
    """An error with an exit code and one of the system are told; a mistake of ours is not hidden."""

    @click.command()
    @click.argument("kind")
    @json_option
    @command
    def fails(session, kind: str, *, as_json: bool) -> int:
        """Fail in some way."""
        errors = {
            "refused": Refused("no"),
            "system": OSError("disk"),
            "ours": KeyError("bug"),
            "click": click.UsageError("what"),
        }
        if kind in errors:
            raise errors[kind]
        return 3

    assert (5, "segue: no\n") == (run("refused", of=fails).code, run("refused", of=fails).stderr)
    assert {"error": "disk", "exit_code": 1} == json.loads(run("system", "--json", of=fails).stdout)
    assert (2, 3) == (run("click", of=fails).code, run("nothing", of=fails).code)
    with pytest.raises(KeyError):
        run("ours", of=fails)


def test_it_is_a_plug_in() -> None:
    """The distribution names the command where the command line looks for it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["segue.commands"]["tokens"].partition(":")

    assert tokens is getattr(import_module(module), name)


def test_the_actor_is_kept(desk, run) -> None:
    """Who made a token stands beside it."""
    run("create", "deploy", "--scope", "read")

    assert "@" in desk.connection.execute("SELECT created_by FROM segue.api_tokens").fetchone()[0]
