"""Whether the legacy arrays, the ledger of acknowledged writes and the tags say the same."""

from collections import Counter
from typing import Any

import psycopg

from tests.properties.themes_model import Model


def legacy_differences(connection: psycopg.Connection[Any], due: dict[int, Any]) -> list[str]:
    """Compare the legacy arrays with what the server has acknowledged."""
    there = dict(connection.execute("SELECT id, themes FROM songs").fetchall())
    return [
        f"song {song}: acknowledged {due.get(song, 'gone')!a}, stored {there.get(song, 'gone')!a}"
        for song in sorted({*due, *there})
        if due.get(song, "gone") != there.get(song, "gone")
    ]


def late_songs(connection: psycopg.Connection[Any]) -> set[int]:
    """Return the songs that a mirror could not bring up to date in their users' transactions."""
    query = "SELECT key FROM segue.mirror_late UNION SELECT song FROM segue.mirror_edits WHERE reason IS NOT NULL"
    return {int(key) for (key,) in connection.execute(query).fetchall()}


def stale_links(connection: psycopg.Connection[Any], due: dict[int, Any]) -> list[str]:
    """Return the run's links that no theme is behind: a chunk brought back what was removed. For a run half-way."""
    late = late_songs(connection)
    query = "SELECT l.song_id, t.normalized_name FROM song_tags l JOIN tags t ON t.id = l.tag_id"
    query += " WHERE l.run_id IS NOT NULL"
    there = {(int(song), tag) for song, tag in connection.execute(query).fetchall()}
    return [
        f"song {song} still has {tag!a}" for song, tag in sorted(there - Model(dict(due)).links()) if song not in late
    ]


def tag_differences(connection: psycopg.Connection[Any], due: dict[int, Any]) -> list[str]:
    """Compare links and quarantine with what the model makes of the acknowledged themes, late songs apart."""
    late = late_songs(connection)
    model = Model({song: themes for song, themes in due.items() if song not in late})
    query = "SELECT l.song_id, t.normalized_name FROM song_tags l JOIN tags t ON t.id = l.tag_id"
    there = {(song, tag) for song, tag in connection.execute(query).fetchall() if song not in late}
    wanted = model.links()
    found = [f"song {song} lacks {tag!a}" for song, tag in sorted(wanted - there)]
    found += [f"song {song} has {tag!a}" for song, tag in sorted(there - wanted)]
    query = "SELECT key::bigint, sum(elements)::bigint FROM segue.quarantine GROUP BY 1"
    kept = Counter(dict(connection.execute(query).fetchall()))
    odd = Counter({song: sum(model.tag_of(text) is None for text in themes or ()) for song, themes in due.items()})
    return found + [
        f"song {song}: quarantine {kept[song]}, due {odd[song]}"
        for song in {*kept, *odd} - late
        if kept[song] != odd[song]
    ]
