"""Listening snapshots: answers by hand, and every figure against a plain-Python reference."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from migrator.migration import Context
from migrator.migrations.snapshots import MIGRATION
from migrator.source import KeyRange
from sql.database import Database
from tests.migrator.listening import NAMES, at, features, listen, reference, stored, user_id

#: happy, calm, tense, sad; on the line; without valence; without anything.
KNOWN = {
    "happy": features("0.9", "0.8", "0.6", "120"),
    "calm": features("0.7", "0.2", "0.4", "80"),
    "tense": features("0.1", "0.9", "0.5", "150.5"),
    "sad": features("0.3", "0.1", None, "60.25"),
    "line": features("0.5", "0.5", "0.5", None),
    "half": features(None, "0.6", "0.7", "100"),
    "none": features(None, None, None, None),
}


def test_a_day_by_hand(segue, connection) -> None:
    """Four plays, one of each mood, and one without features: means, population deviations, shares."""
    listen(
        connection,
        [
            ("ann", track, at("2024-03-10", f"1{n}:00"))
            for n, track in enumerate(("happy", "calm", "tense", "sad", "unknown"))
        ],
        KNOWN,
    )

    done = segue("migrate", "snapshots", "--validate", "--json")

    found = stored(connection)
    assert (0, {"total": 15, "linked": 3, "merged": 9, "blank": 3, "quarantined": 0}) == (
        done.code,
        done.json["elements"],
    )
    assert {("ann", date(2024, 3, 10), name) for name in ("short_term", "medium_term", "long_term")} == set(found)
    figures, moods, total = found["ann", date(2024, 3, 10), "short_term"]
    assert {
        "avg_valence": Decimal("0.5"),  # (0.9 + 0.7 + 0.1 + 0.3) / 4
        "std_valence": Decimal("0.316228"),  # root of (0.16 + 0.04 + 0.16 + 0.04) / 4
        "avg_energy": Decimal("0.5"),
        "std_energy": Decimal("0.353553"),  # root of (0.09 + 0.09 + 0.16 + 0.16) / 4
        "avg_danceability": Decimal("0.5"),  # of three: sad has none
        "std_danceability": Decimal("0.081650"),
        "avg_tempo": Decimal("102.6875"),
        "std_tempo": Decimal("35.005078"),  # root of (299.7227 + 514.7227 + 2286.0352 + 1800.9414) / 4
    } == figures
    assert {name: {"percentage": 25, "track_count": 1} for name in ("happy", "calm", "tense", "sad")} == moods
    assert 4 == total


def test_windows_end_on_the_day(segue, connection) -> None:
    """28, 182 and 365 days: the first day of each range is in, the day before is out."""
    last = at("2025-01-01")
    ages = (0, 27, 28, 181, 182, 364, 365)
    listen(connection, [("ann", "happy", last - timedelta(days=age)) for age in ages], KNOWN)

    assert 0 == segue("migrate", "snapshots", "--validate").code

    found = stored(connection)
    totals = {name: found["ann", last.date(), name][2] for name in ("short_term", "medium_term", "long_term")}
    assert {"short_term": 2, "medium_term": 4, "long_term": 6} == totals


def test_days_are_utc(segue, connection) -> None:
    """A play belongs to its day in UTC, whatever the session's zone, down to the last microsecond."""
    database = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("ALTER DATABASE {} SET timezone = 'Pacific/Auckland'").format(database))
    midnight = [("ann", "happy", at("2024-03-10", "23:59:59.999999")), ("ann", "sad", at("2024-03-11", "00:00"))]
    listen(connection, midnight, KNOWN)

    assert 0 == segue("migrate", "snapshots", "--validate").code

    assert {date(2024, 3, 10), date(2024, 3, 11)} == {key[1] for key in stored(connection)}


def test_plays_without_features(segue, connection) -> None:
    """A day of unknown tracks has a snapshot too: of the days before it, or of nothing, in which case figures are null."""
    listen(connection, [("ann", "unknown", at("2024-03-10")), ("bob", "none", at("2024-03-10"))], KNOWN, users=["cat"])

    done = segue("migrate", "snapshots", "--validate", "--json")

    found = stored(connection)
    nothing = {name: {"percentage": None, "track_count": 0} for name in ("happy", "calm", "tense", "sad")}
    assert (3, {"total": 6, "linked": 6, "merged": 0, "blank": 0, "quarantined": 0}) == (
        done.json["rows"]["total"],
        done.json["elements"],
    )
    for user, total in (("ann", 0), ("bob", 1)):
        figures, moods, analysed = found[user, date(2024, 3, 10), "long_term"]
        assert ({None}, nothing, total) == (set(figures.values()), moods, analysed)


def test_values_that_are_no_numbers_or_no_days(segue, connection) -> None:
    """A tempo of NaN or infinity (in an adopted table) is left out, a play at no day of the calendar is blank."""
    connection.execute("ALTER TABLE audio_features DROP CONSTRAINT audio_features_tempo_check")
    listen(connection, [("ann", "happy", at("2024-03-10", "10:00")), ("ann", "sad", at("2024-03-10", "11:00"))], KNOWN)
    connection.execute("UPDATE audio_features SET tempo = 'NaN' WHERE track_id = 'sad'")
    connection.execute("UPDATE audio_features SET tempo = 'Infinity' WHERE track_id = 'happy'")
    for moment in ("infinity", "-infinity", "0044-03-15 12:00:00+00 BC"):
        connection.execute(
            "INSERT INTO user_listening_history (user_id, track_id, listened_at) VALUES (%s, 'happy', %s::timestamptz)",
            [user_id("ann"), moment],
        )

    done = segue("migrate", "snapshots", "--validate", "--json")

    assert (0, {"total": 15, "linked": 3, "merged": 3, "blank": 9, "quarantined": 0}) == (
        done.code,
        done.json["elements"],
    )
    assert {(None, None)} == {(found["avg_tempo"], found["std_tempo"]) for found, _, _ in stored(connection).values()}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Return the test's database as the program sees it."""
    database = Database(database_url)
    yield database
    database.close()


USERS, TRACKS = ("ann", "bob", "cat"), ("t1", "t2", "t3", "t4", "t5")
unit = (
    st.none()
    | st.sampled_from([Decimal("0.5"), Decimal(0), Decimal(1), Decimal("0.49999999")])
    | st.decimals(0, 1, places=7)
)
tempo = st.none() | st.decimals("0.001", 300, places=3)
known_tracks = st.dictionaries(
    st.sampled_from(TRACKS), st.builds(lambda *of: dict(zip(NAMES, of, strict=True)), unit, unit, unit, tempo)
)
#: Days around the ends of the ranges, instants around midnight.
offsets = st.builds(
    lambda days, seconds: timedelta(days=days) + timedelta(microseconds=seconds),
    st.sampled_from([0, 1, 2, 26, 27, 28, 29, 180, 181, 182, 183, 363, 364, 365, 366]) | st.integers(0, 800),
    st.sampled_from([0, 1, 86_399_999_999]) | st.integers(0, 86_399_999_999),
)
play_lists = st.lists(
    st.tuples(
        st.sampled_from(USERS),
        st.sampled_from(TRACKS),
        offsets.map(lambda offset: datetime(2023, 12, 1, tzinfo=UTC) + offset),
    ),
    max_size=25,
    unique=True,
)
zones = st.sampled_from(["UTC", "America/Sao_Paulo", "Pacific/Kiritimati", "Asia/Kathmandu"])
styles = st.sampled_from(["ISO, DMY", "German, DMY", "SQL, MDY"])


@settings(max_examples=80)
@given(
    before=play_lists,
    after=play_lists,
    known=known_tracks,
    zone=zones,
    style=styles,
    chunk=st.sampled_from([1, 2, 100]),
)
def test_snapshots_agree_with_the_reference(
    database: Database, before: list[Any], after: list[Any], known: dict[str, Any], zone: str, style: str, chunk: int
) -> None:
    """Writer, validator, sample and recount say what the reference says; after other plays, only their users are redone."""
    with database.transaction(repeatable_read=True, rolled_back=True) as transaction:
        connection = transaction.connection
        connection.execute("SELECT set_config('timezone', %s, true), set_config('datestyle', %s, true)", [zone, style])
        listen(connection, before, known, USERS)
        step = MIGRATION.open(transaction, {}, "public")
        context = Context(1, datetime.now(UTC), {"first_chunk": 1})
        parts, rows = [], chunk
        while rows == chunk:
            parts.append(step.convert(transaction, context, KeyRange(parts[-1].last_key if parts else None), chunk))
            rows = parts[-1].counts.rows
        _require_right(connection, transaction, step, context, before, known)
        whole = step.recount(transaction, context, KeyRange())
        assert [] == step.changed(transaction, context, KeyRange(), 100)
        for name in ("expected", "created", "source"):
            assert getattr(whole, name) == sum(
                (getattr(part, name) for part in parts[1:]), start=getattr(parts[0], name)
            )
        assert whole.counts == sum((part.counts for part in parts[1:]), start=parts[0].counts)

        connection.execute("DELETE FROM user_listening_history")
        listen(connection, after, known, USERS)
        keys = [item.key for item in step.changed(transaction, context, KeyRange(), 100)]
        others = {user for user in USERS if _of(user, before) != _of(user, after)}
        assert sorted(str(user_id(user)) for user in others) == keys
        assert step.source_digest(transaction, KeyRange()) == whole.source or others
        step.reconvert(transaction, context, keys)
        _require_right(connection, transaction, step, context, after, known)
        assert [] == step.changed(transaction, context, KeyRange(), 100)


def _of(user: str, plays: list[Any]) -> set[Any]:
    return {play for play in plays if play[0] == user}


def _require_right(
    connection: psycopg.Connection[Any],
    transaction: Any,
    step: Any,
    context: Context,
    plays: list[Any],
    known: dict[str, Any],
) -> None:
    counts, digest = step.expected(transaction, context, KeyRange())
    recounted = step.recount(transaction, context, KeyRange())
    assert reference(plays, known) == stored(connection)
    assert digest == step.stored(transaction, context, KeyRange()) == recounted.expected
    assert counts.adds_up
    assert (counts.elements, counts.linked, counts.merged, counts.blank) == tuple(
        getattr(recounted.counts, name) for name in ("elements", "linked", "merged", "blank")
    )
    assert 3 * len(plays) == counts.elements
    assert [] == step.differences(transaction, context, KeyRange(), 100)
    assert [] == step.check(transaction, context, KeyRange())
