"""Wrong input gets a clear error with the documented exit code, and nothing is changed."""

import uuid
from pathlib import Path

import psycopg
import pytest

A, B = (str(uuid.UUID(int=number)) for number in (1, 2))

#: (arguments, exit code, words of the message), on a database with a songs table and no run.
COMMANDS = [
    (("migrate", "theme"), 2, ["no migration named 'theme'", "did you mean 'themes'"]),
    (("migrate", "--table", "song"), 2, ["no table named 'song'", "did you mean 'songs'", "--table"]),
    (("migrate", "--column", "theme"), 2, ["no column in public.songs named 'theme'", "did you mean 'themes'"]),
    (("migrate", "--key", "idd"), 2, ["no column in public.songs named 'idd'", "did you mean 'id'"]),
    (("migrate", "--key", "title"), 5, ["'title'", "not unique", "CREATE UNIQUE INDEX"]),
    (("migrate", "--key", "code"), 5, ["'code'", "may be NULL", "SET NOT NULL"]),
    (("migrate", "--key", "added"), 5, ["'added'", "timestamp", "must be one of"]),
    (("migrate", "--column", "title"), 5, ["'title'", "text", "text[]"]),
    (("migrate", "-b", "0"), 2, ["batch-size", "1<=x<=100000"]),
    (("migrate", "-b", "many"), 2, ["batch-size", "not a valid integer"]),
    (("migrate", "--workers", "0"), 2, ["workers"]),
    (("migrate", "--max-errors", "some"), 2, ["--max-errors", "5%"]),
    (("migrate", "--max-errors", "200%"), 2, ["--max-errors", "5%"]),
    (("migrate", "--max-seconds", "nan"), 2, ["--max-seconds"]),
    (("migrate", "--table", ""), 2, ["--table is empty"]),
    (("migrate", "--table", "a.b.c"), 2, ["not a table name"]),
    (("vocabulary", "export", "/nowhere/at/all.csv"), 1, ["/nowhere/at/all.csv", "cannot be written"]),
    (("migrate", "--validate", "--skip-validation"), 2, ["exclude each other"]),
    (("migrate", "--split", " "), 2, ["--split"]),
    (("migrate", "--load", "warm"), 2, ["--load", "fresh"]),
    (("migrate", "--oops"), 2, ["--oops"]),
    (("rollback",), 5, ["no run"]),
    (("rollback", "7"), 2, ["no run named '7'", "segue status"]),
    (("rollback", "seven"), 2, ["seven"]),
    (("validate", "7"), 2, ["no run named '7'"]),
    (("validate", "themes"), 2, ["has not been run"]),
    (("validate", "theme"), 2, ["did you mean 'themes'"]),
    (("status", "7"), 2, ["no run named '7'"]),
    (("pause", "7"), 2, ["no run named '7'"]),
    (("certificate", "7"), 2, ["no run named '7'"]),
    (("vocabulary", "import", "nowhere.csv"), 2, ["nowhere.csv", "no such file"]),
    (("load", "songs", "nowhere.jsonl"), 2, ["nowhere.jsonl", "no such file"]),
    (("load", "songs", "nowhere.xml"), 2, [".jsonl or a .csv"]),
    (("db", "up"), 2, ["DATABASE_URL is set"]),
]


@pytest.mark.parametrize(
    ("arguments", "code", "words"), COMMANDS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else None
)
def test_wrong_command_is_explained(arguments, code, words, segue, songs, connection, snapshot) -> None:
    """The message names the object, the reason and the next step; the exit code is the documented one."""
    songs([(A, ["Hope"]), (B, None)])
    connection.execute(
        "ALTER TABLE songs ADD code int UNIQUE, ADD added timestamptz DEFAULT clock_timestamp() NOT NULL UNIQUE"
    )
    before = snapshot("public", "segue")

    result = segue(*arguments)

    assert (code, []) == (result.code, [word for word in words if word not in result.stderr]), result.stderr
    assert "Traceback" not in result.stderr
    assert before == snapshot("public", "segue")


def test_unreachable_server_is_explained(segue) -> None:
    """Exit 1, with the address, without the password."""
    result = segue("migrate", url="postgresql://someone:hush-hush@127.0.0.1:1/nothing")

    assert 1 == result.code
    assert "cannot connect to postgresql://someone:***@127.0.0.1:1/nothing" in result.stderr
    assert "hush-hush" not in result.stderr + result.stdout


def test_wrong_url_is_explained(segue) -> None:
    """A URL of another database system, or no URL at all, is refused in words."""
    assert "PostgreSQL" in segue("status", url="mysql://a@b/c").stderr
    assert 2 == segue("status", url="mysql://a@b/c").code
    assert "not a database URL" in segue("status", url="songs").stderr


def test_missing_schema_is_explained(bare_url, segue) -> None:
    """A database without Segue's schema: exit 5 and the command that makes it."""
    result = segue("migrate", url=bare_url)

    assert (5, True) == (result.code, "segue db upgrade" in result.stderr)


def test_other_revision_is_explained(segue, connection) -> None:
    """A schema older or newer than this version is refused, each with its own next step."""
    connection.execute("UPDATE segue.alembic_version SET version_num = '0001'")
    older = segue("migrate")
    connection.execute("UPDATE segue.alembic_version SET version_num = '9999'")
    newer = segue("migrate")

    assert (5, True) == (older.code, "run: segue db upgrade" in older.stderr)
    assert (5, True) == (newer.code, "install the newer Segue" in newer.stderr)


def test_too_old_server_is_refused(segue, songs, monkeypatch) -> None:
    """A server older than the oldest supported is refused before anything else is looked at."""
    songs([(A, ["Hope"])])
    monkeypatch.setattr("migrator.preflight.OLDEST_SERVER", 99)

    result = segue("migrate")

    assert (5, True) == (result.code, "is too old; Segue needs 99 or newer" in result.stderr)


@pytest.fixture
def limited(server, database_url, connection):
    """A role with few privileges on the test's database, and its URL."""
    role = f"limited_{uuid.uuid4().hex[:8]}"
    connection.execute(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA segue TO {role}")
    connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA segue TO {role}")
    yield role, database_url.replace("postgres@", f"{role}@")
    connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_missing_privilege_names_the_grant(segue, songs, connection, limited) -> None:
    """Without SELECT on the source, or the rights on the targets, the message says which GRANT is missing."""
    role, url = limited
    songs([(A, ["Hope"])])

    no_source = segue("migrate", url=url)
    connection.execute(f"GRANT SELECT ON songs TO {role}")
    no_target = segue("migrate", "--dry-run", url=url)

    assert (5, True) == (no_source.code, "GRANT SELECT ON public.songs" in no_source.stderr), no_source.stderr
    assert (5, True) == (no_target.code, 'GRANT INSERT ON "public"."song_tags"' in no_target.stderr), no_target.stderr


SONGS = [
    ("a.jsonl", '{"id": "%s", "title": "x", "themes": ["a"]}\nnot json\n' % A, "line 2: not JSON"),
    ("a.jsonl", "[1]\n", "line 1: not a JSON object"),
    ("a.jsonl", '{"id": "one"}\n', "line 1: id 'one' is not a UUID"),
    ("a.jsonl", '{"id": "%s", "themes": "a,b"}\n' % A, "line 1: themes are neither null nor an array"),
    ("a.jsonl", '{"id": "%s", "themes": [1]}\n' % A, "line 1: themes are neither null nor an array"),
    ("a.jsonl", '{"id": "%s", "title": 7}\n' % A, "line 1: title is not text"),
    ("a.jsonl", '{"id": "%s", "themes": ["a\\u0000"]}\n' % A, "line 1: a text holds NUL"),
    ("a.jsonl", '{"id": "%s", "themes": ["a\\ud800"]}\n' % A, "line 1: a text holds a lone surrogate"),
    ("a.jsonl", b"\xff\n", "line 1: not UTF-8"),
    ("a.jsonl", ('{"id": "%s"}\n' % A) * 2, "exists already"),
    ("a.csv", "id,title\n", "line 1: column 'themes' is missing"),
    ("a.csv", 'id,title,themes\n%s,x,"[1"\n' % A, "line 2: themes are not a JSON array"),
    ("a.csv", f"id,title,themes\n{A},x\n", "line 2: wrong number of columns"),
]


@pytest.mark.parametrize(("name", "content", "message"), SONGS)
def test_malformed_songs_load_nothing(name, content, message, segue, connection, tmp_path: Path) -> None:
    """The line is named, and neither a row nor the table is left behind."""
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))

    result = segue("load", "songs", str(file))

    assert (1, True) == (result.code, message in result.stderr), result.stderr
    assert connection.execute("SELECT to_regclass('songs')").fetchone() == (None,)


def test_songs_load_from_csv_and_jsonl(segue, connection, tmp_path: Path) -> None:
    """Both formats give the same rows, with a byte order mark and an empty line passed over."""
    (tmp_path / "a.csv").write_text(f'\ufeffid,title,themes\n{A},One,"[""a"", null]"\n', "utf-8")
    (tmp_path / "b.jsonl").write_text('\ufeff{"id": "%s", "title": "Two", "themes": null}\n\n' % B, "utf-8")

    assert 1 == segue("load", "songs", str(tmp_path / "a.csv"), "--json").json["loaded"]
    assert 1 == segue("load", "songs", str(tmp_path / "b.jsonl"), "--json").json["loaded"]
    rows = connection.execute("SELECT id::text, title, themes FROM songs ORDER BY id").fetchall()

    assert [(A, "One", ["a", None]), (B, "Two", None)] == rows


def test_validate_and_certificate_need_a_run_at_rest(segue, songs, connection) -> None:
    """While a run is unfinished, validation is refused (5) with the command that resumes it."""
    songs([(str(uuid.UUID(int=number)), ["Hope"]) for number in range(10)])
    assert 6 == segue("migrate", "-b", "2", "--max-chunks", "1").code

    result = segue("validate", "1")

    assert (5, True) == (result.code, "segue migrate themes" in result.stderr)


def test_read_only_standby_is_refused(segue, monkeypatch) -> None:
    """A server in recovery cannot be migrated."""
    from sql.database import Transaction

    original = Transaction.one

    def standby(self, name, *args, **values):
        row = original(self, name, *args, **values)
        return {**row, "in_recovery": True} if name == "session.describe_server" else row

    monkeypatch.setattr(Transaction, "one", standby)

    result = segue("migrate")

    assert (5, True) == (result.code, "read-only standby" in result.stderr)


def test_driver_errors_carry_no_row_values(database_url, connection: psycopg.Connection) -> None:
    """PostgreSQL's DETAIL, which quotes the row, does not enter our message, nor does a value that a type refuses."""
    from sql.errors import wrap

    connection.execute("CREATE TABLE t (secret text UNIQUE, born date); INSERT INTO t VALUES ('hush-hush')")
    for values in ("('hush-hush')", "('x', 'hush-hush')", "('x', '9999-hush-hush')"):
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(f"INSERT INTO t VALUES {values}")

        assert "hush-hush" in str(caught.value)
        assert "hush-hush" not in str(wrap(caught.value))


def test_broken_migration_file_is_named(segue, tmp_path: Path) -> None:
    """A file of SEGUE_MIGRATIONS that does not load is a usage error with file and line; so is a directory that is none."""
    (tmp_path / "odd.py").write_text("x = 1\ny = x / 0\n")

    broken = segue("migrate", env={"SEGUE_MIGRATIONS": str(tmp_path)})
    missing = segue("migrate", env={"SEGUE_MIGRATIONS": str(tmp_path / "nowhere")})

    assert (2, True) == (broken.code, "odd.py, line 2: ZeroDivisionError" in broken.stderr)
    assert (2, True) == (missing.code, "is not a directory" in missing.stderr)


def test_other_application_schema_is_refused(segue, songs) -> None:
    """Segue's schema belongs to one application schema; another one is refused with the name of the first."""
    songs([(A, ["Hope"])])

    result = segue("--schema", "other", "migrate")

    assert (5, True) == (result.code, "give --schema public" in result.stderr)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://a@127.0.0.1:1/x?password=hush-hush", 1),
        ("postgresql://a@127.0.0.1:1/x?sslpassword=hush-hush", 1),
        ("postgresql://a:p@hush-hush@127.0.0.1:1/x", 2),
        ("postgresql://a:hush-hush@127.0.0.1:notaport/x", 2),
        ("postgresql://a:hush-hush@[::1/x", 2),
    ],
)
def test_no_password_is_ever_printed(url, code, segue) -> None:
    """Wherever a URL hides a password, and however wrong the URL is, the password stays hidden."""
    result = segue("status", "--json", url=url)

    assert (code, False) == (result.code, "hush-hush" in result.stdout + result.stderr), result.stderr


def test_shown_url_can_be_used(database_url, segue, server) -> None:
    """A URL that a message shows has its spaces as %20, which libpq reads, not as a plus sign."""
    from sql.database import Database

    assert "host=%2Fa%20b" in str(Database("postgresql://a@/x?host=/a%20b"))


@pytest.mark.parametrize("is_dry", [False, True])
def test_another_table_cannot_take_the_links(segue, songs, connection, snapshot, *, is_dry: bool) -> None:
    """Links of songs are no links of others with the same keys: 5, nothing changed, no run left behind, no way blocked."""
    songs([(1, ["Hope"]), (2, ["Grace", "Hope"]), (3, ["Faith"])], key_type="bigint")
    connection.execute("CREATE TABLE others (id bigint PRIMARY KEY, themes text[])")
    connection.execute("INSERT INTO others VALUES (1, '{Hope,Zeal}')")
    assert 0 == segue("migrate").code
    before = snapshot()

    result = segue("migrate", "--table", "others", *(["--dry-run"] if is_dry else []))

    assert (5, True) == (result.code, "song_tags_song_id_fkey" in result.stderr), result.stderr
    assert before == snapshot()
    assert 0 == segue("validate").code
    assert 0 == segue("migrate").code
    assert (1,) == connection.execute("SELECT count(*) FROM segue.runs").fetchone()
