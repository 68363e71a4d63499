"""The order-free checksum of a set of rows: a count, and a sum and a xor of two independent 64-bit hashes."""

from collections.abc import Mapping
from dataclasses import dataclass

#: Stored beside every digest, because the hash functions are PostgreSQL's own (those of hash partitioning).
ALGORITHM = "pg-hash-extended-sum42-xor43"
_WORD = 2**64


@dataclass(frozen=True)
class Digest:
    """A set's digest; adding two gives the digest of the union of disjoint sets.

    The sum notices what a xor alone cannot (equal pairs cancel), the xor what a sum alone could (compensating
    changes). An accidental miss needs both 64-bit hashes to collide.
    """

    count: int = 0
    sum: int = 0
    xor: int = 0

    def __add__(self, other: "Digest") -> "Digest":
        return Digest(self.count + other.count, (self.sum + other.sum) % _WORD, self.xor ^ other.xor)

    def __sub__(self, other: "Digest") -> "Digest":
        return Digest(self.count - other.count, (self.sum - other.sum) % _WORD, self.xor ^ other.xor)

    def __str__(self) -> str:
        return f"{self.count}:{self.sum % _WORD:016x}{self.xor % _WORD:016x}"

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """Read what `str` gives."""
        count, _, words = text.partition(":")
        xor = int(words[16:], 16)
        return cls(int(count), int(words[:16], 16), xor - _WORD if xor >= _WORD // 2 else xor)

    @classmethod
    def of(cls, row: Mapping[str, object], prefix: str, count: str) -> "Digest":
        """Read a digest from a row's ``<prefix>_sum``, ``<prefix>_xor`` and count columns; NULL is an empty set."""
        return cls(
            int(str(row[count] or 0)), int(str(row[f"{prefix}_sum"] or 0)) % _WORD, int(str(row[f"{prefix}_xor"] or 0))
        )
