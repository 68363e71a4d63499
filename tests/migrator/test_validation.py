"""The verifier against planted damage: what is wrong is found and named, and what can be mended is mended."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

A, B, C, D, E, F = (str(uuid.UUID(int=number)) for number in range(1, 7))
LONG, LONGER = "x" * 51, "y" * 60
SONGS = [
    (A, ["Xmas", "Hope"]),
    (B, ["Hope", "Grace"]),
    (C, [LONG, "Grace"]),
    (D, ["A theme of ours", "hope", "HOPE"]),
    (E, [LONGER, LONGER, None, " "]),
]
HOPE, GRACE, CHRISTMAS = ("segue.tag_id('hope')", "segue.tag_id('grace')", "segue.tag_id('christmas')")

#: Name → (statement, the key that must be listed). `@hope` and `@grace` stand for "tag " and the tag's id.
REPAIRABLE = {
    "link lost": (f"DELETE FROM song_tags WHERE song_id = '{A}' AND tag_id = {HOPE}", A),
    "link invented": (f"INSERT INTO song_tags (song_id, tag_id, run_id) VALUES ('{B}', {CHRISTMAS}, 1)", B),
    "link moved to another tag": (
        f"UPDATE song_tags SET tag_id = {GRACE} WHERE song_id = '{A}' AND tag_id = {HOPE}",
        A,
    ),
    "links of two songs swapped": (
        (
            f"UPDATE song_tags SET tag_id = CASE song_id WHEN '{A}' THEN {GRACE} ELSE {CHRISTMAS} END"
            f" WHERE song_id = '{A}' AND tag_id = {CHRISTMAS} OR song_id = '{B}' AND tag_id = {GRACE}"
        ),
        B,
    ),
    "quarantine row lost": (f"DELETE FROM segue.quarantine WHERE key = '{C}'", C),
    "quarantine count changed": (f"UPDATE segue.quarantine SET elements = elements + 1 WHERE key = '{E}'", E),
    "element added": (f"UPDATE songs SET themes = themes || 'Grace'::text WHERE id = '{A}'", A),
    "element of a new text added": (f"UPDATE songs SET themes = themes || 'Never seen'::text WHERE id = '{A}'", A),
    "element that merges added": (f"UPDATE songs SET themes = themes || 'hOpE '::text WHERE id = '{A}'", "partition 0"),
    "element removed": (f"UPDATE songs SET themes = array_remove(themes, 'Hope') WHERE id = '{B}'", B),
    "song added": (f"INSERT INTO songs (id, themes) VALUES ('{F}', ARRAY['Hope'])", F),
    "song without themes added": (f"INSERT INTO songs (id, themes) VALUES ('{F}', NULL)", "partition 0"),
    "song deleted": (f"DELETE FROM songs WHERE id = '{B}'", "partition 0"),
    "quarantined song deleted": (f"DELETE FROM songs WHERE id = '{E}'", E),
    "tag deleted with its links": ("DELETE FROM tags WHERE normalized_name = 'christmas'", A),
    "usage_count wrong": ("UPDATE tags SET usage_count = usage_count + 1 WHERE normalized_name = 'hope'", "@hope"),
    "counters tampered with": ("UPDATE segue.partitions SET linked = linked - 1, merged = merged + 1", "partition 0"),
    "row counter tampered with": ("UPDATE segue.partitions SET row_count = row_count + 1", "partition 0"),
    "created counter tampered with": ("UPDATE segue.partitions SET created = created - 1", "partition 0"),
    "stored digest tampered with": ("UPDATE segue.partitions SET expected_xor = expected_xor # 1", "partition 0"),
}
#: What only an admin can decide about.
BEYOND_REPAIR = {
    "second tag that differs by case": ("INSERT INTO tags (name, normalized_name) VALUES ('HOPE', 'HOPE')", "@hope"),
    "tag renamed": (
        "UPDATE tags SET name = 'Trust', normalized_name = 'trust us' WHERE normalized_name = 'hope'",
        "@hope",
    ),
    "display name changed alone": ("UPDATE tags SET name = 'Hopeless' WHERE normalized_name = 'hope'", "@hope"),
    "vocabulary points to another tag": (
        f"UPDATE segue.vocabulary SET tag_id = {GRACE} WHERE raw = 'Hope' AND run_id = 1",
        "@grace",
    ),
}


@pytest.fixture
def migrated(segue, songs) -> None:
    """A complete run 1 of the songs above."""
    songs(SONGS)
    assert 4 == segue("migrate").code


@pytest.fixture
def state(connection) -> Callable[[], dict[str, Any]]:
    """Everything that a run is to make, without its number and its times."""

    def read() -> dict[str, Any]:
        queries = {
            "links": "SELECT song_id::text, normalized_name FROM song_tags JOIN tags ON id = tag_id ORDER BY 1, 2",
            "tags": "SELECT id, name, normalized_name, category, color, usage_count FROM tags ORDER BY id",
            "synonyms": "SELECT synonym, canonical_tag_id FROM tag_synonyms ORDER BY 1",
            "quarantine": "SELECT key, payload, elements, reason FROM segue.quarantine ORDER BY 1, 2",
            "partitions": "SELECT row_count, elements, linked, merged, blank, quarantined, created, quarantined_rows,"
            " expected_sum, expected_xor, created_sum, created_xor, source_sum, source_xor"
            " FROM segue.partitions WHERE run_id = (SELECT max(run_id) FROM segue.partitions)",
        }
        return {name: connection.execute(query).fetchall() for name, query in queries.items()}

    return read


def tag_key(connection, key: str) -> str:
    """Turn `@name` into the key under which a tag is listed."""
    if not key.startswith("@"):
        return key
    return f"tag {connection.execute('SELECT segue.tag_id(%s)', [key[1:]]).fetchone()[0]}"


@pytest.mark.system
def test_complete_run_is_equal(segue, migrated) -> None:
    """Without damage every row is checked and nothing is listed."""
    result = segue("validate", "--json")

    assert 0 == result.code
    assert (True, 5, []) == (result.json["equal"], result.json["checked_rows"], result.json["mismatches"])


@pytest.mark.parametrize("damage", [*REPAIRABLE, *BEYOND_REPAIR])
def test_damage_is_found_and_named(segue, connection, migrated, damage) -> None:
    """Each kind of damage makes `validate` leave with 3 and list the key it was done to."""
    statement, key = (REPAIRABLE | BEYOND_REPAIR)[damage]
    connection.execute(statement)

    result = segue("validate", "--json")

    assert 3 == result.code, result
    assert result.json["equal"] is False
    assert tag_key(connection, key) in {found["key"] for found in result.json["mismatches"]}


@pytest.mark.parametrize("damage", REPAIRABLE)
def test_repair_mends_and_still_rolls_back(segue, songs, connection, snapshot, state, damage) -> None:
    """After `--repair` the state is that of a clean run, and rollback leaves the application's schema as it was."""
    songs(SONGS)
    before = snapshot()
    assert 4 == segue("migrate").code
    connection.execute(REPAIRABLE[damage][0])

    assert 0 == segue("validate", "--repair").code
    repaired = state()
    assert 0 == segue("validate").code
    assert 0 == segue("rollback").code

    assert {**before, "public.songs": snapshot()["public.songs"]} == snapshot()
    segue("migrate")
    assert state() == repaired


@pytest.mark.parametrize("damage", BEYOND_REPAIR)
def test_repair_says_what_it_cannot_mend(segue, connection, migrated, damage) -> None:
    """Damage that needs a decision keeps exit 3, also after `--repair`; nothing crashes and rollback still works."""
    connection.execute(BEYOND_REPAIR[damage][0])

    assert 3 == segue("validate", "--repair").code
    assert 3 == segue("validate").code
    assert segue("rollback").code in (0, 7)
    assert [(0,)] == connection.execute("SELECT count(*) FROM song_tags").fetchall()


def test_users_links_are_no_mismatch(segue, connection, migrated) -> None:
    """Links without provenance are people's: added ones are no mismatch, nor is a run's link that a user made anew."""
    connection.execute(f"INSERT INTO song_tags (song_id, tag_id) VALUES ('{B}', {CHRISTMAS})")
    connection.execute("UPDATE tags SET usage_count = usage_count + 1 WHERE normalized_name = 'christmas'")
    assert 0 == segue("validate").code

    connection.execute(f"UPDATE song_tags SET run_id = NULL WHERE song_id = '{A}' AND tag_id = {HOPE}")
    assert [] == segue("validate", "--json").json["mismatches"]


def test_repair_of_a_true_run_changes_nothing(segue, migrated, snapshot) -> None:
    """`--repair` on an equal run leaves the application's schema alone."""
    before = snapshot()

    assert 0 == segue("validate", "--repair").code
    assert before == snapshot()


def test_failed_validation_is_mended_to_complete(segue, connection, songs) -> None:
    """A run whose validation failed is complete after `--repair` made it true."""
    songs([(A, ["Hope"]), (B, ["Grace"])])
    assert 6 == segue("migrate", "--max-chunks", "1", "--batch-size", "1").code
    connection.execute("DELETE FROM song_tags")

    assert 3 == segue("migrate").code
    assert "failed" == segue("status", "--json").json["runs"][0]["status"]
    assert 0 == segue("validate", "--repair").code
    assert "complete" == segue("status", "--json").json["runs"][0]["status"]


def test_unfinished_and_rolled_back_runs_are_refused(segue, songs) -> None:
    """There is nothing to prove about a run that is not complete: exit 5."""
    songs([(A, ["Hope"]), (B, ["Grace"])])
    assert 6 == segue("migrate", "--max-chunks", "1", "--batch-size", "1").code
    assert 5 == segue("validate").code
    assert 0 == segue("rollback").code
    assert 5 == segue("validate", "1").code


@pytest.mark.system
def test_big_partition_is_bisected_to_the_song(segue, songs, connection) -> None:
    """One lost link among 35,000 songs is named, in little more time than comparing everything takes."""
    songs([])
    connection.execute(
        "INSERT INTO songs SELECT lpad(to_hex(n), 32, '0')::uuid, 't', ARRAY['Hope', 'Theme ' || n % 500]"
        " FROM generate_series(1, 35000) AS n"
    )
    assert 0 == segue("migrate", "--workers", "1").code
    clean = segue("validate", "--json").json
    lost = str(uuid.UUID(int=23_456))
    connection.execute("DELETE FROM song_tags WHERE song_id = %s AND tag_id = segue.tag_id('theme 456')", [lost])

    found = segue("validate", "--json")

    assert 3 == found.code
    assert [lost] == [item["key"] for item in found.json["mismatches"] if not item["key"].startswith("tag ")]
    assert found.json["seconds"] < 4 * clean["seconds"] + 1
    assert 0 == segue("validate", "--repair").code


def test_many_edits_while_paused_are_all_caught_up(segue, songs, connection, links) -> None:
    """However many songs users edit while a run is at rest, all of them are converted again."""
    songs([])
    connection.execute(
        "INSERT INTO songs SELECT lpad(to_hex(n), 32, '0')::uuid, '', ARRAY['Hope'] FROM generate_series(1, 12000) AS n"
    )
    assert 6 == segue("migrate", "--max-chunks", "12", "--batch-size", "1000").code
    connection.execute("UPDATE songs SET themes = ARRAY['Grace']")

    assert 0 == segue("migrate").code
    assert {"grace"} == {name for _, name in links()}
    assert 0 == segue("validate").code
