"""What the benchmarks measure on: an embedded server of their own, deterministic songs, copies of them, and the truth.

Data: 5 % of the songs have NULL, 3 % an empty array, the others one to seven themes; 2,000 tags drawn by Zipf's law,
each in one plain and twelve noisy spellings (case, white space, full-width letters), some blank or NULL elements.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from sql.embedded import EmbeddedServer

ROOT = Path(__file__).parent.parent

#: `segue` in a process of its own, which tells its own peak memory (VmHWM, in kB) on stderr when it ends.
SEGUE = """
import atexit, pathlib, re, sys
def peak():
    status = pathlib.Path("/proc/self/status")
    found = re.search(r"VmHWM:\\s+(\\d+)", status.read_text()) if status.exists() else None
    sys.stderr.write(f"\\nVmHWM {found[1] if found else 0}\\n")
atexit.register(peak)
from migrator.cli import main
main()
"""

_SONGS: LiteralString = """
CREATE TABLE songs (id uuid PRIMARY KEY, title text NOT NULL, themes text[]);

CREATE TEMP TABLE spelling AS
SELECT
    tag.rank,
    form,
    CASE form
        WHEN 0 THEN name
        WHEN 1 THEN initcap(name)
        WHEN 2 THEN upper(name)
        WHEN 3 THEN ' ' || name
        WHEN 4 THEN name || ' '
        WHEN 5 THEN replace(name, ' ', '  ')
        WHEN 6 THEN E'\\t' || initcap(name)
        WHEN 7 THEN replace(name, ' ', U&'\\00A0')
        WHEN 8 THEN name || E'\\n'
        WHEN 9 THEN '  ' || upper(name) || '  '
        WHEN 10 THEN replace(initcap(name), ' ', U&'\\3000')
        WHEN 11 THEN translate(name, 'abcde', U&'\\FF41\\FF42\\FF43\\FF44\\FF45')
        ELSE upper(name) || ' '
    END AS raw
FROM (
    SELECT rank, split_part(
        'amber bitter calm distant eager faded golden hidden inner jaded keen lonely mellow narrow open pale quiet '
        'restless silver tender urban violet warm xeric young zealous brave crimson drifting endless fragile gentle '
        'hollow icy joyous kindred lost misty northern other', ' ', 1 + rank % 40
    ) || ' ' || split_part(
        'river harbour meadow winter summer thunder lantern garden mountain ocean desert forest island window mirror '
        'bridge highway station morning evening midnight shadow candle engine letter number pattern signal stranger '
        'traveller soldier sailor dancer dreamer brother sister mother father teacher neighbour village city valley '
        'canyon glacier comet planet satellite horizon echo', ' ', 1 + rank / 40
    ) AS name
    FROM generate_series(0, 1999) AS rank
) AS tag
CROSS JOIN generate_series(0, 12) AS form;
ANALYZE spelling;

INSERT INTO songs (id, title, themes)
SELECT
    md5('song ' || song)::uuid,
    'Song ' || song,
    CASE WHEN song % 100 < 5 THEN NULL ELSE coalesce(found.themes, '{{}}') END
FROM generate_series(1, {songs}) AS song
LEFT JOIN (
    SELECT element.song, array_agg(
        CASE WHEN element.odd < 7 THEN '' WHEN element.odd < 13 THEN '   ' WHEN element.odd >= 18 THEN spelling.raw END
        ORDER BY element.nth
    ) AS themes
    FROM (
        SELECT
            song,
            nth,
            floor(exp((hashint8extended(song * 16 + nth, 1) & 65535) / 65536.0 * ln(2001)))::int - 1 AS rank,
            CASE
                WHEN hashint8extended(song * 16 + nth, 2) & 1023 < 614 THEN 0
                ELSE 1 + (hashint8extended(song * 16 + nth, 2) >> 10 & 65535) % 12
            END AS form,
            (hashint8extended(song * 16 + nth, 3) & 65535) % 1000 AS odd
        FROM generate_series(1, {songs}) AS song
        CROSS JOIN LATERAL generate_series(1, 1 + (hashint8extended(song, 4) & 65535) % 13 / 2) AS nth
        WHERE song % 100 >= 8
    ) AS element
    JOIN spelling USING (rank, form)
    GROUP BY element.song
) AS found USING (song)
ORDER BY song;
"""

#: The set of links that every case must produce, by the tags' names.
_TRUTH: LiteralString = """
CREATE SCHEMA bench;
CREATE TABLE bench.truth AS
WITH text AS MATERIALIZED (SELECT DISTINCT raw FROM songs CROSS JOIN LATERAL unnest(themes) AS raw),
word AS MATERIALIZED (
    SELECT raw, lower(btrim(regexp_replace(normalize(raw, NFKC), '\\s+', ' ', 'g'))) AS name FROM text
)
SELECT DISTINCT songs.id AS song_id, word.name COLLATE "C" AS name
FROM songs CROSS JOIN LATERAL unnest(themes) AS raw JOIN word USING (raw)
WHERE word.name <> '';
"""

_COMPARE: LiteralString = """
WITH truth AS MATERIALIZED (
    SELECT song_id, name FROM bench.truth
    WHERE {first} IS NULL OR song_id IN (SELECT id FROM songs ORDER BY id LIMIT {first})
),
actual AS MATERIALIZED (
    SELECT link.song_id, tag.normalized_name COLLATE "C" AS name
    FROM {links} AS link
    JOIN tags AS tag ON tag.id = link.tag_id
),
due AS (SELECT count(*) AS n, sum(hashtextextended(name, 1) # uuid_hash_extended(song_id, 2)) AS digest FROM truth),
made AS (SELECT count(*) AS n, sum(hashtextextended(name, 1) # uuid_hash_extended(song_id, 2)) AS digest FROM actual)
SELECT made.n, due.n, made.digest IS NOT DISTINCT FROM due.digest,
    (SELECT count(*) FROM (SELECT * FROM truth EXCEPT SELECT * FROM actual) AS missing),
    (SELECT count(*) FROM (SELECT * FROM actual EXCEPT SELECT * FROM truth) AS extra)
FROM made, due
"""


class WrongResult(Exception):
    """A measured case did not do its work; its time means nothing."""


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
        seconds: of wall time, measured outside.
        code: its exit code; negative is the signal that killed it.
        peak_mb: its largest resident memory, without children's.
        said: what it printed on stdout.
        told: what it printed on stderr.
    """

    seconds: float
    code: int
    peak_mb: float
    said: str
    told: str


@dataclass(frozen=True)
class Bench:
    """The server of one benchmark and the databases on it."""

    server: EmbeddedServer
    numbers: "count[int]"

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return self.server.url(database)

    def connect(self, database: str) -> "psycopg.Connection[Any]":
        """Connect in autocommit mode."""
        return psycopg.connect(self.url(database), autocommit=True)

    def make_template(self, name: str, songs: int) -> dict[str, int]:
        """Make a database with songs, Segue's schema and the truth; return what is in it."""
        self._control("CREATE DATABASE {name}", name)
        with self.connect(name) as connection:
            connection.execute("SET work_mem = '256MB'")
            connection.execute(sql.SQL(_SONGS).format(songs=sql.Literal(songs)))
            connection.execute(_TRUTH)
            facts = connection.execute(
                "SELECT count(*), count(DISTINCT raw) FROM songs CROSS JOIN LATERAL unnest(themes) AS raw"
            ).fetchone()
            links = connection.execute("SELECT count(*), count(DISTINCT name) FROM bench.truth").fetchone()
        ended = self.segue(name, "db", "upgrade")
        if ended.code:
            raise WrongResult(f"segue db upgrade exits {ended.code}: {ended.told}")
        with self.connect(name) as connection:
            connection.execute("VACUUM (FREEZE, ANALYZE)")
        assert facts is not None
        assert links is not None
        return {"songs": songs, "elements": facts[0], "texts": facts[1], "links": links[0], "tags": links[1]}

    def make_empty(self, name: str) -> None:
        """Make a database with Segue's schema and nothing in it."""
        self._control("CREATE DATABASE {name}", name)
        ended = self.segue(name, "db", "upgrade")
        if ended.code:
            raise WrongResult(f"segue db upgrade exits {ended.code}: {ended.told}")

    @contextmanager
    def copy(self, template: str) -> Iterator[str]:
        """Lend a fresh copy of a template, with nothing left for the checkpointer to write."""
        name = f"copy_{next(self.numbers)}"
        strategy = " STRATEGY file_copy" if self.major >= 15 else ""
        self._control("CREATE DATABASE {name} TEMPLATE {template}" + strategy, name, template)
        try:
            self.settle(name)
            yield name
        finally:
            self._control("DROP DATABASE {name} WITH (FORCE)", name)

    def settle(self, database: str) -> None:
        """Write everything back and read the songs, if any, once, so that every case begins alike."""
        with self.connect(database) as connection:
            connection.execute("CHECKPOINT")
            if connection.execute("SELECT to_regclass('songs')").fetchone() != (None,):
                connection.execute("SELECT count(themes) FROM songs")

    @property
    def major(self) -> int:
        """The server's major version."""
        with self.connect("postgres") as connection:
            return connection.info.server_version // 10_000

    def _control(self, statement: LiteralString, name: str, template: str = "") -> None:
        with self.connect("postgres") as connection:
            names = {"name": sql.Identifier(name), "template": sql.Identifier(template or "template1")}
            connection.execute(sql.SQL(statement).format(**names))

    def segue(self, database: str, *arguments: str, env: Mapping[str, str] | None = None, code: str = SEGUE) -> Ended:
        """Run `segue ARGUMENTS…` to its end as a process with default settings; `code` is another way to start it."""
        return run_python(code, *arguments, env={"DATABASE_URL": self.url(database), **(env or {})})

    def compare(self, database: str, links: str = "song_tags", first: int | None = None) -> None:
        """Require the links (of the first songs) to be the due ones: number, digest, and EXCEPT both ways.

        Raises:
            WrongResult: they are not.
        """
        with self.connect(database) as connection:
            connection.execute("SET work_mem = '256MB'")
            query = sql.SQL(_COMPARE).format(links=sql.Identifier(links), first=sql.Literal(first))
            row = connection.execute(query).fetchone()
        assert row is not None
        made, due, is_same, missing, extra = row
        if made != due or not is_same or missing or extra:
            raise WrongResult(f"{made:,} links where {due:,} are due; {missing:,} are missing, {extra:,} too many")


def run_python(code: str, *arguments: str, env: Mapping[str, str] | None = None) -> Ended:
    """Run Python code as a process, in the environment of a user who has set nothing."""
    clean = {
        name: value
        for name, value in os.environ.items()
        # Without its compiled modules, as PYTHONDONTWRITEBYTECODE leaves them, Python compiles ours at every start.
        if not name.startswith(("SEGUE_", "PYTHON")) and name != "DATABASE_URL"
    }
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, env={**clean, **(env or {})}, capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    told, found, peak = done.stderr.rpartition("\nVmHWM ")
    return Ended(seconds, done.returncode, int(peak) / 1024 if found else 0.0, done.stdout, told if found else peak)


@contextmanager
def own_server() -> Iterator[Bench]:
    """Start a server with default settings in a directory of its own; stop it and delete everything at the end."""
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as home:
        Path(home).chmod(0o711)  # reachable by the account that the server drops to when root benchmarks
        server = EmbeddedServer(Path(home) / "home")
        server.up()
        try:
            yield Bench(server, count(1))
        finally:
            server.down(immediate=True)
