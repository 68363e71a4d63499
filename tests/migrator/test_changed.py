"""Which songs were edited since they were converted: the cheap look finds what the validator's own reading finds."""

import random
from contextlib import closing
from dataclasses import replace

import pytest
from psycopg.types.json import Jsonb

from migrator import run_store
from migrator.migrations import themes
from migrator.source import KeyRange
from sql.database import Database
from tests.crash.state import THEMES, song_id

TYPES = [("uuid", "text[]"), ("bigint", "varchar(200)[]"), ("text", "jsonb"), ("varchar(60)", "text[]")]


def edit(rng: random.Random, number: int, new: str) -> str:
    """Return one user's statement about a song; `new` is an array of a text that nobody has used yet."""
    return rng.choice(
        [
            f"UPDATE songs SET title = 'another' WHERE n = {number}",
            f"UPDATE songs SET themes = NULL WHERE n = {number}",
            f"UPDATE songs SET themes = (SELECT other.themes FROM songs AS other WHERE other.n = 1) WHERE n = {number}",
            f"UPDATE songs SET themes = themes || themes WHERE n = {number}",
            f"UPDATE songs SET themes = {new} WHERE n = {number}",
            f"DELETE FROM songs WHERE n = {number}",
        ]
    )


@pytest.mark.parametrize(("key_type", "themes_type"), TYPES)
def test_the_cheap_look_finds_what_the_validator_finds(
    key_type, themes_type, songs, segue, connection, database_url
) -> None:
    """Random edits, new texts and deleted tags among them: both name the same songs, and a title is no edit."""
    is_json = themes_type == "jsonb"
    rows = []
    for number in range(1, 121):
        texts = THEMES[number % 8]
        rows.append((number if key_type == "bigint" else song_id(number), Jsonb(texts) if is_json else texts))
    songs(rows, key_type=key_type, themes_type=themes_type)
    connection.execute("ALTER TABLE songs ADD COLUMN n int GENERATED ALWAYS AS IDENTITY")
    assert segue("migrate").code in {0, 4}
    rng = random.Random(key_type)
    new = "'[\"Never seen\"]'::jsonb" if is_json else "ARRAY['Never seen']"
    for number in rng.sample(range(2, 121), 40):
        connection.execute(edit(rng, number, new))
    connection.execute("DELETE FROM tags WHERE normalized_name = (SELECT min(normalized_name) FROM tags)")

    with closing(Database(database_url)) as database, database.transaction(repeatable_read=True) as transaction:
        step = themes.open_step(transaction, {"table": None, "key": None, "column": None, "load": None}, "public")
        context = run_store.latest(transaction, "themes").context
        cheap = {item.key for item in step.changed(transaction, context, KeyRange(), 1_000)}
        sure = {item.key for item in step.differences(transaction, context, KeyRange(), 1_000)}
        forced = replace(context, plan={**context.plan, "recheck": True})
        again = {item.key for item in step.changed(transaction, forced, KeyRange(), 1_000)}
    assert cheap == sure == again
    assert 10 < len(cheap) < 120
