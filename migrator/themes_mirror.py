"""The mirror of `themes`: functions and triggers that carry users' writes over in the users' own transactions."""

from collections.abc import Mapping

from psycopg import sql as psql

from migrator.errors import Refused, UsageError
from migrator.source import TableSource
from migrator.themes_mirror_back import Table, ThemesMirrorBack, as_own_write, inlined
from migrator.vocabulary import starter_columns
from sql.database import Transaction, compose, literal_sql
from sql.mirrors import BACK, PREFIX, drop_triggers, mirror_triggers

_STAGE = {"texts": psql.Identifier("segue", "mirror_texts"), "words": psql.Identifier("segue", "mirror_words")}

#: The batch path's queries that resolve texts, in their order.
_RESOLVING = ("resolve_words", "create_tags", "create_synonyms", "save_vocabulary")


class ThemesMirror:
    """What a run's mirror consists of.

    Args:
        source: the legacy table, its key and its theme column.
        schema: the application's, home of links and tags.
        fragments: the step's.
        split: text at which elements are split, or None.
        load: how the run loads its target.
    """

    def __init__(
        self, source: TableSource, schema: str, fragments: Mapping[str, psql.Composable], split: str | None, load: str
    ) -> None:
        self.source = source
        self.back = ThemesMirrorBack(source, schema, fragments, split)
        self.load = load
        self.fragments = dict(fragments)
        self.split = split

    def require(self, transaction: Transaction, direction: str, *, is_planned: bool) -> None:
        """Refuse, naming what to do, when the role may not make triggers on the source or lock its rows.

        Args:
            transaction: to look with.
            direction: `forward` or `both`.
            is_planned: whether the run has decided how to load.

        Raises:
            UsageError: the load that is asked for takes the keys away by which a mirror finds links.
            Refused: the source is no table, or a privilege is missing.
        """
        if self.load == "fresh" and not is_planned:
            raise UsageError("--load fresh takes the keys away that a mirror needs; give --load live, or --mirror off")
        name = psql.Identifier(self.source.schema, self.source.table).as_string(None)
        found = transaction.one("mirror_state.describe_source", table=name)
        if not found["is_table"]:
            raise Refused(f"{self.source} is no table, so it can have no mirror; name the table, or give --mirror off")
        missing = [
            privilege for privilege, has in (("TRIGGER", "may_make_triggers"), ("UPDATE", "may_lock")) if not found[has]
        ]
        if missing:
            role = psql.Identifier(found["role"]).as_string(None)
            raise Refused(
                f"a mirror needs {' and '.join(missing)} on {self.source} (it locks rows and writes none); as its "
                f"owner: GRANT {', '.join(missing)} ON {name} TO {role}; or give --mirror off"
            )
        if direction == "both":
            self.back.require(transaction)

    def install(self, transaction: Transaction, run_id: int, direction: str) -> None:
        """Make the functions for a run, and the triggers that are missing; waits for the writers of the source.

        Those of the way back come with `install_back`, one table at a time.
        """
        if direction == "both":
            self.back.make_functions(transaction, run_id)
        for name, body in self.bodies(run_id, direction).items():
            transaction.run(f"mirror.{name}", body)
        transaction.run("mirror.restrict_functions")
        wanted = self._triggers()
        there = [trigger for trigger in mirror_triggers(transaction) if not trigger[2].startswith(BACK)]
        if {(self.source.schema, self.source.table, name) for name in wanted} != set(there):
            drop_triggers(transaction)
            for name, (event, condition) in wanted.items():
                fragments = {"event": literal_sql(event), "condition": condition, "name": psql.Identifier(name)}
                transaction.run("mirror.create_trigger", {**self.fragments, **fragments})
        # After the source, which users' transactions lock first, too.
        if not transaction.one("mirror_state.has_settle_trigger")["found"]:
            transaction.run("mirror.create_settle_trigger")

    def install_back(self, transaction: Transaction, run_id: int, table: Table) -> None:
        """Make the triggers of the way back that a table lacks; waits for its writers."""
        self.back.make_triggers(transaction, run_id, table)

    @property
    def back_tables(self) -> tuple[Table, ...]:
        """Schema and name of the tables that have triggers of the way back."""
        return self.back.tables

    def installed(self, transaction: Transaction) -> str:
        """Return the direction whose triggers are all there: `off`, `forward` or `both`."""
        there = mirror_triggers(transaction)
        place = (self.source.schema, self.source.table)
        forward = {name for *table, name in there if tuple(table) == place and not name.startswith(BACK)}
        if forward != set(self._triggers()):
            return "off"
        return "both" if self.back.is_installed(transaction) else "forward"

    def bodies(self, run_id: int, direction: str) -> dict[str, dict[str, psql.Composable]]:
        """Return the fragments of the functions' statements: the run's number and names, and the queries' parts."""
        number = psql.Literal(run_id)
        shared: dict[str, psql.Composable] = {**self.fragments, "run_id": number}
        shared["page"] = inlined(self.source.page_of_keys(), keys=psql.SQL("segue_keys"))
        split = psql.Literal(self.split)
        for name in ("exploded", "elements"):
            shared[name] = inlined(self.fragments[name], split=split)
        shared["known_word"] = compose("mirror.known_word", shared)
        names = ("settle_one", "link_songs", "forget_truncated")
        parts: dict[str, psql.Composable] = {name: compose(f"mirror.{name}", shared) for name in names}
        if direction == "both":
            parts = {name: as_own_write(part) for name, part in parts.items()}
        parts["quarantine_elements"] = inlined(compose("themes.quarantine_elements", shared), run_id=number)
        values = {
            "run_id": number,
            "at": psql.SQL("now()"),
            **{k: psql.Literal(v) for k, v in starter_columns().items()},
        }
        among = compose("vocabulary.among_others")
        resolving = {
            name: inlined(compose(f"vocabulary.{name}", {**shared, **_STAGE, "among_others": among}), **values)
            for name in _RESOLVING
        }
        return {
            "create_note": shared,
            "create_resolve": {**shared, **resolving},
            "create_settle": {**shared, **parts},
        }

    def _triggers(self) -> dict[str, tuple[str, psql.Composable]]:
        """Return event and condition by name; a write that leaves the themes alone costs one comparison."""
        column, key = psql.Identifier(self.source.column), psql.Identifier(self.source.key)
        each = psql.SQL("FOR EACH ROW")
        changed = psql.SQL(
            "{each} WHEN (OLD.{column} IS DISTINCT FROM NEW.{column} OR OLD.{key} IS DISTINCT FROM NEW.{key})"
        )
        return {
            f"{PREFIX}insert": ("INSERT", psql.SQL("{} WHEN (NEW.{} IS NOT NULL)").format(each, column)),
            f"{PREFIX}update": ("UPDATE", changed.format(each=each, column=column, key=key)),
            f"{PREFIX}delete": ("DELETE", each),
            f"{PREFIX}truncate": ("TRUNCATE", psql.SQL("FOR EACH STATEMENT")),
        }
