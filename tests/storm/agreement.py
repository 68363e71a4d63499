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


def tag_differences(connection: psycopg.Connection[Any], due: dict[int, Any]) -> list[str]:
    """Compare links and quarantine with what the model makes of the acknowledged themes; late songs are none."""
    model = Model(dict(due))
    there = set(
        connection.execute(
            "SELECT l.song_id, t.normalized_name FROM song_tags l JOIN tags t ON t.id = l.tag_id"
        ).fetchall()
    )
    wanted = model.links()
    found = [f"song {song} lacks {tag!a}" for song, tag in sorted(wanted - there)]
    found += [f"song {song} has {tag!a}" for song, tag in sorted(there - wanted)]
    kept = Counter(
        dict(
            connection.execute("SELECT key::bigint, sum(elements)::bigint FROM segue.quarantine GROUP BY 1").fetchall()
        )
    )
    odd = Counter({song: sum(model.tag_of(text) is None for text in themes or ()) for song, themes in due.items()})
    found += [
        f"song {song}: quarantine {kept[song]}, due {odd[song]}" for song in {*kept, *odd} if kept[song] != odd[song]
    ]
    late = connection.execute("SELECT key, reason FROM segue.mirror_late").fetchall()
    return found + [f"song {key} is late: {reason}" for key, reason in late]
