"""`segue doctor` names what would stop, slow or endanger a migration, with the command that mends it, and changes nothing."""

import uuid
from contextlib import closing, suppress

import psycopg
import pytest

from migrator.checkup import server

A, B = (str(uuid.UUID(int=number)) for number in (1, 2))


@pytest.fixture(autouse=True)
def legacy(songs) -> None:
    """A songs table, as every patient has one."""
    songs([(A, ["Hope"]), (B, ["Joy"])])


@pytest.fixture
def found(segue):
    """Return a function that runs doctor and returns its exit code and the findings that are not ok."""

    def run(**options):
        result = segue("doctor", "--json", **options)
        body = result.json
        assert body["ok"] == (result.code == 0)
        return result.code, [finding for finding in body["findings"] if finding["level"] != "ok"]

    return run


def test_a_healthy_database(segue, found, snapshot) -> None:
    """All checks are made and told, nothing is found, nothing is changed."""
    before = snapshot("public", "segue")
    assert (0, []) == found()
    said = segue("doctor")

    assert 0 == said.code
    checks = {line.split()[1] for line in said.stdout.splitlines()}
    assert {"schema", "role", "privileges", "runs", "triggers", "indexes", "transactions", "replication"} <= checks
    assert {"processes", "jobs"} <= checks
    assert {"vacuum", "space", "connections", "clock", "pooler", "extensions"} <= checks
    assert before == snapshot("public", "segue")


def test_without_schema(found, bare_url) -> None:
    """Before `segue db upgrade` the one thing to do is that."""
    code, findings = found(url=bare_url)

    assert 5 == code
    assert [("schema", "blocked", "segue db upgrade")] == [(f["check"], f["level"], f["fix"]) for f in findings]


def test_a_role_that_may_not(connection, database_url, found) -> None:
    """Missing privileges block, a short timeout is warned of; both say the statement that mends them."""
    role = f"weak_{uuid.uuid4().hex[:8]}"
    connection.execute(f"CREATE ROLE {role} LOGIN")
    connection.execute(f"ALTER ROLE {role} SET statement_timeout = '30s'")
    connection.execute(f"GRANT USAGE ON SCHEMA segue TO {role}")
    connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA segue TO {role}")
    try:
        code, findings = found(url=database_url.replace("postgres@", f"{role}@"))
    finally:
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")

    assert 5 == code
    assert "privileges" == findings[0]["check"]
    assert "blocked" == findings[0]["level"]
    assert "GRANT" in findings[0]["fix"]
    assert f'ALTER ROLE "{role}" SET statement_timeout = 0' in {f["fix"] for f in findings}
    assert f'GRANT CREATE ON SCHEMA "public" TO "{role}"' in {f["fix"] for f in findings}


def test_fixes_are_commands_that_mend(connection, found) -> None:
    """Indexes, a disabled autovacuum: what doctor prints is executed, and then it is content."""
    connection.execute("DROP INDEX song_tags_tag_id_idx")
    connection.execute("ALTER TABLE tags SET (autovacuum_enabled = false)")
    connection.execute("CREATE TABLE twice AS SELECT 1 AS x FROM generate_series(1, 2)")
    with suppress(psycopg.errors.UniqueViolation):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY twice_x ON twice (x)")
    code, findings = found()
    assert 0 == code
    assert {"indexes", "vacuum"} == {f["check"] for f in findings}
    assert 3 == len(findings)

    connection.execute("DELETE FROM twice WHERE ctid = '(0,1)'")
    for finding in findings:
        connection.execute(finding["fix"])

    assert (0, []) == found()


def test_old_transactions_and_slots(connection, database_url, found, monkeypatch) -> None:
    """A session that holds a transaction open, and a slot that keeps WAL, are named with the way to end them."""
    monkeypatch.setattr(server, "OLD_SECONDS", 0)
    monkeypatch.setattr(server, "MUCH_WAL", 0)
    slot = f"slot_{uuid.uuid4().hex[:8]}"
    connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", [slot])
    try:
        # Its session is ended by the command that doctor prints, which leaving the block would complain of.
        with closing(psycopg.connect(database_url, application_name="forgotten")) as other:
            other.execute("SELECT 1")
            code, findings = found()
            own = [f for f in findings if "forgotten" in f["message"] or slot in f["message"]]
            assert 0 == code
            assert {f"SELECT pg_terminate_backend({other.info.backend_pid})"} == {
                f["fix"] for f in own if f["check"] == "transactions"
            }
            for finding in own:
                connection.execute(finding["fix"])
    finally:
        connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [slot]
        )

    assert not [f for f in found()[1] if "forgotten" in f["message"] or slot in f["message"]]


def test_triggers_of_others(connection, found) -> None:
    """A trigger on a target table costs every row that a run writes; one on the legacy table does not concern us."""
    connection.execute(
        "CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        "CREATE TRIGGER audit AFTER INSERT ON song_tags FOR EACH ROW EXECUTE FUNCTION noop();"
        "CREATE TRIGGER theirs AFTER INSERT ON songs FOR EACH ROW EXECUTE FUNCTION noop()"
    )
    code, findings = found()

    assert 0 == code
    assert ["triggers"] == [f["check"] for f in findings]
    assert "audit on song_tags" in findings[0]["message"]


def test_a_run_that_nobody_works_on(segue, found) -> None:
    """An unfinished run without a live process is named, with what goes on and what takes it back."""
    assert 6 == segue("migrate", "--max-chunks", "1", "-b", "1", "--workers", "1").code
    code, findings = found()

    assert 0 == code
    assert ["runs"] == [f["check"] for f in findings]
    assert "run 1 of themes is paused" in findings[0]["message"]
    assert "segue resume 1" in findings[0]["fix"]
    assert 0 == segue("resume", "1").code
    assert (0, []) == found()


def test_limits_are_compared(found, monkeypatch) -> None:
    """Few connections, few transaction ids and a wrong clock are told of; running out of ids blocks."""
    monkeypatch.setattr(server, "CONNECTIONS_NEEDED", 10_000)
    monkeypatch.setattr(server, "CLOCK_SECONDS", -1)
    monkeypatch.setattr(server, "FEW_TRANSACTIONS_LEFT", 1 << 40)
    assert {"connections", "clock", "vacuum"} == {f["check"] for f in found()[1]}
    monkeypatch.setattr(server, "NO_TRANSACTIONS_LEFT", 1 << 40)
    code, findings = found()

    assert 5 == code
    assert ("vacuum", "blocked") == (findings[0]["check"], findings[0]["level"])


def test_what_the_role_may_not_see_is_said(connection, database_url, segue) -> None:
    """One check that fails does not hide the others, and no server is an error."""
    role = f"blind_{uuid.uuid4().hex[:8]}"
    connection.execute(f"CREATE ROLE {role} LOGIN")
    connection.execute(f"GRANT USAGE ON SCHEMA segue TO {role}")
    connection.execute(f"GRANT SELECT ON segue.alembic_version, segue.tables TO {role}")
    try:
        result = segue("doctor", "--json", url=database_url.replace("postgres@", f"{role}@"))
    finally:
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")
    unseen = [f for f in result.json["findings"] if "could not be checked" in f["message"]]
    assert ["runs", "processes", "jobs", "cleanups", "mirror"] == [f["check"] for f in unseen]
    assert 5 == result.code  # it may not write the targets either

    assert 1 == segue("doctor", url="postgresql://nobody@127.0.0.1:1/none").code
