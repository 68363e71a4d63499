"""`segue keys`: the keys that stored tokens are encrypted with."""

import os

import click

from migrator.commands.session import Session, command, json_option, print_json, say
from migrator.errors import Exit, Refused
from migrator.preflight import preflight
from migrator.stop import StopSignal
from migrator.token_keys import VARIABLE, TokenKey, TokenKeys
from migrator.token_rotation import rotate as rotate_tokens


@click.group()
def keys() -> None:
    """The keys that stored tokens are encrypted with."""


@keys.command()
@command
def new(session: Session) -> None:  # noqa: ARG001 - every command gets the session; this one needs no database
    """Print a fresh key, alone on stdout; nothing is stored."""
    say(TokenKey.fresh().text)
    click.echo(
        f"Keep it where secrets are kept, and set {VARIABLE} to it. To replace a key, put the fresh one before it:\n"
        f'  export {VARIABLE}="$(segue keys new) ${VARIABLE}"\n'
        "  segue keys rotate\n"
        "and drop the older one when that exits with 0.",
        err=True,
    )


@keys.command()
@json_option
@command
def rotate(session: Session, *, as_json: bool) -> int:
    """Encrypt every stored token again that is not under the newest key; exits 3 when no key opens some of them."""
    ring = TokenKeys.from_environment(os.environ)
    if ring is None:
        raise Refused(f"{VARIABLE} is not set, so no token can be decrypted; set it to the keys, newest first")
    with session.database() as database:
        preflight(database, session.schema, needs_catalog=True)
        stop = StopSignal(abort=database.cancel_running)
        with stop.on_signals():
            done = rotate_tokens(database, session.schema, ring, stop)
    if as_json:
        images = {"rotated": done.images_rotated, "undecryptable": done.images_undecryptable}
        counts = {"rotated": done.rotated, "already": done.already, "undecryptable": done.undecryptable}
        print_json({"key_id": ring.newest_id, **counts, "users": done.users, "journal": images})
    else:
        say(
            f"key {ring.newest_id}: {done.rotated:,} rows rotated, {done.already:,} already under it,"
            f" {done.undecryptable:,} that no given key opens; journal: {done.images_rotated:,} rotated,"
            f" {done.images_undecryptable:,} not"
        )
        for user_id in done.users:
            say(f"user {user_id}: left as it is; give the key it was made with, or let the user sign in again")
    return Exit.DONE if done.is_complete else Exit.MISMATCH
