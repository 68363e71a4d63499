"""Which keys are users: patterns such as `users/{id}/data`."""

import re

from migrator.errors import UsageError

#: The key is the user's id, or `users/<id>/data`.
DEFAULT = ("{id}", "users/{id}/data")

#: An id is one part of the key, can be stored by PostgreSQL and indexed; the longest of Spotify's are far shorter.
_ID = "(?P<id>[^/\x00-\x1f\x7f\ud800-\udfff]{1,200})"


class KeyPatterns:
    """The patterns of user keys, in order: the first that matches a key says whose it is.

    Raises:
        UsageError: a pattern does not hold `{id}` exactly once.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        if not patterns:
            raise UsageError("no key pattern; write for example: {id},users/{id}/data")
        for pattern in patterns:
            if pattern.count("{id}") != 1 or set("{}") & set(pattern.replace("{id}", "")):
                raise UsageError(f"key pattern {pattern!r} must hold {{id}} exactly once, and no other braces")
        self.patterns = patterns
        self._expressions = [
            re.compile(_ID.join(re.escape(part) for part in pattern.split("{id}"))) for pattern in patterns
        ]

    @classmethod
    def parse(cls, text: str | None) -> "KeyPatterns":
        """Read patterns separated by commas; None means the two of `DEFAULT`."""
        if text is None:
            return cls(DEFAULT)
        return cls(tuple(part.strip() for part in text.split(",") if part.strip()))

    def user_id(self, key: str) -> str | None:
        """Return the id that the key names, or None when it is no user's."""
        for expression in self._expressions:
            if match := expression.fullmatch(key):
                return match["id"]
        return None
