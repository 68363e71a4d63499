"""Everything that speaks SQL: named queries, schema revisions, the connection factory and the embedded server.

A query lives in ``sql/queries/<area>.sql`` below a line ``-- name: verb_object`` and is called by that name.
``%(name)s`` marks a value and ``{name}`` an identifier or fragment, both filled by psycopg; a literal ``%`` or
brace is doubled. Comment lines directly below the name are the query's description.
"""

from functools import cache
from importlib.resources import files

__all__ = ["queries", "query", "script", "sections"]


def queries(area: str) -> dict[str, str]:
    """Return the queries of one area, keyed by name, in file order."""
    return sections(f"queries/{area}.sql")


@cache
def sections(path: str) -> dict[str, str]:
    """Return the named parts of a ``.sql`` file of this package, in file order."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in script(path).splitlines(keepends=True):
        if line.startswith("-- name: "):
            name = line.removeprefix("-- name: ").strip()
            if name in found:
                message = f"query {name} stands twice in {path}"
                raise ValueError(message)
            current = found[name] = []
        elif current is not None and not (line.startswith("--") and not "".join(current).strip()):
            current.append(line)
    return {name: "".join(lines).strip() for name, lines in found.items()}


def query(name: str) -> str:
    """Return the text of the query called ``area.verb_object``.

    Raises:
        KeyError: no such query; a programming error.
    """
    area, _, verb_object = name.partition(".")
    return queries(area)[verb_object]


def script(path: str) -> str:
    """Return a whole ``.sql`` file of this package, such as ``functions/normalise.sql``."""
    return (files("sql") / path).read_text("utf-8")
