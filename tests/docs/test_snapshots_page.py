"""What docs/snapshots.md says of snapshots is so."""

import csv
import json
import re
from datetime import date
from decimal import Decimal

from migrator.snapshots_image import FEATURES, RANGES, SAMPLE_SNAPSHOTS, SAMPLE_USERS
from tests.docs.pages import ROOT, blocks
from tests.migrator.listening import at, features, listen, stored

PAGE = (ROOT / "docs/snapshots.md").read_text("utf-8")


def test_the_example_is_what_comes_out(segue, connection) -> None:
    """The plays of the example give the snapshot of the example."""
    plays = list(csv.DictReader(next(block.text for block in blocks(PAGE) if block.language == "csv").splitlines()))
    shown = json.loads(next(block.text for block in blocks(PAGE) if block.language == "json"), parse_float=Decimal)
    listen(
        connection,
        [("ann", play["track"], at(play["played"], f"1{n}:00")) for n, play in enumerate(plays)],
        {play["track"]: features(*(play[name] or None for name in FEATURES)) for play in plays},
    )

    assert 0 == segue("migrate", "snapshots", "--validate").code

    found = stored(connection)
    day = date.fromisoformat(shown["snapshot_date"])
    assert (shown["audio_features"], shown["mood_patterns"], shown["total_tracks_analyzed"]) == found[
        "ann", day, shown["time_range"]
    ]
    assert 1 == found["ann", day, "short_term"][2]


def test_the_id_is_made_as_the_page_says(segue, connection) -> None:
    """Spotify id, day and range joined by U+001F, hashed by segue.row_id."""
    listen(connection, [("ann", "a", at("2024-03-10"))], {})
    assert 0 == segue("migrate", "snapshots").code

    due = connection.execute(
        "SELECT segue.row_id('snapshot', concat('ann', U&'\\001F', '2024-03-10', U&'\\001F', name)) FROM unnest(%s::text[]) AS name ORDER BY 1",
        [list(RANGES)],
    ).fetchall()

    assert due == connection.execute("SELECT id FROM listening_snapshots ORDER BY 1").fetchall()


def test_ranges_and_samples_are_the_programs() -> None:
    """The table of time ranges and the size of the sample."""
    assert {name: str(days) for name, days in RANGES.items()} == dict(
        re.findall(r"^\| `(\w+_term)` \| (\d+) \|$", PAGE, re.MULTILINE)
    )
    assert f"up to {SAMPLE_USERS * SAMPLE_SNAPSHOTS} snapshots of up to {SAMPLE_USERS} users" in PAGE
