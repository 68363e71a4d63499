"""Who was erased, without saying who: keyed hashes of user ids, and pseudonyms of the paths of their files.

The key is a random value of the database's own, so that the hashes say nothing outside of it. Inside, whoever can read
every table and guesses an id can check the guess; without that no later run could know whom to pass over.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from sql.database import Transaction

#: How the path of an erased user's file begins in segue.files.
ERASED_PATH = "erased:"

#: Users looked up at a time.
PAGE_USERS = 10_000


@dataclass(frozen=True)
class ErasureKey:
    """The database's key for hashes of erased people."""

    secret: bytes = field(repr=False)

    def hash_of(self, user_id: str) -> bytes:
        """Return the hash of a user's Spotify id."""
        return self._digest("user", user_id)

    def pseudonym_of(self, path: str) -> str:
        """Return what stands for a file's path: always the same, so that a later run knows the file again."""
        return ERASED_PATH + self._digest("path", path)[:16].hex()

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.digest(self.secret, f"{kind}:{text}".encode("utf-8", "surrogateescape"), hashlib.sha256)


def hold(transaction: Transaction) -> ErasureKey | None:
    """Return the database's key, None while nobody was ever erased; no erasure begins until the transaction ends.

    Under REPEATABLE READ an erasure since its snapshot ends the transaction with a serialization failure, which is
    retried like others.
    """
    row = transaction.one("users.hold_erasures")
    return ErasureKey(row["secret"]) if row["erasures"] else None


def begin(transaction: Transaction) -> ErasureKey:
    """Return the database's key to erase somebody with; waits for those who hold it."""
    return ErasureKey(transaction.one("users.begin_erasure")["secret"])


def erased(transaction: Transaction, user_ids: Iterable[str]) -> set[str]:
    """Return which of these users (Spotify ids) were erased: an import must pass their files over.

    Call it in the transaction that writes what it decides about; see `hold`.
    """
    key = hold(transaction)
    return set() if key is None else among_erased(transaction, key, user_ids)


def among_erased(transaction: Transaction, key: ErasureKey, user_ids: Iterable[str]) -> set[str]:
    """Return which of these users were erased; takes any number of them, some at a time."""
    found: set[str] = set()
    rest = iter(user_ids)
    while page := {key.hash_of(user_id): user_id for user_id in islice(rest, PAGE_USERS)}:
        found |= {page[row["id_hash"]] for row in transaction.all("users.find_erased", hashes=list(page))}
    return found


def masking(transaction: Transaction) -> Callable[[str], str]:
    """Return a function that gives a path as runs have it: the pseudonym of an erased user's file, else itself."""
    key = hold(transaction)
    known = {row["path"] for row in transaction.all("users.list_pseudonyms")} if key else set()
    if key is None or not known:
        return lambda path: path

    def masked(path: str) -> str:
        pseudonym = key.pseudonym_of(path)
        return pseudonym if pseudonym in known else path

    return masked
