"""Users go on writing to the legacy column: during the run, and after it."""

import random
import threading
import uuid

import psycopg

from sql import failpoints
from tags.normalise import normalise

WORDS = ("Hope", "Grace", "Xmas", "christmas", " GRACE", "Joy", "Faith", "", "Advent")


def key(number: int) -> str:
    """Return a song's id."""
    return str(uuid.UUID(int=number))


def due(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """Return the links that the source asks for now; Xmas is Christmas."""
    found = set()
    for song, themes in connection.execute("SELECT id::text, themes FROM songs").fetchall():
        for theme in themes or ():
            normal = normalise(theme or "")
            if normal:
                found.add((song, "christmas" if normal == "xmas" else normal))
    return sorted(found)


def test_writes_during_the_run_are_not_lost(segue, segue_process, songs, links, connection, database_url) -> None:
    """What users inserted, changed and deleted while chunks were converted is in the result, and validates."""
    songs([(key(number), ["Hope", "Grace"]) for number in range(1, 3_001)])
    acknowledged = 0
    ended = threading.Event()

    def write() -> None:
        nonlocal acknowledged
        chance = random.Random(7)
        with psycopg.connect(database_url, autocommit=True) as user:
            while not ended.is_set():
                number = chance.randrange(1, 4_000)
                themes = chance.sample(WORDS, 2)
                user.execute(
                    "INSERT INTO songs VALUES (%s, 'new', %s) ON CONFLICT (id) DO UPDATE SET themes = excluded.themes",
                    [key(number), themes],
                )
                user.execute("DELETE FROM songs WHERE id = %s", [key(chance.randrange(1, 4_000))])
                acknowledged += 1

    run = segue_process("migrate", "-b", "50", "--workers", "2", "--max-chunks", "40")
    writer = threading.Thread(target=write)
    writer.start()
    run.communicate(timeout=120)
    ended.set()
    writer.join()
    finished = segue("migrate", "--json")

    assert acknowledged > 50
    assert (6, 0) == (run.returncode, finished.code)
    assert due(connection) == links()
    assert 0 == segue("validate", "themes").code
    assert 0 < finished.json["caught_up"]


def test_a_complete_run_is_brought_up_to_date(segue, songs, links, connection, snapshot) -> None:
    """Run again after edits: the same run takes them in, removes stale links, and still rolls back to the byte."""
    songs([(key(1), ["Hope"]), (key(2), ["Grace", "Hope"]), (key(3), ["Joy"])])
    before = snapshot()
    assert 0 == segue("migrate").code
    connection.execute("UPDATE songs SET themes = '{Faith}' WHERE id = %s", [key(2)])
    connection.execute("DELETE FROM songs WHERE id = %s", [key(3)])
    connection.execute("INSERT INTO songs VALUES (%s, 'a title', '{Xmas,Hope}')", [key(4)])

    result = segue("migrate", "--json")

    assert (0, 1, True) == (result.code, result.json["run_id"], result.json["digest"]["equal"])
    assert due(connection) == links()
    assert {"total": 3, "processed": 3, "quarantined": 0} == result.json["rows"]
    assert 0 == segue("validate").code
    assert 0 == segue("rollback").code
    assert before.keys() == snapshot().keys()
    assert before["public.song_tags"] == snapshot()["public.song_tags"]
    assert before["public.tags"] == snapshot()["public.tags"]


def test_new_decisions_are_taken_in(segue, songs, links, tmp_path) -> None:
    """A mapping imported after the run is complete takes effect at the next migrate, and can be withdrawn."""
    songs([(key(1), ["Hop"]), (key(2), ["hope"])])
    assert 0 == segue("migrate").code
    file = tmp_path / "words.csv"

    file.write_text("raw,canonical\nHop,Hope\n")
    assert 0 == segue("vocabulary", "import", str(file)).code
    assert 0 == segue("migrate").code
    mapped = links()
    file.write_text("raw,canonical\nHop,Hop\n")
    assert 0 == segue("vocabulary", "import", str(file)).code
    assert 0 == segue("migrate").code

    assert [(key(1), "hope"), (key(2), "hope")] == mapped
    assert [(key(1), "hop"), (key(2), "hope")] == links()
    assert 0 == segue("validate").code


def test_a_damaged_complete_run_is_not_called_done(segue, songs, connection) -> None:
    """Run again after links were lost: nothing is changed, the digest says different, exit 3 - quick, full and in status."""
    songs([(key(number), ["Hope", "Grace"]) for number in range(1, 30)])
    assert 0 == segue("migrate").code
    connection.execute("DELETE FROM song_tags WHERE song_id = %s", [key(7)])

    quick = segue("migrate", "--json")
    full = segue("migrate", "--validate", "--json")
    trusting = segue("migrate", "--skip-validation", "--json")
    segue("validate")

    assert (3, False, True) == (quick.code, quick.json["digest"]["equal"], quick.json["unchanged"])
    assert (3, False) == (full.code, full.json["digest"]["equal"])
    assert {key(7)} == {item["key"] for item in full.json["mismatches"] if "missing link" in item["problem"]}
    assert (0, None) == (trusting.code, trusting.json["digest"]["equal"])
    assert "found a mismatch" in segue("status").stdout


def test_stopped_runs_say_how_they_came_about_and_go_on(segue, songs) -> None:
    """A stopped resume says that it resumed, and names the command that goes on whatever the run's options were."""
    songs([(key(number), ["Hope"]) for number in range(1, 30)])
    arguments = ("migrate", "--load", "live", "-b", "5", "--max-chunks", "1")

    first = segue(*arguments, "--json")
    second = segue(*arguments, "--json")
    told = segue(*arguments)

    assert [(6, False), (6, True)] == [(run.code, run.json["resumed"]) for run in (first, second)]
    assert "Next: segue resume 1" in told.stdout
    assert 0 == segue("resume", "1").code


def test_an_older_run_is_not_pulled_from_under_a_newer_one(segue, songs, connection, snapshot) -> None:
    """While a later run stands, rolling an earlier one back is refused and changes nothing."""
    songs([(key(1), ["Hope"])])
    before = snapshot()
    assert 0 == segue("migrate").code
    assert 0 == segue("migrate", "--fresh").code
    both = snapshot()

    refused = segue("rollback", "1")

    assert (5, True) == (refused.code, "segue rollback 2" in refused.stderr)
    assert both == snapshot()
    assert [0, 0] == [segue("rollback").code, segue("rollback").code]
    assert before == snapshot()


def test_users_who_never_stop_do_not_hold_a_run_for_ever(segue, songs, links, connection, monkeypatch) -> None:
    """When a look finds no fewer edits than the one before, the run ends; what it has seen is in, the rest comes later."""
    songs([(key(number), ["Hope"]) for number in range(1, 101)])
    looks = 0

    def edit_after_each_look(point: str) -> None:
        nonlocal looks
        if point == "before:themes_image.find_differences":
            looks += 1
        if point in ("before:themes.convert", "after:themes_image.find_differences"):
            connection.execute(
                "UPDATE songs SET themes = ARRAY['Joy', %s] WHERE id = ANY(%s)",
                [f"look {looks}", [key(10 * looks + number) for number in range(1, 6)]],
            )

    monkeypatch.setattr(failpoints, "reach", edit_after_each_look)
    first = segue("migrate", "--workers", "1", "--json")
    monkeypatch.undo()
    assert (0, 2) == (first.code, looks)
    assert 5 <= first.json["caught_up"] <= 15
    assert due(connection) != links()

    second = segue("migrate", "--json")
    assert 0 == second.code
    assert 5 <= second.json["caught_up"]
    assert due(connection) == links()
    assert 0 == segue("validate").code
