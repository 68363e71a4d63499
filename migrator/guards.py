"""Keys and indexes of empty tables that a first load fills: taken away before it, made again after it."""

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from psycopg import sql as psql

from sql.database import Transaction, literal_sql
from sql.errors import UniqueViolation

Transact = Callable[[Callable[[Transaction], None]], None]
Plan = dict[str, Any]


class Guards:
    """The guards of several tables of one application schema.

    What is taken away is written into the run's plan first, so that a resumed run or a rollback restores it.

    Args:
        schema: the application's.
        bulk: tables that are loaded without any key or index.
        keyed: tables that keep their keys, because rows are merged by them, but not their foreign keys.
    """

    def __init__(self, schema: str, bulk: tuple[str, ...], keyed: tuple[str, ...]) -> None:
        self.schema = schema
        self.bulk = bulk
        self.keyed = keyed

    def plan(self, transaction: Transaction) -> Plan | None:
        """Write down what a load would take away; None unless Segue made every table and all are empty."""
        found = {row["name"]: row for row in self._describe(transaction)}
        if not all(found[name]["is_ours"] and self._is_empty(transaction, name) for name in (*self.bulk, *self.keyed)):
            return None
        return {name: self._taken(row, is_bulk=name in self.bulk) for name, row in found.items()}

    def strip(self, transaction: Transaction, plan: Plan) -> None:
        """Take away what the plan names; foreign keys first, because they rest on the keys of others."""
        for name, kind in ((name, kind) for kind in "fup" for name in plan):
            for guard in plan[name]["constraints"]:
                if guard["kind"] == kind:
                    self._run(transaction, "drop_constraint", name, name=psql.Identifier(guard["name"]))
        for taken in plan.values():
            for index in taken["indexes"]:
                self._run(transaction, "drop_index", name=psql.Identifier(self.schema, index["name"]))

    def rebuild(self, plan: Plan, transact: Transact, mend: Callable[[Transaction, str], None]) -> None:
        """Make keys and indexes, two tables at a time; foreign keys guard new rows from here on (NOT VALID).

        `mend` removes what of a table's rows stands in the way of its keys.
        """
        with ThreadPoolExecutor(2) as side_by_side:
            for done in [side_by_side.submit(self._rebuild_one, name, plan[name], transact, mend) for name in plan]:
                done.result()
        for name in plan:
            for guard in plan[name]["constraints"]:
                if guard["kind"] == "f":
                    transact(partial(self._add, table=name, guard=guard, suffix=" NOT VALID"))

    def validate(self, plan: Plan, transact: Transact) -> None:
        """Prove the foreign keys for the rows that are there."""
        for name in plan:
            for guard in plan[name]["constraints"]:
                if guard["kind"] == "f":
                    transact(partial(self._validate, table=name, guard=guard))

    def _rebuild_one(
        self, table: str, taken: Mapping[str, Any], transact: Transact, mend: Callable[[Transaction, str], None]
    ) -> None:
        for index in taken["indexes"]:
            definition = re.sub(r"^CREATE (UNIQUE )?INDEX ", r"CREATE \1INDEX IF NOT EXISTS ", index["definition"])
            transact(partial(self._run, query="create_index", definition=literal_sql(definition.replace("%", "%%"))))
        for guard in taken["constraints"]:
            if guard["kind"] in {"p", "u"}:
                add = partial(self._add, table=table, guard=guard)
                try:
                    transact(add)
                except UniqueViolation:
                    transact(lambda transaction: mend(transaction, table))
                    transact(add)

    def _add(self, transaction: Transaction, table: str, guard: Mapping[str, str], suffix: str = "") -> None:
        if guard["name"] not in self._constraints(transaction, table):
            definition = guard["definition"].removesuffix(" NOT VALID").replace("%", "%%") + suffix
            self._run(
                transaction,
                "add_constraint",
                table,
                name=psql.Identifier(guard["name"]),
                definition=literal_sql(definition),
            )

    def _validate(self, transaction: Transaction, table: str, guard: Mapping[str, str]) -> None:
        if not self._constraints(transaction, table).get(guard["name"], True):
            self._run(transaction, "validate_constraint", table, name=psql.Identifier(guard["name"]))

    def _constraints(self, transaction: Transaction, table: str) -> dict[str, bool]:
        name = psql.Identifier(self.schema, table).as_string(None)
        return {row["name"]: row["is_valid"] for row in transaction.all("guards.list_constraints", target=name)}

    def _describe(self, transaction: Transaction) -> list[dict[str, Any]]:
        return transaction.all("guards.describe_tables", names=[*self.bulk, *self.keyed])

    def _is_empty(self, transaction: Transaction, table: str) -> bool:
        target = {"target": psql.Identifier(self.schema, table)}
        return bool(transaction.one("guards.is_empty", target)["found"])

    def _taken(self, row: Mapping[str, Any], *, is_bulk: bool) -> dict[str, Any]:
        if is_bulk:
            return {"constraints": row["constraints"], "indexes": row["indexes"]}
        return {"constraints": [guard for guard in row["constraints"] if guard["kind"] == "f"], "indexes": []}

    def _run(
        self, transaction: Transaction, query: str, table: str | None = None, **fragments: psql.Composable
    ) -> None:
        target = {"target": psql.Identifier(self.schema, table)} if table else {}
        transaction.run(f"guards.{query}", {**target, **fragments})
