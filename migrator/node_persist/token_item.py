"""Access and refresh tokens in a value: they leave it only as `Tokens`, which never show themselves."""

from typing import Final

import msgspec

from migrator.node_persist import scalars, spotify
from migrator.node_persist.outcome import Tokens
from migrator.node_persist.scalars import Unfit

_SECRETS: Final = spotify.Decode(spotify.Secrets)
_EMPTY: Final = spotify.Secrets()


def token_item(value: bytes | memoryview) -> Tokens | None:
    """Return the tokens in any value, or None when it is no JSON object with one."""
    try:
        try:
            holder = _SECRETS(value)
        except msgspec.DecodeError:
            holder = _SECRETS(spotify.holdable(value))
        return None if holder is None else tokens_of(holder)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def tokens_of(holder: spotify.Secrets) -> Tokens | None:
    """Return the tokens among an object's members, or in its member `tokens`; what is outside comes first."""
    inner = _SECRETS(holder.tokens) if spotify.first(holder.tokens) == b"{" else _EMPTY
    texts = (holder.accessToken, holder.access_token, inner.accessToken, inner.access_token)
    access = next((text for text in texts if text.__class__ is str and text), None)
    texts = (holder.refreshToken, holder.refresh_token, inner.refreshToken, inner.refresh_token)
    refresh = next((text for text in texts if text.__class__ is str and text), None)
    if access is None and refresh is None:
        return None
    times = (holder.expiresAt, holder.expires_at, inner.expiresAt, inner.expires_at)
    expires = next((time for time in times if time is not None), None)
    try:
        return Tokens(access, refresh, scalars.instant(expires))
    except Unfit:
        return Tokens(access, refresh, None)
