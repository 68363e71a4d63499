"""What an import of one user file gives: tables and columns, limits, and the words for what did not fit.

Reasons and problems never hold a value of the file: they name kinds of things, the JSON pointer beside them says where.
"""

from typing import Final

#: Table → columns, in the order of the row tuples. Times are aware datetimes in UTC.
SHARED_TABLES: Final[dict[str, tuple[str, ...]]] = {
    "artists": ("id", "name", "genres", "popularity"),
    "albums": ("id", "name", "release_date", "release_date_precision", "total_tracks"),
    "tracks": ("id", "name", "kind", "is_local", "duration_ms", "popularity", "explicit"),
    "track_artists": ("track_id", "artist_id", "position"),
    "track_albums": ("track_id", "album_id", "track_number", "disc_number"),
    "audio_features": (
        "track_id",
        "acousticness",
        "danceability",
        "energy",
        "instrumentalness",
        "liveness",
        "speechiness",
        "valence",
        "loudness",
        "tempo",
        "key",
        "mode",
        "time_signature",
    ),
}
#: The audio features between 0 and 1.
SHARES: Final = SHARED_TABLES["audio_features"][1:8]
USER_TABLES: Final[dict[str, tuple[str, ...]]] = {
    "users": ("spotify_id", "display_name", "email", "country", "subscription_type", "updated_at"),
    "user_listening_history": ("user_id", "track_id", "listened_at", "context_type", "context_id"),
    "user_top_tracks": ("user_id", "track_id", "time_range", "rank", "updated_at"),
    "user_top_artists": ("user_id", "artist_id", "time_range", "rank", "updated_at"),
    "user_saved_tracks": ("user_id", "track_id", "saved_at"),
    "playlists": ("user_id", "playlist_key", "spotify_playlist_id", "name", "description", "is_public"),
    "playlist_tracks": ("user_id", "playlist_key", "track_id", "position", "added_at"),
}
TABLES: Final[dict[str, tuple[str, ...]]] = {**USER_TABLES, **SHARED_TABLES}

TIME_RANGES: Final = ("short_term", "medium_term", "long_term")

#: Bytes of UTF-8. A B-tree entry holds 2,704 bytes, and a key of track and artist has both.
LONGEST_TRACK_ID: Final = 2_000
LONGEST_ID: Final = 500
LARGEST_INT: Final = 2**31 - 1
#: A number written with more characters, or outside 1e-60 .. 1e60, is out of range wherever it stands.
LONGEST_NUMBER: Final = 40
LARGEST_EXPONENT: Final = 60
#: An epoch number below this is in seconds, above in milliseconds: 1973 in the one, 5138 in the other.
FEWEST_MILLISECONDS: Final = 100_000_000_000

# Reasons of quarantine.
NOT_AN_OBJECT: Final = "not an object"
NOT_A_LIST: Final = "neither an array nor a page of items"
NO_TIME_RANGE: Final = "none of the time ranges short_term, medium_term, long_term"
NO_TRACK: Final = "no member track"
NO_ID: Final = "neither an id nor a URI"
ID_TOO_LONG: Final = "the id or URI is too long for a key"
ID_UNHOLDABLE: Final = "the id or URI holds a NUL character or a lone surrogate"
NO_NAME: Final = "no name"
NAME_UNHOLDABLE: Final = "the name holds a NUL character or a lone surrogate"
NO_INSTANT: Final = "played_at is not an instant"
NOT_FEATURES: Final = "neither audio features nor a pair of id and audio features"
UNKNOWN_TRACK: Final = "features of an unknown track"

# Problems of notes.
WRONG_TYPE: Final = "of an unexpected type; stored as NULL"
OUT_OF_RANGE: Final = "out of range; stored as NULL"
UNHOLDABLE: Final = "a NUL character or a lone surrogate; stored as NULL"
NOT_A_DATE: Final = "not a date; stored as NULL"
NOT_AN_INSTANT: Final = "not an instant; stored as NULL"
UNKNOWN_INSTANT: Final = "1970-01-01, which stands for unknown; stored as NULL"
NOT_A_COUNTRY: Final = "not a two-letter country code; stored as NULL"
NOT_A_URI: Final = "not a Spotify URI; stored as NULL"
OTHER_ID: Final = "differs from the id under which the value is stored"
RELINKED: Final = "a relinked track; stored under the id that the API returned"
LEFT_OUT: Final = "left out"  # after a reason: an artist or album of a track that is imported without it
