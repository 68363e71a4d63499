"""The catalog's tables as SQL sees them: which rows belong to one user, which are shared, and how shared ones merge."""

from collections.abc import Callable, Collection, Mapping

from psycopg import sql as psql

from migrator.node_persist.templates import WHO, SharedTable, UserTable
from sql.database import compose

_LIST = "JOIN pg_temp.stage_lists AS list USING (user_id, playlist_key)"


def _greatest(*columns: str) -> dict[str, tuple[str, str]]:
    return {name: (f"max({name})", f"greatest({{t}}.{name}, {{d}}.{name})") for name in columns}


_NAME = ('max(name COLLATE "C")', 'greatest({t}.name COLLATE "C", {d}.name COLLATE "C")')
#: Staged genres are sorted and without repeats already, and most objects name none; calling the function costs more
#: than all else that is done with a row.
_ONE_OR_UNION = (
    'CASE WHEN min(genres COLLATE "C") = max(genres COLLATE "C") THEN min(genres)::jsonb'
    " ELSE segue.text_set(jsonb_agg(genres::jsonb) FILTER (WHERE genres <> '[]')) END"
)
_FINER = (
    "{d}.release_date IS NOT NULL AND ({t}.release_date IS NULL"
    " OR ({d}.release_date_precision, {t}.release_date) < ({t}.release_date_precision, {d}.release_date))"
)
_FEATURES = (
    "acousticness danceability energy instrumentalness liveness speechiness valence "
    "loudness tempo key mode time_signature"
)

#: In the order in which rows are locked, and so that what is referred to comes first.
SHARED = (
    SharedTable(
        "artists",
        ("id",),
        {
            "name": _NAME,
            "genres": (
                _ONE_OR_UNION,
                (
                    "CASE WHEN {d}.genres = '[]' OR {t}.genres = {d}.genres THEN {t}.genres"
                    " WHEN {t}.genres = '[]' THEN {d}.genres"
                    " ELSE segue.text_set(jsonb_build_array({t}.genres, {d}.genres)) END"
                ),
            ),
            **_greatest("popularity"),
        },
        has_created_at=True,
    ),
    SharedTable(
        "albums",
        ("id",),
        {
            "name": _NAME,
            "release_date": (
                "(array_agg(release_date ORDER BY release_date_precision, release_date DESC))[1]",
                f"CASE WHEN {_FINER} THEN {{d}}.release_date ELSE {{t}}.release_date END",
            ),
            "release_date_precision": (
                "min(release_date_precision)",
                f"CASE WHEN {_FINER} THEN {{d}}.release_date_precision ELSE {{t}}.release_date_precision END",
            ),
            **_greatest("total_tracks"),
        },
        has_created_at=True,
    ),
    SharedTable(
        "tracks",
        ("id",),
        {
            "name": _NAME,
            **_greatest("kind"),
            "is_local": ("bool_or(is_local)", "{t}.is_local OR {d}.is_local"),
            **_greatest("duration_ms", "popularity"),
            "explicit": ("bool_or(explicit)", "greatest({t}.explicit, {d}.explicit)"),
        },
        has_created_at=True,
    ),
    SharedTable("track_artists", ("track_id", "artist_id"), _greatest("position")),
    SharedTable("track_albums", ("track_id", "album_id"), _greatest("track_number", "disc_number")),
    SharedTable("audio_features", ("track_id",), _greatest(*_FEATURES.split())),
)

_OWN = {"user_id": "who.id", "track_id": "d.track_id"}
# segue.row_id('play', …), written out because the function is not inlined and there are millions of plays.
_PLAY_ID = (
    "encode(substr(sha256(convert_to('play:' || d.user_id || chr(31) || d.track_id || chr(31)"
    " || (extract(epoch FROM d.listened_at) * 1000000)::bigint::text, 'UTF8')), 1, 16), 'hex')::uuid"
)
_PLAY = ("user_id", "track_id", "listened_at", "context_type", "context_id")

USERS = UserTable(
    "users",
    {
        "spotify_id": "d.spotify_id",
        **{name: f"d.{name}" for name in ("display_name", "email", "country", "subscription_type", "updated_at")},
    },
    ("spotify_id",),
    ("spotify_id", "display_name", "email", "country", "subscription_type", "updated_at"),
    joins=WHO.format("spotify_id"),
    user="t.id",
    is_bulk=False,
)
PLAYLISTS = UserTable(
    "playlists",
    {
        "id": "list.id",
        "user_id": "who.id",
        **{name: f"d.{name}" for name in ("spotify_playlist_id", "name", "description", "is_public")},
    },
    ("id",),
    ("id", "user_id", "spotify_playlist_id", "name", "description", "is_public"),
    joins=f"{WHO.format('user_id')} {_LIST}",
    is_bulk=False,
)
#: Written row by row after users and playlists.
BULK = (
    UserTable(
        "playlist_tracks",
        {"playlist_id": "list.id", "track_id": "d.track_id", "position": 'd."position"', "added_at": "d.added_at"},
        ("playlist_id", "track_id"),
        ("playlist_id", "track_id", "position", "added_at"),
        joins=f"{WHO.format('user_id')} {_LIST}",
        user="list.user_id",
        stored_joins="JOIN {playlists} AS list ON list.id = t.playlist_id",
    ),
    UserTable(
        "user_listening_history",
        {"id": _PLAY_ID, **_OWN, **{name: f"d.{name}" for name in _PLAY[2:]}},
        ("user_id", "track_id", "listened_at"),
        _PLAY,
    ),
    UserTable(
        "user_top_tracks",
        {**_OWN, "time_range": "d.time_range", "rank": "d.rank", "updated_at": "d.updated_at"},
        ("user_id", "track_id", "time_range"),
        ("user_id", "track_id", "time_range", "rank", "updated_at"),
    ),
    UserTable(
        "user_top_artists",
        {
            "user_id": "who.id",
            "artist_id": "d.artist_id",
            "time_range": "d.time_range",
            "rank": "d.rank",
            "updated_at": "d.updated_at",
        },
        ("user_id", "artist_id", "time_range"),
        ("user_id", "artist_id", "time_range", "rank", "updated_at"),
    ),
    UserTable(
        "user_saved_tracks",
        {**_OWN, "saved_at": "d.saved_at"},
        ("user_id", "track_id"),
        ("user_id", "track_id", "saved_at"),
    ),
)
#: Every table whose rows belong to one user, in the order in which they are written.
OF_USERS = (USERS, PLAYLISTS, *BULK)

#: Every target, each after those that it refers to.
TARGETS = (
    "users",
    *(table.name for table in SHARED),
    "playlists",
    *(table.name for table in BULK),
    "spotify_tokens",
)


#: Which columns of the catalog refer to a row that others may refer to, whether their foreign keys are in place or not.
REFERENCES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "users": (
        *((table.name, "user_id") for table in OF_USERS[1:] if table.name != "playlist_tracks"),
        ("spotify_tokens", "user_id"),
    ),
    "artists": (("track_artists", "artist_id"), ("user_top_artists", "artist_id")),
    "albums": (("track_albums", "album_id"),),
    "tracks": (
        ("playlist_tracks", "track_id"),
        ("user_listening_history", "track_id"),
        ("user_top_tracks", "track_id"),
        ("user_saved_tracks", "track_id"),
    ),
    "playlists": (("playlist_tracks", "playlist_id"),),
    "spotify_tokens": (),
}


def staged_records(names: Mapping[str, psql.Composable], filled: Collection[str] | None = None) -> psql.Composable:
    """Return the query of the staged rows of users as their digest sees them, each with its file's path.

    Args:
        names: of the targets.
        filled: the tables of which rows are staged; the others are left out. None stands for all.
    """
    tables = [table for table in OF_USERS if filled is None or table.name in filled] or [USERS]
    parts = [compose("stage.digest_of_stage", table.fragments(names)) for table in tables]
    return psql.SQL("\nUNION ALL\n").join(parts)


def stored_records(
    names: Mapping[str, psql.Composable], of_range: Callable[[dict[str, psql.Composable]], psql.Composable]
) -> psql.Composable:
    """Return the query of the run's rows as their digest sees them, of the users that a condition names."""
    parts = []
    for table in OF_USERS:
        found = table.fragments(names)
        stored = {
            **found,
            "digest": found["stored_digest"],
            "joins": found["stored_joins"],
            "of_range": of_range(found),
        }
        parts.append(compose("node_persist_image.stored_records", stored))
    return psql.SQL("\nUNION ALL\n").join(parts)
