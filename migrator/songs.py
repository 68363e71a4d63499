"""Loading legacy songs from a file, streamed through COPY; every line's error names the line."""

import csv
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from psycopg import sql as psql

from migrator.errors import MigratorError, UsageError
from migrator.source import split_name
from migrator.text_lines import NotUtf8, decoded
from sql.database import Database
from sql.errors import UniqueViolation

#: Longer lines are an error; without a bound one line could take all memory.
LONGEST_LINE = 16 * 1024 * 1024

Song = tuple[str, str | None, list[Any] | None]


class MalformedSong(MigratorError):
    """A line of the file is not a song; nothing was loaded.

    Attributes:
        line: counted from 1.
    """

    def __init__(self, file: Path, line: int, problem: str) -> None:
        super().__init__(f"{file}, line {line}: {problem}; nothing was loaded")
        self.line = line


def load_songs(database: Database, file: Path, *, table: str, schema: str) -> int:
    """Load `id, title, themes` from JSON lines or CSV into a table, made when missing; all or nothing.

    In CSV the themes are a JSON array, or empty for NULL.

    Raises:
        UsageError: the file's name ends in neither .jsonl nor .csv, or it cannot be read.
        MalformedSong: with the line's number.
    """
    readers = {".jsonl": _read_jsonl, ".csv": _read_csv}
    if file.suffix not in readers:
        raise UsageError(f"{file}: songs come from a .jsonl or a .csv file")
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    schema, table = split_name(table, schema)
    fragments = {"table": psql.Identifier(schema, table)}
    try:
        with database.transaction() as transaction:
            transaction.run("songs.create_songs", fragments)
            return transaction.copy_in("songs.copy_songs", readers[file.suffix](file), fragments)
    except UniqueViolation as error:
        raise MigratorError(
            f"{file}: a song's id exists already in {schema}.{table}, or twice in the file; nothing was loaded"
        ) from error


def _read_jsonl(file: Path) -> Iterator[Song]:
    with file.open("rb") as lines:
        number = 0
        while raw := lines.readline(LONGEST_LINE + 1):
            number += 1
            if len(raw) > LONGEST_LINE:
                raise MalformedSong(file, number, f"longer than {LONGEST_LINE // 2**20} MiB")
            if not raw.strip():
                continue
            try:
                record = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                raise MalformedSong(file, number, f"not UTF-8 at byte {error.start + 1}") from error
            except (ValueError, RecursionError) as error:
                raise MalformedSong(file, number, f"not JSON: {error}") from error
            if not isinstance(record, dict):
                raise MalformedSong(file, number, "not a JSON object")
            yield _song(file, number, record.get("id"), record.get("title"), record.get("themes"))


def _read_csv(file: Path) -> Iterator[Song]:
    with file.open("rb") as lines:
        reader = csv.DictReader(decoded(lines), strict=True)
        try:
            if missing := {"id", "title", "themes"} - set(reader.fieldnames or ()):
                raise MalformedSong(file, 1, f"column {min(missing)!r} is missing from the header")
            for row in reader:
                if None in row or None in row.values():
                    raise MalformedSong(file, reader.line_num, "wrong number of columns")
                themes = row["themes"]
                try:
                    parsed = json.loads(themes) if themes and themes.strip() else None
                except ValueError as error:
                    raise MalformedSong(file, reader.line_num, f"themes are not a JSON array: {error}") from error
                yield _song(file, reader.line_num, row["id"], row["title"], parsed)
        except csv.Error as error:
            # Its own line number is that of the last good row.
            raise MalformedSong(file, reader.reader.line_num, f"not CSV: {error}") from error
        except NotUtf8 as error:
            raise MalformedSong(file, error.line, error.problem) from error


def _song(file: Path, line: int, key: object, title: object, themes: object) -> Song:
    try:
        key = str(uuid.UUID(str(key)))
    except ValueError as error:
        raise MalformedSong(file, line, f"id {str(key)[:40]!r} is not a UUID") from error
    if title is not None and not isinstance(title, str):
        raise MalformedSong(file, line, "title is not text")
    if themes is not None and not (
        isinstance(themes, list) and all(theme is None or isinstance(theme, str) for theme in themes)
    ):
        raise MalformedSong(file, line, "themes are neither null nor an array of texts and nulls")
    for text in (title, *(themes or ())):
        if text is not None and (problem := _unstorable(text)):
            raise MalformedSong(file, line, problem)
    return key, title, themes


def _unstorable(text: str) -> str | None:
    """Say why PostgreSQL cannot hold a text."""
    if "\x00" in text:
        return "a text holds NUL, which PostgreSQL cannot store"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "a text holds a lone surrogate, which is not a character"
    return None
