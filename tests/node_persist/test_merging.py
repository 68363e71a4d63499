"""What many files say of one artist, album or track is merged: any order, chunks and workers give what plain Python says."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.node_persist import manifest
from tests.node_persist.people import Json, rows
from tests.node_persist.stores import write

NUMBER = st.none() | st.integers(0, 100)
PRECISIONS = {4: "year", 7: "month", 10: "day"}

ARTISTS = st.fixed_dictionaries(
    {"id": st.sampled_from(["a1", "a2"]), "name": st.sampled_from(["Ann", "ann", "\u00c4nn", "\U0001f3b5"])},
    optional={"popularity": NUMBER, "genres": st.lists(st.sampled_from(["pop", "rock", "\u00e9lectro", "Zydeco"]))},
)
ALBUMS = st.fixed_dictionaries(
    {"id": st.sampled_from(["b1", "b2"]), "name": st.sampled_from(["Best", "best of"])},
    optional={
        "total_tracks": NUMBER,
        "release_date": st.sampled_from(
            [None, "0000", "1999", "2001", "1999-05", "2001-01", "1999-05-17", "2000-02-29"]
        ),
    },
)
TRACKS = st.fixed_dictionaries(
    {"id": st.sampled_from(["t1", "t2", "t3"]), "name": st.sampled_from(["One", "one (live)"])},
    optional={
        "popularity": NUMBER,
        "duration_ms": NUMBER,
        "explicit": st.none() | st.booleans(),
        "type": st.sampled_from(["track", "episode"]),
        "artists": st.lists(ARTISTS, max_size=3),
        "album": ALBUMS,
        "track_number": st.none() | st.integers(1, 9),
        "disc_number": st.none() | st.integers(1, 3),
    },
)
SHARES = st.none() | st.sampled_from([0, 1, 0.5, 0.25, 0.123456])
FEATURES = st.fixed_dictionaries(
    {}, optional={"energy": SHARES, "valence": SHARES, "mode": st.none() | st.integers(0, 1)}
)
FILES = st.lists(
    st.tuples(st.lists(TRACKS, min_size=1, max_size=3), st.lists(ARTISTS, max_size=2), FEATURES), max_size=6
)


class Merged:
    """The shared rows, by the documented rules, one object after the other."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Any, Json]] = {name: {} for name in QUERIES}

    def learn(self, table: str, key: Any, **given: Any) -> None:
        """Merge what one object says: of two values the greater, of two sets the union."""
        row = self.rows[table].setdefault(key, dict.fromkeys(given))
        for name, value in given.items():
            if isinstance(value, frozenset):
                row[name] = value | (row[name] or frozenset())
            elif value is not None:
                row[name] = value if row[name] is None else max(row[name], value, key=_order)

    def artist(self, one: Json) -> None:
        """Merge an artist."""
        genres = frozenset(one.get("genres") or ())
        self.learn("artists", one["id"], name=one["name"], genres=genres, popularity=one.get("popularity"))

    def track(self, one: Json) -> None:
        """Merge a track with its artists and its album."""
        kind, numbers = (
            one.get("type", "track"),
            {name: one.get(name) for name in ("popularity", "duration_ms", "explicit")},
        )
        self.learn("tracks", one["id"], name=one["name"], kind=kind, **numbers)
        if kind == "episode":
            return
        firsts: dict[str, int] = {}
        for place, artist in enumerate(one.get("artists", ())):
            if firsts.setdefault(artist["id"], place) == place:
                self.artist(artist)
                self.learn("track_artists", (one["id"], artist["id"]), position=place)
        if album := one.get("album"):
            date = album.get("release_date")
            released = (len(date), f"{date}-01-01"[:10], PRECISIONS[len(date)]) if date and date != "0000" else None
            self.learn(
                "albums", album["id"], name=album["name"], released=released, total_tracks=album.get("total_tracks")
            )
            places = {name: one.get(name) for name in ("track_number", "disc_number")}
            self.learn("track_albums", (one["id"], album["id"]), **places)


def _order(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


#: As the model holds them: genres as a set, a release with the length of its text.
QUERIES = {
    "artists": "SELECT id, name, genres, popularity FROM artists",
    "albums": "SELECT id, name, release_date::text, release_date_precision, total_tracks FROM albums",
    "tracks": "SELECT id, name, kind, popularity, duration_ms, explicit FROM tracks",
    "track_artists": "SELECT track_id, artist_id, position FROM track_artists",
    "track_albums": "SELECT track_id, album_id, track_number, disc_number FROM track_albums",
    "audio_features": "SELECT track_id, energy::text, valence::text, mode FROM audio_features",
}


def merged(files: Iterable[Any]) -> dict[str, list[Any]]:
    """Return the rows due, sorted, as `QUERIES` gives them."""
    model = Merged()
    for tracks, artists, features in files:
        for one in tracks:
            model.track(one)
        for one in artists:
            model.artist(one)
        figures = {name: features.get(name) for name in ("energy", "valence", "mode")}
        model.learn("audio_features", tracks[0]["id"], **figures)
    found = {name: [_flat(key, row) for key, row in model.rows[name].items()] for name in QUERIES}
    return {name: sorted(listed, key=repr) for name, listed in found.items()}


def _flat(key: Any, row: Json) -> tuple[Any, ...]:
    values: list[Any] = list(key) if isinstance(key, tuple) else [key]
    for name, value in row.items():
        if name == "released":
            values += value[1:] if value else (None, None)
        elif name in {"energy", "valence"}:
            values.append(None if value is None else json.dumps(value))
        else:
            values.append(sorted(value, key=_order) if isinstance(value, frozenset) else value)
    return tuple(values)


def fill(store: Path, files: list[Any], names: list[str]) -> None:
    """Write the files anew under names, whose order is that of the import."""
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    for (tracks, artists, features), name in zip(files, names, strict=True):
        value = {
            "savedTracks": [{"track": one} for one in tracks],
            "topArtists": {"long_term": artists},
            "audioFeatures": {tracks[0]["id"]: features},
        }
        write(store, 0, name, value)


@pytest.mark.untraced
@pytest.mark.slow
@settings(max_examples=15)
@given(data=st.data())
def test_order_never_matters(data, segue, connection, tmp_path) -> None:
    """Files in any order, chunks of any size, two workers, with and without keys in place: as the model says."""
    files = data.draw(FILES)
    names = data.draw(st.permutations([f"u-{number}" for number in range(len(files))]))
    batch, load = data.draw(st.sampled_from("127")), data.draw(st.sampled_from(["fresh", "live"]))
    workers = data.draw(st.sampled_from("12"))
    fill(tmp_path / "storage", files, names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "SMALLEST_SHARE", 2)
        arguments = ("--source", str(tmp_path / "storage"), "--batch-size", batch, "--load", load, "--workers", workers)
        assert 0 == segue("migrate", "node-persist", *arguments).code
    due = merged(files)
    assert due == {name: sorted(rows(connection, query), key=repr) for name, query in QUERIES.items()}
    assert 0 == segue("rollback").code
    for name in QUERIES:
        assert [(0,)] == rows(connection, f"SELECT count(*) FROM {name}")


def test_simplified_objects_erase_nothing(segue, connection, tmp_path) -> None:
    """What a later, simplified object lacks stays as a fuller one gave it, also in another run over the same file."""
    full = {"id": "a1", "name": "Ann", "genres": ["pop"], "popularity": 7}
    album = {"id": "b1", "name": "Best", "release_date": "1999-05-17", "total_tracks": 3}
    track = {
        "id": "t1",
        "name": "One",
        "popularity": 9,
        "duration_ms": 5,
        "explicit": True,
        "artists": [full],
        "album": album,
    }
    bare = {"id": "t1", "name": "One", "artists": [{"id": "a1", "name": "Ann"}],
            "album": {"id": "b1", "name": "Best", "release_date": "1999"}}  # fmt: skip
    fill(tmp_path / "storage", [([track], [], {"energy": 0.5}), ([bare], [], {})], ["u-1", "u-2"])
    assert 0 == segue("migrate", "node-persist", "--source", str(tmp_path / "storage"), "-b", "1").code
    fill(tmp_path / "storage", [([bare], [], {}), ([bare], [], {})], ["u-1", "u-2"])
    assert 0 == segue("migrate", "node-persist", "--source", str(tmp_path / "storage")).code
    expected = merged([([track], [], {"energy": 0.5}), ([bare], [], {})])
    assert expected == {name: sorted(rows(connection, query), key=repr) for name, query in QUERIES.items()}
