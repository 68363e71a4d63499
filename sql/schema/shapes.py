"""What a table that the application already has must look like for Segue to work with it."""

_UUID = ("uuid",)
_TEXT = ("text", "character varying*")
_INT = ("integer", "bigint")
_FLAG = ("boolean",)
_JSON = ("jsonb",)
_DATE = ("date",)
#: A scale would round what the source gave.
_EXACT = ("numeric",)
#: An instant from the source: without a time zone it would mean another one under another setting.
_INSTANT = ("timestamp with time zone", "timestamp(6) with time zone")
#: When a row was made or changed, by the application's own clock.
_CLOCK = ("timestamp with time zone*", "timestamp without time zone*")

#: What each table must have, column → accepted types, as PostgreSQL's format_type() names them; a star after a type
#: stands for any length or precision.
SHAPES: dict[str, dict[str, tuple[str, ...]]] = {
    "tags": {
        "id": _UUID,
        "name": _TEXT,
        "normalized_name": _TEXT,
        "category": _TEXT,
        "color": _TEXT,
        "usage_count": _INT,
        "is_standard": _FLAG,
        "created_at": _CLOCK,
    },
    "song_tags": {
        "song_id": ("uuid", "bigint", "integer", *_TEXT),
        "tag_id": _UUID,
        "added_by": ("uuid", *_TEXT, "bigint", "integer"),
        "added_at": _CLOCK,
    },
    "tag_synonyms": {"id": _UUID, "synonym": _TEXT, "canonical_tag_id": _UUID, "created_at": _CLOCK},
    "users": {
        "id": _UUID,
        "spotify_id": _TEXT,
        "display_name": _TEXT,
        "email": _TEXT,
        "country": (*_TEXT, "character*"),
        "subscription_type": _TEXT,
        "created_at": _CLOCK,
        "updated_at": _INSTANT,
    },
    "artists": {"id": _TEXT, "name": _TEXT, "genres": _JSON, "popularity": _INT, "created_at": _CLOCK},
    "albums": {
        "id": _TEXT,
        "name": _TEXT,
        "release_date": _DATE,
        "release_date_precision": _TEXT,
        "total_tracks": _INT,
        "created_at": _CLOCK,
    },
    "tracks": {
        "id": _TEXT,
        "name": _TEXT,
        "kind": _TEXT,
        "is_local": _FLAG,
        "duration_ms": _INT,
        "popularity": _INT,
        "explicit": _FLAG,
        "created_at": _CLOCK,
    },
    "track_artists": {"track_id": _TEXT, "artist_id": _TEXT, "position": _INT},
    "track_albums": {"track_id": _TEXT, "album_id": _TEXT, "track_number": _INT, "disc_number": _INT},
    "audio_features": {
        "track_id": _TEXT,
        "acousticness": _EXACT,
        "danceability": _EXACT,
        "energy": _EXACT,
        "instrumentalness": _EXACT,
        "liveness": _EXACT,
        "speechiness": _EXACT,
        "valence": _EXACT,
        "loudness": _EXACT,
        "tempo": _EXACT,
        "key": _INT,
        "mode": _INT,
        "time_signature": _INT,
    },
    "user_listening_history": {
        "id": _UUID,
        "user_id": _UUID,
        "track_id": _TEXT,
        "listened_at": _INSTANT,
        "context_type": _TEXT,
        "context_id": _TEXT,
    },
    "user_top_tracks": {
        "user_id": _UUID,
        "track_id": _TEXT,
        "time_range": _TEXT,
        "rank": _INT,
        "updated_at": _INSTANT,
    },
    "user_top_artists": {
        "user_id": _UUID,
        "artist_id": _TEXT,
        "time_range": _TEXT,
        "rank": _INT,
        "updated_at": _INSTANT,
    },
    "user_saved_tracks": {"user_id": _UUID, "track_id": _TEXT, "saved_at": _INSTANT},
    "playlists": {
        "id": _UUID,
        "user_id": _UUID,
        "spotify_playlist_id": _TEXT,
        "name": _TEXT,
        "description": _TEXT,
        "is_public": _FLAG,
        "created_at": _CLOCK,
        "updated_at": _CLOCK,
    },
    "playlist_tracks": {"playlist_id": _UUID, "track_id": _TEXT, "position": _INT, "added_at": _INSTANT},
    "spotify_tokens": {
        "user_id": _UUID,
        "access_token": _TEXT,
        "refresh_token": _TEXT,
        "key_id": _TEXT,
        "expires_at": _INSTANT,
        "updated_at": _CLOCK,
    },
    "recommendation_sessions": {
        "id": _UUID,
        "user_id": _UUID,
        "input_tracks": _JSON,
        "algorithm_version": _TEXT,
        "parameters": _JSON,
        "created_at": _CLOCK,
    },
    "recommendations": {
        "id": _UUID,
        "session_id": _UUID,
        "track_id": _TEXT,
        "score": ("numeric*",),
        "rank": _INT,
        "created_at": _CLOCK,
    },
    "recommendation_feedback": {
        "id": _UUID,
        "user_id": _UUID,
        "recommendation_id": _UUID,
        "feedback_type": _TEXT,
        "created_at": _CLOCK,
    },
    "listening_snapshots": {
        "id": _UUID,
        "user_id": _UUID,
        "snapshot_date": _DATE,
        "time_range": _TEXT,
        "audio_features": _JSON,
        "mood_patterns": _JSON,
        "total_tracks_analyzed": _INT,
    },
    "generated_insights": {
        "id": _UUID,
        "user_id": _UUID,
        "snapshot_id": _UUID,
        "insight_type": _TEXT,
        "llm_model": _TEXT,
        "prompt_version": _TEXT,
        "tone_mode": _TEXT,
        "content": _TEXT,
        "structured_output": (*_JSON, "json"),
    },
    "background_jobs": {
        "id": _UUID,
        "kind": _TEXT,
        "status": _TEXT,
        "attempts": _INT,
        "payload": (*_JSON, "json"),
        "result": (*_JSON, "json"),
        "error": _TEXT,
        "created_at": _CLOCK,
        "started_at": _CLOCK,
        "finished_at": _CLOCK,
    },
}


def _keys(*keys: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(key.split()) for key in keys)


#: Which columns of each table must be unique together: what other tables refer to, and what a row is known by.
UNIQUE: dict[str, tuple[frozenset[str], ...]] = {
    "tags": _keys("id", "name", "normalized_name"),
    "song_tags": _keys("song_id tag_id"),
    "tag_synonyms": _keys("synonym"),
    "users": _keys("id", "spotify_id"),
    "artists": _keys("id"),
    "albums": _keys("id"),
    "tracks": _keys("id"),
    "track_artists": _keys("track_id artist_id"),
    "track_albums": _keys("track_id album_id"),
    "audio_features": _keys("track_id"),
    "user_listening_history": _keys("id", "user_id listened_at track_id"),
    "user_top_tracks": _keys("user_id track_id time_range"),
    "user_top_artists": _keys("user_id artist_id time_range"),
    "user_saved_tracks": _keys("user_id track_id"),
    "playlists": _keys("id", "user_id spotify_playlist_id"),
    "playlist_tracks": _keys("playlist_id track_id"),
    "spotify_tokens": _keys("user_id"),
    "recommendation_sessions": _keys("id"),
    "recommendations": _keys("id"),
    "recommendation_feedback": _keys("id"),
    "listening_snapshots": _keys("id", "user_id snapshot_date time_range"),
    "generated_insights": _keys("id"),
    "background_jobs": _keys("id"),
}

#: Columns that Segue may leave empty, because the source does.
NULLABLE: dict[str, frozenset[str]] = {
    "users": frozenset({"display_name", "email", "country", "subscription_type"}),
    "artists": frozenset({"popularity"}),
    "albums": frozenset({"release_date", "release_date_precision", "total_tracks"}),
    "tracks": frozenset({"duration_ms", "popularity", "explicit"}),
    "track_artists": frozenset({"position"}),
    "track_albums": frozenset({"track_number", "disc_number"}),
    "audio_features": frozenset(SHAPES["audio_features"]) - {"track_id"},
    "user_listening_history": frozenset({"context_type", "context_id"}),
    "user_saved_tracks": frozenset({"saved_at"}),
    "playlists": frozenset({"spotify_playlist_id", "description"}),
    "playlist_tracks": frozenset({"added_at"}),
    "spotify_tokens": frozenset({"access_token", "refresh_token", "expires_at"}),
}

#: Columns that Segue never writes: when they may not be empty, they need a default.
BY_DEFAULT: dict[str, frozenset[str]] = {
    table: frozenset({"created_at"}) for table in ("users", "artists", "albums", "tracks", "playlists")
}

#: Tables that exist for the application alone: Segue adds no row to them, so further columns may ask for anything.
UNWRITTEN = frozenset(
    {
        "recommendation_sessions",
        "recommendations",
        "recommendation_feedback",
        "generated_insights",
        "background_jobs",
    }
)
