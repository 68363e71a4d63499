"""The person that a request is about: the ids, e-mail address and paths by which rows are found."""

import base64
import hashlib
import json
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from migrator.errors import UnknownName, UsageError
from migrator.personal_data.tables import PERSONAL, application_names, personal_tables
from sql.database import Transaction

#: An id that is shorter may well be another word.
SHORTEST_WORD = 4

#: How a key holds the id, beside what runs were told.
DEFAULT_PATTERN = "{id}"


@dataclass(frozen=True)
class Subject:
    """A user, whether or not a row of `users` is left of them.

    Attributes:
        spotify_id: their id at Spotify, which files are known by.
        user_id: their `users.id`, or the one that an import would give.
        paths: of the files of theirs that runs have seen.
        has_row: whether they are in `users`.
    """

    spotify_id: str = field(repr=False)
    user_id: str
    email: str | None = field(repr=False)
    paths: tuple[str, ...] = field(repr=False)
    has_row: bool

    @property
    def values(self) -> dict[str, Any]:
        """What the conditions in sql/queries/users.sql compare with."""
        names = [self.spotify_id, self.user_id, *([self.email] if self.email else [])]
        return {
            "spotify_id": self.spotify_id,
            "user_id": self.user_id,
            "paths": list(self.paths),
            "word": word(names),
            "said": word([*names, *self.paths]),
            "mention": mention([*names, *self.paths]),
            "tables": [table.name for table in PERSONAL if table.name.partition(".")[0] != "segue"],
        }


def find(transaction: Transaction, schema: str, name: str) -> Subject | None:
    """Return the user of a Spotify id or a `users.id`; None when nothing is stored about any such user."""
    if not name.strip():
        return None
    names = application_names(schema)
    row = transaction.first("users.find_user", names, asked=name, user_id=_uuid(name))
    spotify_id = row["spotify_id"] if row else name
    user_id = row["user_id"] if row else transaction.one("users.derive_id", asked=name)["user_id"]
    patterns = {DEFAULT_PATTERN}
    for setting in transaction.all("users.list_patterns"):
        patterns |= {pattern for pattern in re.split(r"[,\s]+", setting["pattern"]) if "{id}" in pattern}
    candidates = [path for pattern in sorted(patterns) for path in _hashed(pattern.replace("{id}", spotify_id))]
    found = transaction.all("users.list_paths", spotify_id=spotify_id, candidates=candidates)
    paths = tuple(item["path"] for item in found)
    subject = Subject(spotify_id, user_id, row["email"] if row else None, paths, row is not None)
    if row or paths:
        return subject
    # A word that somebody typed may stand anywhere; what makes it a person is the id that an import would have given.
    values = {**subject.values, "word": word([user_id]), "mention": mention([user_id])}
    tables = (table.fragments(schema) for table in personal_tables(transaction))
    is_known = any(transaction.one("users.has_rows", parts, **values)["found"] for parts in tables)
    return subject if is_known else None


def unknown(name: str) -> UsageError:
    """Return the error for a user of whom nothing is stored; an e-mail address is not repeated."""
    if "@" in name:
        return UsageError("no such user; a user is named by Spotify id or by users.id, not by an e-mail address")
    return UnknownName("user", name, [], hint=" (a Spotify id, or users.id)")


#: What may stand beside a name that is a word of its own: `alice` is neither in `alice.b` nor in `alice@example.org`.
_BEFORE = r"(?<![[:alnum:]_@+%.-])"
_AFTER = r"(?![[:alnum:]_@+%-]|\.[[:alnum:]])"


def word(names: list[str]) -> str:
    """Return a regular expression for a text in which one of the names stands as a word of its own."""
    kept = [_escaped(name) for name in names if len(name.strip()) >= SHORTEST_WORD]
    return f"{_BEFORE}({'|'.join(kept)}){_AFTER}"


def mention(names: list[str]) -> str:
    """Return the same for the text of a JSON value, where a number may look like an id and a short word like a key.

    Such names count only where they are a whole string, or a part of an URI or path.
    """
    texts = [json.dumps(name, ensure_ascii=False)[1:-1] for name in names if name.strip()]
    strict = [_escaped(text) for text in texts if text.isdigit() or len(text) < SHORTEST_WORD]
    loose = [_escaped(text) for text in texts if not text.isdigit() and len(text) >= SHORTEST_WORD]
    parts = [f"{_BEFORE}({'|'.join(loose)}){_AFTER}"] if loose else []
    parts += [rf"(?<=[\"/:])({'|'.join(strict)})(?=[\"/:])"] if strict else []
    return "|".join(parts)


def _escaped(text: str) -> str:
    """Return a text as a PostgreSQL regular expression that matches it alone."""
    return re.sub(r"([^\w\s]|\\)", r"\\\1", text)


def _hashed(key: str) -> list[str]:
    """Return the names that the generations of node-persist give to a key's file."""
    data = key.encode("utf-8", "surrogateescape")
    plain = base64.b64encode(data).decode()
    return [hashlib.sha256(data).hexdigest(), hashlib.md5(data).hexdigest(), plain.replace("/", "-"), key]  # noqa: S324


def _uuid(name: str) -> str | None:
    try:
        return str(uuid.UUID(name))
    except ValueError:
        return None
