"""The catalog's indexes: each serves a query, and no other is carried."""

import uuid

import psycopg
import pytest

from tests.conftest import ROOT
from tests.sql.test_catalog import TABLES

#: Index → the query that it is there for; a key's index is listed where a query needs it as well.
SERVED = {
    "user_listening_history_play_key": "SELECT track_id FROM user_listening_history WHERE user_id = %(id)s"
    " AND listened_at >= '2024-01-01' ORDER BY listened_at DESC LIMIT 50",
    "user_listening_history_track_id_idx": "SELECT count(*) FROM user_listening_history WHERE track_id = 't'",
    "user_top_tracks_rank_idx": "SELECT track_id FROM user_top_tracks WHERE user_id = %(id)s"
    " AND time_range = 'short_term' ORDER BY rank LIMIT 50",
    "user_top_tracks_track_id_idx": "SELECT user_id FROM user_top_tracks WHERE track_id = 't'",
    "user_top_artists_rank_idx": "SELECT artist_id FROM user_top_artists WHERE user_id = %(id)s"
    " AND time_range = 'short_term' ORDER BY rank LIMIT 50",
    "user_top_artists_artist_id_idx": "SELECT user_id FROM user_top_artists WHERE artist_id = 'a'",
    "user_saved_tracks_track_id_idx": "SELECT user_id FROM user_saved_tracks WHERE track_id = 't'",
    "audio_features_pkey": "SELECT valence, energy FROM audio_features WHERE track_id = ANY ('{t,u}')",
    "track_artists_artist_id_idx": "SELECT track_id FROM track_artists WHERE artist_id = 'a'",
    "track_albums_album_id_idx": "SELECT track_id FROM track_albums WHERE album_id = 'l'",
    "playlists_user_id_spotify_playlist_id_key": "SELECT name FROM playlists WHERE user_id = %(id)s",
    "playlist_tracks_track_id_idx": "SELECT playlist_id FROM playlist_tracks WHERE track_id = 't'",
    "recommendation_sessions_user_id_created_at_idx": "SELECT id FROM recommendation_sessions WHERE user_id = %(id)s"
    " ORDER BY created_at DESC LIMIT 20",
    "recommendations_session_id_rank_idx": "SELECT track_id FROM recommendations WHERE session_id = %(id)s ORDER BY rank",
    "recommendations_track_id_idx": "SELECT session_id FROM recommendations WHERE track_id = 't'",
    "recommendation_feedback_recommendation_id_idx": "SELECT feedback_type FROM recommendation_feedback"
    " WHERE recommendation_id = %(id)s",
    "recommendation_feedback_user_id_created_at_idx": "SELECT feedback_type FROM recommendation_feedback"
    " WHERE user_id = %(id)s ORDER BY created_at DESC LIMIT 100",
    "listening_snapshots_day_key": "SELECT mood_patterns FROM listening_snapshots WHERE user_id = %(id)s"
    " AND snapshot_date >= '2024-01-01' ORDER BY snapshot_date",
    "generated_insights_user_id_created_at_idx": "SELECT content FROM generated_insights WHERE user_id = %(id)s"
    " ORDER BY created_at DESC LIMIT 10",
    "generated_insights_snapshot_id_idx": "SELECT id FROM generated_insights WHERE snapshot_id = %(id)s",
    "background_jobs_status_created_at_idx": "SELECT id FROM background_jobs WHERE status = 'queued'"
    " ORDER BY created_at LIMIT 1",
}


@pytest.mark.parametrize("index", SERVED)
def test_index_serves_its_query(index: str, connection: psycopg.Connection) -> None:
    """The query is answered by that index alone, in its order, without a sort."""
    for method in ("seqscan", "bitmapscan"):
        connection.execute(f"SET enable_{method} = off")
    plan = "\n".join(
        line for (line,) in connection.execute(f"EXPLAIN {SERVED[index]}", {"id": uuid.UUID(int=1)}).fetchall()
    )

    assert index in plan
    assert "Index Cond" in plan
    assert "Sort" not in plan


def test_every_index_has_a_query_and_a_line_in_the_docs(connection: psycopg.Connection) -> None:
    """No index is carried for nothing, and docs/catalog.md names each, as it does each table."""
    indexes = {
        name
        for (name,) in connection.execute(
            "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND tablename = ANY (%s)"
            " AND indexdef NOT LIKE 'CREATE UNIQUE%%'",
            [list(TABLES)],
        )
    }
    page = (ROOT / "docs/catalog.md").read_text("utf-8")

    assert set() == indexes - SERVED.keys()
    assert [] == [name for name in [*SERVED, *TABLES] if f"`{name}`" not in page]
