"""What must hold before any command touches the database."""

from migrator.catalog import require_catalog
from migrator.errors import Refused
from sql.database import OLDEST_SERVER, Database
from sql.revision import LATEST


def preflight(database: Database, schema: str, *, needs_catalog: bool = False) -> None:
    """Check the server's version, that it accepts writes, and that Segue's schema is there, current, and for `schema`.

    With `needs_catalog`, also that the catalog's tables are there.

    Raises:
        ConnectionLost: the server cannot be reached.
        Refused: it is too old, read-only, or Segue's schema is missing, of another version or of another application,
            or the catalog was left out.
    """
    with database.transaction() as transaction:
        server = transaction.one("session.describe_server")
        if server["major"] < OLDEST_SERVER:
            raise Refused(
                f"PostgreSQL {server['version']} at {database} is too old; Segue needs {OLDEST_SERVER} or newer"
            )
        if server["in_recovery"]:
            raise Refused(f"{database} is a read-only standby; connect to the primary")
        if not server["has_schema"]:
            raise Refused(f"{database} has no Segue schema yet; run: segue db upgrade")
        revision = transaction.first("session.read_revision")
    found = revision["version_num"] if revision else "none"
    if revision and revision["schema_name"] not in {None, schema}:
        raise Refused(
            f"the Segue schema at {database} was made for the application schema {revision['schema_name']!r}, not for "
            f"{schema!r}; give --schema {revision['schema_name']}"
        )
    if found != LATEST:
        older = found < LATEST
        raise Refused(
            f"the Segue schema at {database} is at revision {found}, this version needs {LATEST}; "
            f"{'run: segue db upgrade' if older else 'install the newer Segue that made it'}"
        )
    if needs_catalog:
        with database.transaction() as transaction:
            require_catalog(transaction, schema)
