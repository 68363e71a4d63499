"""The way back of the mirror of `themes`: people's edits of links and tags, carried into the legacy column."""

import re
from collections.abc import Mapping

from psycopg import sql as psql

from migrator.errors import Refused
from migrator.source import TableSource
from sql.database import Transaction, compose, literal_sql
from sql.mirrors import BACK, mirror_triggers

#: Links that one transaction changes and carries over itself; more are left to the next command.
MOST_LINKS = 10_000

_NOBODY = literal_sql("'00000000-0000-0000-0000-000000000000'::uuid")
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")

#: Schema and name.
Table = tuple[str, str]


class ThemesMirrorBack:
    """What the way back consists of.

    Args:
        source: the legacy table, its key and its theme column.
        schema: the application's, home of links and tags.
        fragments: the step's.
        split: text at which elements are split, or None.
    """

    def __init__(
        self, source: TableSource, schema: str, fragments: Mapping[str, psql.Composable], split: str | None
    ) -> None:
        self.source = source
        self.fragments = dict(fragments)
        #: The tables that have its triggers, in the order in which they get them.
        self.tables = ((source.schema, source.table), (schema, "song_tags"), (schema, "tags"))
        self.split = split
        self.is_json = source.column_type == "jsonb"

    def require(self, transaction: Transaction) -> None:
        """Refuse, naming the GRANTs, when the role may not write the legacy column or make triggers on the targets."""
        column = psql.Identifier(self.source.column).as_string(None)
        names = {name: self.fragments[name].as_string(None) for name in ("table", "song_tags", "tags")}
        values = {**names, "column": column, "plain_column": self.source.column}
        missing = transaction.all("mirror_back_parts.describe_targets", None, **values)
        if missing:
            role = psql.Identifier(missing[0]["role"]).as_string(None)
            grants = "; ".join(f"GRANT {row['privilege']} ON {row['table_name']} TO {role}" for row in missing)
            raise Refused(
                f"--mirror both writes {self.source}.{self.source.column} and makes triggers on song_tags and tags; "
                f"as the tables' owner: {grants}; or give --mirror forward"
            )

    def make_functions(self, transaction: Transaction, run_id: int) -> None:
        """Make the functions for a run; triggers that are there work for it from now on."""
        for name, parts in self.bodies(run_id).items():
            transaction.run(f"mirror_back.{name}", parts)
        transaction.run("mirror_back.restrict_functions")
        transaction.run("mirror_back.say_whose", {"run_text": psql.Literal(str(run_id))})
        if not transaction.one("mirror_back_parts.has_settle_trigger")["found"]:
            transaction.run("mirror_back.create_settle_trigger")

    def make_triggers(self, transaction: Transaction, run_id: int, on: Table) -> None:
        """Make those triggers of one table that are missing; waits for its writers.

        With the last of them it is noted which links people have made before, since the run began.
        """
        there = mirror_triggers(transaction)
        missing = [(name, trigger) for name, table, trigger in self._triggers() if table == on]
        missing = [(name, trigger) for name, trigger in missing if (*on, name) not in there]
        if missing and on == self.tables[-1]:
            transaction.run("mirror_back_parts.note_earlier", self.fragments, run_id=run_id)
        for name, trigger in missing:
            parts = {"name": psql.Identifier(name), "on": psql.Identifier(*on)}
            transaction.run("mirror_back.create_trigger", parts | trigger)

    def is_installed(self, transaction: Transaction) -> bool:
        """Whether every trigger is there, on the right tables."""
        wanted = {(*table, name) for name, table, _ in self._triggers()}
        return wanted == {trigger for trigger in mirror_triggers(transaction) if trigger[2].startswith(BACK)}

    def bodies(self, run_id: int) -> dict[str, dict[str, psql.Composable]]:
        """Return the fragments of the functions' statements: the run's number and names, and the queries' parts."""
        column = psql.Identifier(self.source.column)
        shared: dict[str, psql.Composable] = {
            **self.fragments,
            "run_id": psql.Literal(run_id),
            "split": psql.SQL("{}::text").format(psql.Literal(self.split)),
            "column": column,
            "most": psql.SQL(str(MOST_LINKS)),
            "nobody": _NOBODY,
            "old_value": self._value(psql.SQL("old.{}").format(column)),
            "is_list": psql.SQL(
                "coalesce(jsonb_typeof(page.v) IN ('array', 'null'), true)"
                if self.is_json
                else "coalesce(array_ndims(page.v), 1) = 1"
            ),
        }
        shared["page"] = inlined(self.source.page_of_keys(), keys=psql.SQL("segue_keys"))
        for name in ("exploded", "elements"):
            shared[name] = inlined(self.fragments[name], split=psql.Literal(self.split))
        shared["known_word"] = compose("mirror_back_parts.known_word", shared)
        shared["said"] = compose("mirror_back_parts.said", shared)
        shared["due"] = compose("mirror_back_parts.due", shared)
        edit = "segue.edit_json" if self.is_json else "segue.edit_array"
        shared["new_value"] = psql.SQL("{}({}, {}, edited.taken, edited.given, edited.added)").format(
            psql.SQL(edit), self._value(psql.SQL("song.{}").format(column)), shared["split"]
        )
        names = ("create_later", "create_apply", "create_note", "create_drop_note", "create_settle")
        return dict.fromkeys(names, shared)

    def _value(self, column: psql.Composable) -> psql.Composable:
        return column if self.is_json else psql.SQL('{}::text[] COLLATE "C"').format(column)

    def _triggers(self) -> list[tuple[str, Table, dict[str, psql.Composable]]]:
        """Return name, table, and what each trigger does when."""
        songs, links, tags = self.tables
        column = psql.Identifier(self.source.column)
        changed = psql.SQL("OLD.{column} IS DISTINCT FROM NEW.{column}").format(column=column)
        moved_song = psql.SQL("OLD.{key} IS DISTINCT FROM NEW.{key}").format(key=psql.Identifier(self.source.key))
        moved = psql.SQL("(OLD.song_id, OLD.tag_id) IS DISTINCT FROM (NEW.song_id, NEW.tag_id)")
        renamed = psql.SQL("OLD.normalized_name IS DISTINCT FROM NEW.normalized_name")
        return [
            (f"{BACK}drop", songs, _trigger("UPDATE", changed, "mirror_back_drop('said')")),
            (f"{BACK}gone", songs, _trigger("DELETE", psql.SQL("true"), "mirror_back_drop('gone')")),
            (f"{BACK}move", songs, _trigger("UPDATE", moved_song, "mirror_back_drop('gone')")),
            (f"{BACK}insert", links, _trigger("INSERT", psql.SQL("true"), "mirror_back_note('link')")),
            (f"{BACK}update", links, _trigger("UPDATE", moved, "mirror_back_note('link')")),
            (f"{BACK}delete", links, _trigger("DELETE", psql.SQL("true"), "mirror_back_note('link')")),
            (f"{BACK}remove", tags, _trigger("DELETE", psql.SQL("true"), "mirror_back_note('renamed')")),
            (f"{BACK}rename", tags, _trigger("UPDATE", renamed, "mirror_back_note('renamed')")),
        ]


def _trigger(event: str, condition: psql.Composable, function: str) -> dict[str, psql.Composable]:
    return {"event": literal_sql(event), "condition": condition, "function": literal_sql(f"segue.{function}")}


def as_own_write(statement: psql.Composable) -> psql.Composable:
    """Return a function's statement that writes links such that the way back does not take it for a person's edit."""
    return compose("mirror_back.as_own_write", {"statement": statement})


def inlined(part: psql.Composable, **values: psql.Composable) -> psql.SQL:
    """Return a query's part with its values written into it: a function's body takes no parameters."""

    def value(match: re.Match[str]) -> str:
        return values[match[1]].as_string(None).replace("%", "%%")

    return literal_sql(_PLACEHOLDER.sub(value, part.as_string(None)))
