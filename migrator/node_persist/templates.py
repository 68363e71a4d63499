"""The fragments that query templates ask for, from a description of one table of the catalog."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import LiteralString

from psycopg import sql as psql

from sql.database import compose, literal_sql

#: Tables whose rows people edit in place, and their key; the journal keeps a hash of what the run wrote.
EDITABLE: Mapping[str, LiteralString] = {"users": "t.id", "playlists": "t.id", "spotify_tokens": "t.user_id"}
#: From a staged row to its user.
WHO = "JOIN pg_temp.stage_who AS who ON who.spotify_id = d.{}"

#: Columns of shared rows that are never missing in another way than by NULL.
_GAPS = {
    **{name: f"{{t}}.{name}" for name in ("name", "kind", "is_local")},
    "genres": "CASE WHEN {t}.genres = '[]' THEN {d}.genres ELSE {t}.genres END",
}


@dataclass(frozen=True)
class UserTable:
    """A table whose rows belong to one user; a file's rows replace what the run made of it before.

    Attributes:
        name: of the table, and after `stage_` of its staging table.
        values: the target's columns but `run_id`, each with its expression over `d` (staged), `who` and `list`.
        key: the columns that tell its rows apart.
        digested: the columns that the digest covers.
        joins: from the staged row to its user (`who`) and playlist (`list`).
        user: the stored row's user, over `t`, and the join that it needs.
        stored_joins: that join.
        is_bulk: whether a first load writes it without its keys and indexes.
    """

    name: str
    values: Mapping[str, str]
    key: tuple[str, ...]
    digested: tuple[str, ...]
    joins: str = WHO.format("user_id")
    user: str = "t.user_id"
    stored_joins: str = ""
    is_bulk: bool = True

    def fragments(self, names: Mapping[str, psql.Composable]) -> dict[str, psql.Composable]:
        """Return the names that the query templates ask for."""
        joins = literal_sql(self.joins)
        return {
            "target": names[self.name],
            "stage": psql.Identifier("pg_temp", f"stage_{self.name}"),
            "name": psql.Literal(self.name),
            "columns": _names(self.values),
            "values": literal_sql(", ".join(self.values.values())),
            "joins": joins,
            "key": _names(self.key),
            "due_user": literal_sql("who.id"),
            "due_key": literal_sql(", ".join(f"{self.values[name]} AS {name}" for name in self.key)),
            "digest": literal_sql(f"ROW({', '.join(self.values[name] for name in self.digested)})"),
            "stored_user": literal_sql(self.user),
            "user": literal_sql(self.user),
            "of_staged": compose(f"node_persist.of_staged_{'playlist' if self.stored_joins else 'user'}", names),
            "same_key": literal_sql(" AND ".join(f"ours.{name} = other.{name}" for name in self.key)),
            "stored_key": literal_sql(", ".join(f"t.{name}" for name in self.key)),
            "stored_digest": literal_sql(f"ROW({', '.join(f't.{name}' for name in self.digested)})"),
            "stored_run": recording(self.name)["run_of_row"] if self.name in EDITABLE else psql.SQL("t.run_id"),
            "stored_joins": psql.SQL(self.stored_joins).format(**names) if self.stored_joins else psql.SQL(""),
        }


@dataclass(frozen=True)
class SharedTable:
    """A table whose rows many files speak of; what they say is merged, column by column.

    Attributes:
        name: of the table, and after `stage_` of its staging table.
        key: its primary key.
        merged: every other column: how one value comes from several staged ones (an aggregate), and how from the stored
            one (`{t}`) and the staged one (`{d}`). Both are commutative, associative and idempotent.
        has_created_at: whether it has that column.
    """

    name: str
    key: tuple[str, ...]
    merged: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    has_created_at: bool = False

    def fragments(self, names: Mapping[str, psql.Composable]) -> dict[str, psql.Composable]:
        """Return the names that the query templates ask for."""
        values = {column: self._value(column, stored) for column, (_, stored) in self.merged.items()}
        changes = [f"{column} = {value}".format(t="t", d="excluded") for column, value in values.items()]
        due = [value.format(t="t", d="d") for value in values.values()]
        changed = [value.format(t="t", d="excluded") for value in values.values()]
        key_text = " || chr(31) || ".join(f"t.{name}" for name in self.key)
        grouped = ", ".join(
            [*self.key, *(f"{aggregate} AS {column}" for column, (aggregate, _) in self.merged.items())]
        )
        stage = psql.Identifier("pg_temp", f"stage_{self.name}")
        return {
            "target": names[self.name],
            "stage": stage,
            "name": psql.Literal(self.name),
            "columns": _names([*self.key, *self.merged]),
            "created": literal_sql("created_at," if self.has_created_at else ""),
            "created_value": literal_sql("%(at)s," if self.has_created_at else ""),
            "key": _names(self.key),
            "key_text": literal_sql(key_text),
            "due_key_text": literal_sql(key_text.replace("t.", "d.")),
            "ordered_key": literal_sql(", ".join(f"t.{name}" for name in self.key)),
            "merged": compose(
                "stage.merged", {"grouped": literal_sql(grouped), "stage": stage, "key": _names(self.key)}
            ),
            "changes": literal_sql(", ".join(changes)),
            "held": literal_sql(", ".join(f"t.{name}" for name in self.merged)),
            "due": literal_sql(", ".join(due)),
            "changed": literal_sql(", ".join(changed)),
        }

    def _value(self, column: str, merged: str) -> str:
        """Return what a column becomes: merged in a row of the run; in one of others only what is missing is filled."""
        filled = _GAPS.get(column, f"coalesce({{t}}.{column}, {{d}}.{column})")
        return f"CASE WHEN {{t}}.run_id = %(run_id)s THEN {merged} ELSE {filled} END".replace("{t}.run_id", "t.run_id")


def _names(names: Mapping[str, object] | list[str] | tuple[str, ...]) -> psql.Composable:
    return psql.SQL(", ").join(psql.Identifier(name) for name in names)


def recording(name: str) -> dict[str, psql.Composable]:
    """Return the fragments that record what is written into a table, and that tell whether it is so still."""
    fragments: dict[str, psql.Composable] = {
        "name": psql.Literal(name),
        "id": psql.SQL(EDITABLE[name]),
        "row_hash": compose(f"references.hash_of_{name}"),
    }
    fragments["is_as_written"] = compose("references.is_as_written", fragments)
    return {
        "is_as_written": fragments["is_as_written"],
        "record_written": compose("references.record_written", fragments),
        "run_of_row": compose("references.run_of_row", fragments),
    }
