"""One file of the manifest read and taken apart: what became of it, and its rows."""

from collections.abc import Callable
from datetime import datetime

from migrator.node_persist.contents import Decode
from migrator.node_persist.extract import Extract, Extractor, decode_sound
from migrator.node_persist.manifest import Listed, Rival
from migrator.node_persist.staging import Read
from migrator.node_persist.store import Damaged, Gone, Store
from migrator.token_keys import TokenKeys

#: The note on a file whose tokens are not stored.
LEFT_OUT = "tokens left out: SEGUE_TOKEN_KEY is not set"


class Reader:
    """Reads files; what takes their values apart is the caller's.

    Args:
        store: where the files are.
        keys: to encrypt tokens with; None leaves them out.
    """

    def __init__(self, store: Store, keys: TokenKeys | None) -> None:
        self.store = store
        self.keys = keys

    def read(
        self, listed: Listed, at: datetime, take_apart: Callable[..., Extract], decode: Decode | None = None
    ) -> Read:
        """Read a file, unless the manifest has decided about it already.

        Args:
            listed: its entry.
            at: the run's start; an item is expired when it was by then.
            take_apart: what turns a value into rows.
            decode: what decodes a sound value for it, in the same look at the text that tells where the value ends.
        """
        if listed.outcome != "due":
            return Read(listed, listed.outcome, listed.reason, listed.user_id, listed.size, listed.mtime_ns)
        try:
            item = self.store.read(listed.path, decode)
        except Damaged as error:
            return Read(listed, error.outcome, error.reason, listed.user_id, listed.size, listed.mtime_ns)
        except Gone:
            return Read(listed, "gone", None, listed.user_id, listed.size, listed.mtime_ns)
        user_id = self.store.user_id(item.key)
        whose = (user_id, item.size, item.mtime_ns)
        if user_id is None:
            return Read(listed, "not_user", None, *whose)
        if item.is_expired(at.timestamp() * 1_000):
            return Read(listed, "expired", None, *whose)
        try:
            decoded = {} if item.decoded is None else {"decoded": item.decoded}
            found = take_apart(item.value, user_id, mtime_ns=item.mtime_ns, **decoded)
        except ValueError as error:
            return Read(listed, "damaged", str(error), *whose)
        if not found.is_user:
            return Read(listed, "not_user", None, *whose)
        if found.tokens is not None and self.keys is None:
            found.notes.append(("", LEFT_OUT))
        return Read(listed, "imported", None, *whose, found, item.rescued, self._encrypted(user_id, found))

    def _encrypted(self, user_id: str, found: Extract) -> tuple[object, ...] | None:
        """Return the row for `spotify_tokens`; None when there is no token, or no key to encrypt it with."""
        tokens, found.tokens = found.tokens, None
        if tokens is None or self.keys is None or (tokens.access is None and tokens.refresh is None):
            return None
        access, refresh = (
            None if token is None else self.keys.encrypt(user_id, column, token)
            for column, token in (("access_token", tokens.access), ("refresh_token", tokens.refresh))
        )
        return user_id, access, refresh, self.keys.newest_id, tokens.expires_at

    def rank(self, path: str, at: datetime) -> Rival:
        """Tell how new a user's file is by its own word, or why it cannot be imported."""
        read = self.read(Listed(path, 0, 0, None, "due", None), at, Extractor().extract, decode_sound)
        if read.extract is not None:
            return Rival(read.extract.updated_at)
        return Rival(decided=read.outcome, reason=read.reason)
