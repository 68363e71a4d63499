"""The vocabulary as a CSV file that an admin edits; what comes back wrong is named by line, and nothing is applied."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql as psql

from migrator.errors import MigratorError, Refused, UsageError
from migrator.run_store import actor, latest
from migrator.states import UNFINISHED
from migrator.text_lines import NotUtf8, decoded
from sql.database import Database, Transaction
from tags import starter
from tags.normalise import clean, normalise, problem

COLUMNS = ("raw", "canonical", "category", "how", "count")
LONGEST_RAW = 1_000
MOST_PROBLEMS = 50


class MalformedVocabulary(MigratorError):
    """The file cannot be taken; nothing was applied.

    Attributes:
        problems: one sentence each, with line numbers.
    """

    def __init__(self, file: Path, problems: list[str]) -> None:
        shown = problems[:MOST_PROBLEMS]
        more = f" (and {len(problems) - len(shown)} more)" if len(problems) > len(shown) else ""
        super().__init__(f"{file}: nothing was applied: {'; '.join(shown)}{more}")
        self.problems = problems


@dataclass(frozen=True)
class Decision:
    """A line of the file: this normal form becomes that tag."""

    line: int
    normalized: str
    canonical: str
    canonical_normalized: str
    category: str | None


def export_csv(file: Path, words: Iterable[Mapping[str, Any]]) -> int:
    """Write words to a file and return how many there were; texts too long to be decided about are left out."""
    try:
        return _write(file, words)
    except OSError as error:
        raise MigratorError(f"{file}: the vocabulary cannot be written: {error.strerror}") from error


def _write(file: Path, words: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        quoting = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(COLUMNS)
        for row in words:
            if len(row["raw"]) <= LONGEST_RAW:
                # Left to itself, Python 3.11 writes a carriage return without quotes, and then cannot read it.
                one = quoting if "\r" in row["raw"] else writer
                one.writerow([row["raw"], row["canonical"], row["category"], row["how"], row["uses"]])
                count += 1
    return count


def import_csv(database: Database, file: Path, *, schema: str) -> dict[str, int]:
    """Take an edited file's mappings as decisions.

    Only lines that differ from what would be resolved anyway become decisions; a line that says the automatic answer
    withdraws an earlier decision; a line with an empty canonical is passed over.

    Raises:
        UsageError: the file cannot be read.
        MalformedVocabulary: lines are wrong; all are named.
        Refused: a run of `themes` is unfinished; it keeps the vocabulary that it started with.
    """
    lines, problems = _read(file)
    with database.transaction() as transaction:
        run = latest(transaction, "themes")
        if run is not None and run.status in UNFINISHED:
            raise Refused(
                f"run {run.id} is {run.status} and keeps the vocabulary that it started with; "
                "finish it or roll it back first"
            )
        automatic = _Automatic(transaction, schema)
        known = {row["normalized"]: row["canonical_normalized"] for row in transaction.all("vocabulary.read_decisions")}
        # A decision that a run has carried out stands beside the synonym made of it, which a rollback takes away.
        decided = {
            line.normalized: line
            for line in lines
            if line.canonical_normalized not in {automatic.resolve(line.normalized)} - {known.get(line.normalized)}
        }
        final = {**known, **{name: line.canonical_normalized for name, line in decided.items()}}
        for line in lines:
            if line.normalized not in decided:
                final.pop(line.normalized, None)
        problems += list(_chains(lines, final, automatic))
        if problems:
            raise MalformedVocabulary(file, problems)
        withdrawn = 0
        for line in lines:
            if line.normalized in decided:
                transaction.run(
                    "vocabulary.save_decision", actor=actor(), **{k: v for k, v in vars(line).items() if k != "line"}
                )
            elif line.normalized in known:
                withdrawn += transaction.run("vocabulary.delete_decision", normalized=line.normalized)
    return {"decided": len(decided), "withdrawn": withdrawn, "unchanged": len(lines) - len(decided) - withdrawn}


class _Automatic:
    """What a text would become without decisions."""

    def __init__(self, transaction: Transaction, schema: str) -> None:
        names = {name: psql.Identifier(schema, name) for name in ("tags", "tag_synonyms")}
        self.tags = {row["normalized_name"] for row in transaction.all("vocabulary.read_tag_names", names, most=None)}
        self.synonyms = {
            row["normalized"]: row["canonical"] for row in transaction.all("vocabulary.read_synonyms", names)
        }
        for tag in starter.load():
            self.tags.add(normalise(tag.name))
            for text in tag.synonyms:
                self.synonyms.setdefault(normalise(text), normalise(tag.name))

    def resolve(self, normalized: str) -> str:
        if normalized in self.tags:
            return normalized
        return str(self.synonyms.get(normalized, normalized))


def _read(file: Path) -> tuple[list[Decision], list[str]]:
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    problems: list[str] = []
    found: dict[str, Decision] = {}
    try:
        with file.open("rb") as lines:
            reader = csv.DictReader(decoded(lines), strict=True)
            if missing := [name for name in COLUMNS[:2] if name not in (reader.fieldnames or ())]:
                raise MalformedVocabulary(file, [f"line 1: column {missing[0]!r} is missing"])
            for decision in _decisions(reader, problems):
                earlier = found.setdefault(decision.normalized, decision)
                if earlier.canonical_normalized != decision.canonical_normalized:
                    problems.append(
                        f"lines {earlier.line} and {decision.line}: the same text but for case, form or spaces, "
                        f"mapped to {earlier.canonical!r} and to {decision.canonical!r}"
                    )
    except csv.Error as error:
        raise MalformedVocabulary(file, [f"line {reader.reader.line_num}: {error}"]) from error
    except NotUtf8 as error:
        raise MalformedVocabulary(file, [str(error)]) from error
    return list(found.values()), problems


def _decisions(reader: "csv.DictReader[str]", problems: list[str]) -> Iterator[Decision]:
    for row in reader:
        line, raw, canonical = reader.line_num, row["raw"], row["canonical"]
        category = (row.get("category") or "").strip() or None
        if None in row or raw is None or canonical is None:
            problems.append(f"line {line}: wrong number of columns")
        elif not normalise(canonical):
            continue
        elif not normalise(raw):
            problems.append(f"line {line}: a blank text cannot become a tag")
        elif len(raw) > LONGEST_RAW:
            problems.append(f"line {line}: raw is longer than {LONGEST_RAW} characters")
        elif reason := problem(canonical):
            problems.append(f"line {line}: canonical is {reason}")
        elif category is not None and category not in starter.CATEGORIES:
            problems.append(f"line {line}: category {category!r} is none of {', '.join(starter.CATEGORIES)}")
        else:
            yield Decision(line, normalise(raw), clean(canonical), normalise(canonical), category)


def _chains(lines: list[Decision], final: Mapping[str, str], automatic: _Automatic) -> Iterator[str]:
    """Find lines whose canonical tag is itself mapped to something else."""
    for line in lines:
        target = line.canonical_normalized
        onward = final.get(target, automatic.resolve(target))
        if target != line.normalized and onward == line.normalized:
            yield f"line {line.line}: a cycle, {line.canonical!r} is mapped back to this text"
        elif onward != target:
            yield f"line {line.line}: a chain, {line.canonical!r} is itself mapped to {onward!r}; map to that tag"
