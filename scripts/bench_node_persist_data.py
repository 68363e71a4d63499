"""Realistic node-persist user files for the benchmark, deterministic by seed, as the library's version 4 writes them.

A catalogue of 30,000 tracks is asked for by Zipf's law, so users share popular tracks, as they do in life. Each section
of each user holds full, simplified or trimmed Web API objects.
"""

import hashlib
import json
import random
from bisect import bisect
from functools import cache
from itertools import accumulate

TRACKS = 30_000
ARTISTS = 9_000
ALBUMS = 14_000
SMALLEST, LARGEST = 30_000, 100_000  # bytes of a user's value

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MARKETS = [a + b for a in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for b in "ABDEGILMNORSTUZ"][:185]
_WORDS = (
    "love", "night", "fire", "river", "golden", "hour", "shadow", "dance", "summer", "rain", "heart", "blue", "street",
    "echo", "paper", "moon", "wild", "ocean",
)  # fmt: skip
_GENRES = (
    "pop rock", "indie folk", "dance pop", "hip hop", "bossa nova", "neo soul", "techno", "worship", "city pop",
    "metal",
)  # fmt: skip


_FORMS = ("full", "simplified", "trimmed")
#: Section (by its letter below) → how many users in a hundred have it in each form: an application trims a section
#: in one way, until a new version does it in another.
_SHARES = {"t": (85, 5, 10), "p": (75, 10, 15), "s": (30, 5, 65), "l": (20, 15, 65)}


def dump(value: object) -> str:
    """Return JSON text without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _random(kind: str, number: int, seed: int) -> random.Random:
    return random.Random(f"{seed}/{kind}/{number}")


def spotify_id(kind: str, number: int) -> str:
    """Return the 22-character id of an object of the catalogue."""
    digest = hashlib.blake2b(f"{kind}{number}".encode(), digest_size=22).digest()
    return "".join(_ALPHABET[byte % 62] for byte in digest)


def _name(draw: random.Random) -> str:
    return " ".join(draw.choices(_WORDS, k=draw.randint(1, 5))).title()


def _links(kind: str, id_: str) -> dict[str, object]:
    return {
        "external_urls": {"spotify": f"https://open.spotify.com/{kind}/{id_}"},
        "href": f"https://api.spotify.com/v1/{kind}s/{id_}",
        "id": id_,
    }


def _images(draw: random.Random) -> list[dict[str, object]]:
    tail = f"{draw.getrandbits(96):024x}"
    return [
        {"height": size, "url": f"https://i.scdn.co/image/ab67616d0000{size:04x}{tail}", "width": size}
        for size in (640, 300, 64)
    ]


class Catalogue:
    """Objects of the Web API by number, as JSON text.

    Args:
        seed: equal seeds give equal bytes.
    """

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed
        self._weights = list(accumulate(1 / rank for rank in range(1, TRACKS + 1)))
        self.track = cache(self._track)
        self.artist = cache(self._artist)
        self.features = cache(self._features)

    def pick(self, draw: random.Random) -> int:
        """Return a track's number, popular ones more often."""
        return bisect(self._weights, draw.random() * self._weights[-1])

    def _simple_artist(self, number: int) -> dict[str, object]:
        id_ = spotify_id("artist", number)
        name = _name(_random("artist", number, self._seed))
        return {**_links("artist", id_), "name": name, "type": "artist", "uri": f"spotify:artist:{id_}"}

    def _artist(self, number: int) -> str:
        draw = _random("artist-more", number, self._seed)
        more = {
            "followers": {"href": None, "total": draw.randint(100, 9_000_000)},
            "genres": draw.sample(_GENRES, draw.randint(0, 3)),
            "images": _images(draw),
            "popularity": draw.randint(0, 100),
        }
        return dump({**self._simple_artist(number), **more})

    def _album(self, number: int) -> dict[str, object]:
        draw = _random("album", number, self._seed)
        id_ = spotify_id("album", number)
        precision = draw.choices(["day", "year", "month"], [88, 10, 2])[0]
        date = f"{draw.randint(1965, 2024)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
        return {
            "album_type": draw.choice(["album", "single", "compilation"]),
            "artists": [self._simple_artist(number * 7 % ARTISTS)],
            "available_markets": self._markets(draw),
            **_links("album", id_),
            "images": _images(draw),
            "name": _name(draw),
            "release_date": date[: {"day": 10, "month": 7, "year": 4}[precision]],
            "release_date_precision": precision,
            "total_tracks": draw.randint(1, 24),
            "type": "album",
            "uri": f"spotify:album:{id_}",
        }

    def _markets(self, draw: random.Random) -> list[str]:
        return _MARKETS if draw.random() < 0.4 else _MARKETS[: draw.choice([1, 2, 30])]

    def _track(self, number: int, form: str) -> str:
        draw = _random("track", number, self._seed)
        id_ = spotify_id("track", number)
        more = draw.choices([0, 1, 2], [70, 22, 8])[0]
        artists = [self._simple_artist((number * 7 + extra * 13) % ARTISTS) for extra in range(more + 1)]
        name, length, explicit = _name(draw), draw.randint(90_000, 400_000), draw.random() < 0.2
        popularity = max(0, min(100, 95 - number // 320))
        album = self._album(number % ALBUMS)
        if form == "trimmed":
            return dump(
                {
                    "id": id_,
                    "name": name,
                    "artists": [{"id": one["id"], "name": one["name"]} for one in artists],
                    "album": {key: album[key] for key in ("id", "name", "images", "release_date")},
                    "duration_ms": length,
                    "popularity": popularity,
                }
            )
        simple = {
            "artists": artists,
            "available_markets": album["available_markets"],
            "disc_number": 1,
            "duration_ms": length,
            "explicit": explicit,
            **_links("track", id_),
            "is_local": False,
            "name": name,
            "preview_url": f"https://p.scdn.co/mp3-preview/{draw.getrandbits(160):040x}?cid={draw.getrandbits(128):032x}",
            "track_number": draw.randint(1, 24),
            "type": "track",
            "uri": f"spotify:track:{id_}",
        }
        if form == "simplified":
            return dump(simple)
        isrc = {"isrc": f"US{draw.getrandbits(40) % 10**10:010}"}
        return dump({"album": album, **simple, "external_ids": isrc, "popularity": popularity})

    def _features(self, number: int) -> str:
        draw = _random("features", number, self._seed)
        id_ = spotify_id("track", number)
        shares = ("danceability", "energy", "speechiness", "acousticness", "instrumentalness", "liveness", "valence")
        return dump(
            {
                **{name: round(draw.random(), draw.randint(2, 4)) for name in shares},
                "key": draw.randint(0, 11),
                "loudness": round(-draw.random() * 20, 3),
                "mode": draw.randint(0, 1),
                "tempo": round(60 + draw.random() * 140, 3),
                "type": "audio_features",
                "id": id_,
                "uri": f"spotify:track:{id_}",
                "track_href": f"https://api.spotify.com/v1/tracks/{id_}",
                "analysis_url": f"https://api.spotify.com/v1/audio-analysis/{id_}",
                "duration_ms": draw.randint(90_000, 400_000),
                "time_signature": 4,
            }
        )

    def user(self, number: int) -> tuple[str, bytes]:
        """Return a user's id and value as JSON text of 30,000 to 100,000 bytes."""
        draw = _random("user", number, self._seed)
        user_id = f"user{number:06}"
        return user_id, _User(self, draw, user_id).value(draw.randint(SMALLEST, LARGEST)).encode()


def _instant(draw: random.Random, *, fraction: bool) -> str:
    text = f"2024-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}T{draw.randint(0, 23):02}"
    text += f":{draw.randint(0, 59):02}:{draw.randint(0, 59):02}"
    return text + (f".{draw.randint(0, 999):03}Z" if fraction else "Z")


class _User:
    """One user's value in the making."""

    def __init__(self, catalogue: Catalogue, draw: random.Random, user_id: str) -> None:
        self._catalogue = catalogue
        self._draw = draw
        self._id = user_id
        self._tracks: dict[int, None] = {}

    def _track(self, form: str) -> str:
        number = self._catalogue.pick(self._draw)
        self._tracks[number] = None
        return self._catalogue.track(number, form)

    def _entry(self, section: str, form: str, left: int) -> str:
        if section == "t":
            return self._track(form)
        if section == "p":
            return self._play(form)
        if section == "s":
            return self._saved(form)
        if section == "l":
            return self._playlist(form, self._draw.randint(0, min(8, left // 3_000)))
        return self._catalogue.artist(self._catalogue.pick(self._draw) % ARTISTS)

    def _play(self, form: str) -> str:
        context: object = None
        if self._draw.random() < 0.7:
            id_ = spotify_id("playlist", self._draw.randrange(5_000))
            context = {"type": "playlist", **_links("playlist", id_), "uri": f"spotify:playlist:{id_}"}
        at = _instant(self._draw, fraction=True)
        return f'{{"track":{self._track(form)},"played_at":"{at}","context":{dump(context)}}}'

    def _saved(self, form: str) -> str:
        return f'{{"added_at":"{_instant(self._draw, fraction=False)}","track":{self._track(form)}}}'

    def _playlist(self, form: str, length: int) -> str:
        id_ = spotify_id("playlist", self._draw.randrange(10**9))
        about = {
            "collaborative": False,
            "description": _name(self._draw),
            **_links("playlist", id_),
            "images": _images(self._draw)[:1],
            "name": _name(self._draw),
            "owner": {**_links("user", self._id), "display_name": f"Listener {self._id}"},
            "public": self._draw.random() < 0.5,
        }
        return dump(about)[:-1] + f',"items":[{",".join(self._saved(form) for _ in range(length))}]}}'

    def value(self, size: int) -> str:
        """Return the value; sections are filled in turn until it has the size asked for."""
        draw = self._draw
        forms = {name: draw.choices(_FORMS, shares)[0] for name, shares in _SHARES.items()}
        parts: dict[str, list[str]] = {name: [] for name in "tapsl"}
        left = size - 1_500
        while left > 0:
            name = draw.choices("tapsl", [30, 12, 22, 24, 4])[0]
            one = self._entry(name, forms.get(name, ""), left)
            parts[name].append(one)
            left -= len(one) + 40
            if name in "tpsl":
                left -= 120  # a third of the tracks have features
        features = [f'"{spotify_id("track", n)}":{self._catalogue.features(n)}' for n in list(self._tracks)[::3]]
        profile = {
            "display_name": f"Listener {self._id}",
            "email": f"{self._id}@example.org",
            "country": draw.choice(["DE", "US", "BR", "SE"]),
            "product": draw.choice(["free", "premium"]),
            **_links("user", self._id),
            "images": _images(draw)[:2],
        }
        thirds = {range_: number for number, range_ in enumerate(("short_term", "medium_term", "long_term"))}
        tops = {
            name: ",".join(f'"{range_}":[{",".join(parts[letter][at::3])}]' for range_, at in thirds.items())
            for name, letter in (("topTracks", "t"), ("topArtists", "a"))
        }
        return (
            f'{{"profile":{dump(profile)},"topTracks":{{{tops["topTracks"]}}},"topArtists":{{{tops["topArtists"]}}},'
            f'"recentlyPlayed":[{",".join(parts["p"])}],"savedTracks":[{",".join(parts["s"])}],'
            f'"playlists":[{",".join(parts["l"])}],"audioFeatures":{{{",".join(features)}}},'
            f'"lastUpdated":"{_instant(draw, fraction=True)}"}}'
        )
