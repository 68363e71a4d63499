"""Doing what needs many locks beside an application that takes the same ones in an order of its own."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from service.curation.errors import TagBusy
from sql.database import Transaction
from sql.errors import DatabaseError

Result = TypeVar("Result")

#: Waits for one lock, in milliseconds, attempt by attempt. All are far below PostgreSQL's usual deadlock_timeout of
#: 1 s: where the application and we wait for each other, we give way before the server has to choose a victim.
WAITS_MS = (50, 100, 100, 200, 200, 200, 300, 300)

#: SQLSTATEs after which the same work may succeed: lock not had in time, deadlock, a link that was added meanwhile.
_BUSY = {"55P03", "40P01", "23505"}


def patiently(transaction: Transaction, work: Callable[[], Result]) -> Result:
    """Do the work in a savepoint, again when others held what it needs; each time everything it locked is let go.

    Raises:
        TagBusy: they always did; nothing was changed.
    """
    said = ""
    for wait in WAITS_MS:
        try:
            with transaction.savepoint():
                before = transaction.one("curation.bound_waits", lock_timeout=f"{wait}ms")["lock_timeout"]
                result = work()
                transaction.one("curation.bound_waits", lock_timeout=before)
                return result
        except DatabaseError as error:
            if error.sqlstate not in _BUSY:
                raise
            said = str(error)
        # Who waited for us goes first.
        time.sleep(random.uniform(0.2, 1.0) * wait / 1_000)
    raise TagBusy(said)
