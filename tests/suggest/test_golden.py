"""Queries over a realistic vocabulary, each with what comes first: `tests/golden/suggestions.csv`.

Columns: what the case is about; the query; the category and the chosen tags, if any (separated by `|`); the first five
suggestions as `band:name` or `band:name < antecedent`, separated by `|`.

`python -m tests.suggest.test_golden` writes the last column anew; read the difference before you believe it.
"""

import csv
import sys
from functools import cache
from pathlib import Path

import pytest

from service.suggest.index import TagIndex
from service.suggest.query import BANDS, Query
from tests.suggest.brute_force import BruteForce
from tests.suggest.vocabulary import TOGETHER, tags

FILE = Path(__file__).parents[1] / "golden" / "suggestions.csv"
COLUMNS = ["about", "query", "category", "context", "expected"]
SHOWN = 5


def _rows() -> list[dict[str, str]]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def _index() -> TagIndex:
    return TagIndex.build(tags(), 1, TOGETHER)


def _query_of(row: dict[str, str]) -> Query:
    context = tuple(row["context"].split("|")) if row["context"] else ()
    return Query(row["query"], category=row["category"] or None, context=context)


def _answer(query: Query) -> str:
    return " | ".join(
        f"{one.band}:{one.tag.name}" + (f" < {one.antecedent}" if one.antecedent else "")
        for one in _index().suggest(query).suggestions[:SHOWN]
    )


def test_golden_queries() -> None:
    """Every query is answered as the file says."""
    wrong = {
        row["query"]: (row["expected"], found)
        for row in _rows()
        if row["expected"] != (found := _answer(_query_of(row)))
    }

    assert {} == wrong


def test_golden_file_is_worth_its_name() -> None:
    """There are at least 300 different queries, and every band comes first in at least five of them."""
    found = _rows()
    first = [row["expected"].partition(":")[0] for row in found]

    assert 300 <= len({(row["query"], row["category"], row["context"]) for row in found}) == len(found)
    assert dict.fromkeys(BANDS, 5) == {band: min(5, first.count(band)) for band in BANDS}


@pytest.mark.untraced
@pytest.mark.parametrize("part", range(4))
def test_golden_queries_follow_the_rules(part: int) -> None:
    """The brute-force scorer says the same, so the file cannot hold what the rules do not mean."""
    brute_force = BruteForce({tag.id: tag for tag in tags()}, TOGETHER)
    for row in _rows()[part::4]:
        found = _index().suggest(_query_of(row)).suggestions
        assert brute_force.suggest(_query_of(row))[0] == [(s.tag.id, s.band, s.antecedent) for s in found], row


def main() -> None:
    """Write the expected suggestions anew."""
    found = _rows()
    with FILE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in found:
            writer.writerow({**row, "expected": _answer(_query_of(row))})
    sys.stdout.write(f"{len(found)} queries\n")


if __name__ == "__main__":
    main()
