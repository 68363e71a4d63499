"""Which errors are one row's fault, and how to say so without any of its values."""

import re

import psycopg

#: Classes of SQLSTATEs that say that the data do not fit, and not that the server, the network or Segue failed.
OF_DATA = {
    "22": "data exception: a value out of range, too long, or not of its type",
    "23": "integrity constraint violation: a CHECK, NOT NULL, UNIQUE, EXCLUDE or FOREIGN KEY of the application",
    "27": "triggered data change violation",
    "38": "a trigger's function in another language raised it",
    "44": "a view's WITH CHECK OPTION",
    "45": "raised by the application, as other databases number it",
    "P0": "raised by a function in PL/pgSQL: RAISE, ASSERT, STRICT",
}
#: A row that is larger than what an index entry can hold.
_TOO_LARGE = "54000"
#: Classes beginning so are left to applications by the standard; these are PostgreSQL's own among them.
_OWN_FIRST = frozenset("56789IJKLMNOPQRSTUVWXYZ")
_SERVERS = frozenset({"53", "54", "55", "57", "58", "72", "XX"})

#: SQLSTATEs that say that the server has run out of something; a run can be resumed when it has some again.
EXHAUSTED = {
    "53000": "insufficient resources",
    "53100": "disk full",
    "53200": "out of memory",
    "53400": "a configured limit was exceeded",
    "58030": "input/output error",
}

_RAISED_IN = re.compile(r"PL/\w+ function (\S+)\(")


def is_of_data(sqlstate: str | None) -> bool:
    """Whether an error with this code is a row's fault, so that the chunk may go on without the row."""
    if sqlstate is None or len(sqlstate) != 5:
        return False
    kind = sqlstate[:2]
    return kind in OF_DATA or sqlstate == _TOO_LARGE or (kind[0] in _OWN_FIRST and kind not in _SERVERS)


def refusal(error: psycopg.Error) -> str | None:
    """Say which rule a row broke, by the names of the rule alone: PostgreSQL's own words may hold values.

    Returns:
        None when the error is no row's fault, or comes from one of Segue's own tables.
    """
    diag = error.diag
    if not is_of_data(error.sqlstate) or diag.schema_name == "segue":
        return None
    kind = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
    said = "an error of the application's" if error.sqlstate[:2] not in OF_DATA and kind.endswith("error") else kind  # type: ignore[index]
    if kind == "raise exception":
        said = "raised by the database"
    if diag.constraint_name:
        said += f", constraint {diag.constraint_name}"
    if diag.column_name:
        said += f", column {diag.column_name}"
    if diag.table_name:
        said += f", table {diag.schema_name}.{diag.table_name}"
    elif found := _RAISED_IN.search(diag.context or ""):
        said += f", function {found[1]}"
    return f"{said} ({error.sqlstate})"
