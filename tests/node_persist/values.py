"""Hypothesis strategies for what applications stored under a user's key: sound, and with every wart alone and combined."""

import json
import re
from typing import Any

from hypothesis import strategies as st

TRACKS = ["4uLU6hMCjMI75M1A2tKUQC", "1301WleyT98MSxVHPZCA6M", "3n3Ppam7vgaVa1iaRUc9Lp", "7ouMYWpwJ422jRcDASZB7P"]
ARTISTS = ["0TnOYISbd1XYRBk9myaseg", "1vCWHaC5f2uS3yhpwWbIA6", "3TVXtAsR1Inumwj472S9r4"]
ALBUMS = ["4aawyAB9vmqN3uQ7FjRGTy", "6akEvsycLGftJxYudPjmqK"]
PLAYLISTS = ["37i9dQZF1DXcBWIGoYBM5M", "3cEYpjA9oz9GiPac4AsH4n"]
USER = "smedjan"

_NUMBER = re.compile(r'"@number ([^"]*)@"')


def number(text: str) -> str:
    """Return a stand-in for a JSON number written in just this way; `text_of` puts it in."""
    return f"@number {text}@"


def text_of(value: Any, *, plain_ascii: bool = True, indent: int | None = None) -> bytes:
    """Return JSON text as some writer might."""
    separators = (",", ":") if indent is None else None
    try:
        text = json.dumps(value, ensure_ascii=plain_ascii, indent=indent, separators=separators).encode()
    except UnicodeEncodeError:  # a lone surrogate can only be escaped
        text = json.dumps(value, indent=indent, separators=separators).encode()
    return _NUMBER.sub(lambda found: found[1], text.decode()).encode()


odd_numbers = st.sampled_from(
    ["1e400", "-1e400", "1e99999999999999999999", "9" * 5000, "9" * 41, "3.0", "-0.0", "0e-99", "1e-70", "0.1000", "1E2",
     "0." + "1" * 45, "12345678901234567890.5", "0.00000282", "2147483648", "1e1", "-" + "7" * 40, "1e-7", "-1", "101"]
).map(number)  # fmt: skip
odd_texts = st.sampled_from(
    ["", " ", "  leading", "nul\0", "lone \ud800", "\udc00", "astral \U0001f3b5", "x" * 600, "spotify:track:", "~/~1",
     "spotify:track:" + TRACKS[0], "spotify:local:::x:1", "0000", "1970-01-01T00:00:00Z", "\\ud800", "é", "spotify"]
)  # fmt: skip
scalars = st.none() | st.booleans() | st.integers(-3, 300) | odd_numbers | odd_texts | st.text(max_size=4)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def usually(sound: st.SearchStrategy[Any], odd: st.SearchStrategy[Any] = scalars) -> st.SearchStrategy[Any]:
    """Draw what belongs here nine times in ten."""
    return st.integers(0, 9).flatmap(lambda one: odd if one == 9 else sound)


def thing(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw an object of the API: trimmed to its required members, or with more of them."""
    return st.fixed_dictionaries(required, optional=optional) | st.fixed_dictionaries({**required, **optional})


def uri(kind: str, ids: list[str]) -> st.SearchStrategy[str]:
    """Draw a URI of some kind."""
    return st.sampled_from([f"spotify:{kind}:{one}" for one in ids])


def id_of(kind: str, ids: list[str]) -> st.SearchStrategy[Any]:
    """Draw an id, or what stands in its place."""
    long = st.sampled_from(["i" * 500, "i" * 501, "\U0001f3b5" * 126, "i" * 2000, "i" * 2001])
    return usually(st.sampled_from(ids), st.none() | scalars | uri(kind, ids) | long)


names = usually(
    st.sampled_from(["One", "Zwei", "  Three", "\U0001f3b5", "n" * 700, ""]),
    st.sampled_from(["a\0b", "\udfff"]) | scalars,
)
percents = usually(st.integers(0, 100), st.sampled_from([-1, 101, 55.0, 5.5, "5", True]) | scalars)
counts = usually(st.integers(0, 400_000), st.sampled_from([-1, 2**31, 3.0, 2.5]) | scalars)
instants = usually(
    st.sampled_from(
        ["2024-03-01T12:34:56.789Z", "2024-03-01T12:34:56Z", "2024-03-01T13:34:56+01:00", "2024-03-01T12:34:56.000Z",
         1709296496000, 1709296496, 1709296496789, 1709296496.5]
    ),
    st.sampled_from(
        ["1970-01-01T00:00:00Z", "1970-01-01T01:00:00.000+01:00", 0, -5, "2024-03-01T12:34:56", "2024-03-01",
         "2024-13-01T00:00:00Z", "2024-03-01T12:34:56.123456789Z", "0001-01-01T00:00:00+05:00", "2024-03-01T24:00:01Z",
         "2024-03-01T12:34:60Z", "20240301T123456.000Z", "2024-W01-1T00:00:00Z", "9999-12-31T23:59:59-01:00", 10**15,
         "2024-03-01 12:34:56+0530", "2024-03-01T12:34:56+24:00", "2024-03-01T12:34:56,123Z", "٢024-03-01T12:34:56Z"]
    )
    | scalars,
)  # fmt: skip

artists = thing(
    {"id": id_of("artist", ARTISTS), "name": names},
    {
        "uri": usually(uri("artist", ARTISTS)),
        "genres": usually(st.lists(st.sampled_from(["pop", "neo soul", "a\0", "é"]), max_size=3), anything),
        "popularity": percents,
        "type": st.just("artist"),
        "followers": st.just({"href": None, "total": 5}),
    },
)
albums = thing(
    {"id": id_of("album", ALBUMS), "name": names},
    {
        "release_date": usually(
            st.sampled_from(["1999", "1999-12", "1999-12-31", "2004-01-01"]),
            st.sampled_from(["0000", "0000-00-00", "2004-00", "2004-02-30", "99", "", "1999-1-1", "٢٠٠٤", "1999\n"])
            | scalars,
        ),
        "release_date_precision": usually(st.sampled_from(["year", "month", "day"]), anything),
        "total_tracks": counts,
        "uri": usually(uri("album", ALBUMS)),
        "images": st.just([{"url": "https://i.scdn.co/image/x", "height": 64}]),
    },
)
_track_members = {
    "artists": usually(st.lists(usually(artists, st.none() | anything), max_size=3), anything),
    "album": usually(albums, st.none() | anything),
    "duration_ms": counts,
    "popularity": percents,
    "explicit": usually(st.booleans()),
    "is_local": usually(st.sampled_from([False]), st.sampled_from([True]) | scalars),
    "type": usually(st.just("track"), st.just("episode") | scalars),
    "uri": usually(uri("track", TRACKS), uri("episode", TRACKS) | scalars),
    "track_number": usually(st.integers(1, 20), st.just(0) | scalars),
    "disc_number": usually(st.just(1)),
    "linked_from": usually(st.none(), st.just({"id": TRACKS[0]}) | scalars),
    "available_markets": st.just(["DE", "SE"]),
}
tracks = thing({"id": id_of("track", TRACKS), "name": names}, _track_members)
sound_tracks = st.fixed_dictionaries({"id": st.sampled_from(TRACKS), "name": st.just("One")})
local_tracks = st.fixed_dictionaries(
    {"id": st.none(), "uri": st.sampled_from(["spotify:local:A:B:C:231", "spotify:local::::1"]), "name": names,
     "is_local": st.sampled_from([True]), "artists": st.just([{"id": None, "name": "A"}]), "album": st.just({"id": None, "name": "B"})}
)  # fmt: skip
entries_of_tracks = usually(tracks | sound_tracks | local_tracks, st.none() | anything)

contexts = usually(
    st.none()
    | thing(
        {"type": usually(st.sampled_from(["playlist", "album", "artist", "collection"]))},
        {
            "uri": usually(
                st.sampled_from(
                    ["spotify:playlist:37i9", "spotify:user:ann:playlist:3cEY", "spotify:user:ann:collection"]
                )
            ),
            "id": usually(st.just("37i9")),
            "href": st.just("https://api.spotify.com/v1/x"),
        },
    ),
    st.sampled_from(
        ["spotify:user:ann:playlist:3cEY", "spotify:album:1", "spotify::x", "spotify:collection", "http://x"]
    )
    | anything,
)
plays = thing({"track": entries_of_tracks, "played_at": instants}, {"context": contexts})
saved = thing({"track": entries_of_tracks}, {"added_at": usually(instants, st.none()), "is_local": st.booleans()})


def pages(elements: st.SearchStrategy[Any], *, most: int = 4) -> st.SearchStrategy[Any]:
    """Draw a section: an array, a page as the API returns it, or something else."""
    listed = st.lists(usually(elements, st.none() | anything), max_size=most)
    page = listed.map(lambda items: {"href": "https://api.spotify.com/v1/x", "items": items, "total": 9})
    return usually(listed | page, st.none() | anything | st.just({"href": "x", "total": 3}) | st.just({"items": None}))


playlists = thing(
    {"id": id_of("playlist", PLAYLISTS), "name": names},
    {
        "description": usually(st.sampled_from(["", "mine"]), st.none() | anything),
        "public": usually(st.booleans(), st.none() | anything),
        "uri": usually(st.sampled_from(["spotify:playlist:3cEY", "spotify:user:ann:playlist:3cEY"])),
        "items": pages(saved),
        "tracks": pages(saved),
    },
)
shares = usually(st.sampled_from([0, 1, 0.5, 0.123456, 1.0]), st.sampled_from([-0.1, 1.5, "0.5", True]) | scalars)
features = usually(
    thing(
        {"id": id_of("track", TRACKS)},
        {
            **dict.fromkeys(
                ("acousticness", "danceability", "energy", "instrumentalness", "liveness", "speechiness"), shares
            ),
            "valence": shares,
            "loudness": usually(st.sampled_from([-5.25, 1.2, 0])),
            "tempo": usually(st.sampled_from([120.5, 90]), st.just(0) | scalars),
            "key": usually(st.integers(0, 11), st.sampled_from([-1, 12, 3.0]) | scalars),
            "mode": usually(st.sampled_from([0, 1])),
            "time_signature": usually(st.integers(3, 7), st.sampled_from([0, 1, 8]) | scalars),
            "uri": usually(uri("track", TRACKS)),
        },
    ),
    st.none() | anything,
)
_feature_keys = usually(st.sampled_from(TRACKS), odd_texts | uri("track", TRACKS))
features_sections = usually(
    st.dictionaries(_feature_keys, features, max_size=4)
    | st.lists(features | st.tuples(_feature_keys | scalars, features) | anything, max_size=4),
    anything,
)


def tops(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw top tracks or artists."""
    ranges = {name: pages(elements) for name in ("short_term", "medium_term", "long_term", "lifetime")}
    return usually(st.fixed_dictionaries({}, optional=ranges), anything)


profiles = usually(
    st.fixed_dictionaries(
        {},
        optional={
            "id": usually(st.just(USER)),
            "display_name": usually(st.just("Ann Onymous")),
            "email": usually(st.just("ann@example.org")),
            "country": usually(st.just("DE"), st.sampled_from(["de", "DEU", "DE\n"]) | scalars),
            "product": usually(st.just("premium")),
        },
    ),
    anything,
)
tokens = {
    "accessToken": usually(st.just("secret-access")),
    "refresh_token": usually(st.just("secret-refresh")),
    "expiresAt": instants,
    "tokens": usually(st.just({"access_token": "secret-inner", "expires_at": 1709296496}), anything),
}
users = st.fixed_dictionaries(
    {},
    optional={
        "profile": profiles,
        "topTracks": tops(entries_of_tracks),
        "topArtists": tops(usually(artists, st.none() | anything)),
        "recentlyPlayed": pages(plays),
        "savedTracks": pages(saved),
        "playlists": pages(playlists, most=3),
        "audioFeatures": features_sections,
        "lastUpdated": instants,
        "settings": anything,
        **tokens,
    },
)

#: The same with nothing that has to be tolerated: the writer's shortest path.
sound_users = st.fixed_dictionaries(
    {
        "profile": st.just({"id": USER, "display_name": "Ann Onymous", "email": "ann@example.org", "country": "DE"}),
        "topTracks": st.fixed_dictionaries({"short_term": st.lists(sound_tracks, max_size=3)}),
        "recentlyPlayed": st.lists(
            st.fixed_dictionaries({"track": sound_tracks, "played_at": st.just("2024-03-01T12:34:56Z")}), max_size=3
        ),
        "audioFeatures": st.dictionaries(
            st.sampled_from(TRACKS), st.just({"energy": 0.5, "tempo": 120.25}), max_size=2
        ),
    }
)
user_texts = st.builds(text_of, users | sound_users, plain_ascii=st.booleans(), indent=st.sampled_from([None, 1]))
any_texts = st.builds(text_of, anything, plain_ascii=st.booleans())
