"""Ids that follow from what they name, so that a second import finds the rows of the first."""

import hashlib
import uuid


def row_id(kind: str, key: str) -> uuid.UUID:
    """Return the first 16 bytes of sha256(kind ':' key) as UUID; `segue.row_id` in SQL gives the same."""
    return uuid.UUID(bytes=hashlib.sha256(f"{kind}:{key}".encode()).digest()[:16])
