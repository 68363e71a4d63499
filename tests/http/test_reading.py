"""Reading tags and songs: pages, redirects of merged tags, facets, and the same without the index."""

import pytest

from service.curation import acts
from service.curation.tag import Curator
from service.settings import SongsTable
from sql.database import Database
from tests.http.conftest import TAGS, Inside, Make


def test_popular_tags(served: Inside) -> None:
    """The most used first, of a category when one is named."""
    assert ["Grace", "Holy Spirit"] == [tag["name"] for tag in served.get("/v1/tags/popular?limit=2").json["tags"]]
    assert ["Advent", "Easter"] == [
        tag["name"] for tag in served.get("/v1/tags/popular?category=occasion").json["tags"]
    ]


def test_one_tag(served: Inside) -> None:
    """A tag with its synonyms, from memory; case of the id does not matter; 404 for a tag that is not there."""
    tag_id = served.tag_id("Holy Spirit")

    got = served.get(f"/v1/tags/{tag_id}")

    assert ["holy ghost", "paraclete"] == got.json["synonyms"]
    assert got.json == served.get(f"/v1/tags/{tag_id.upper()}").json
    assert 304 == served.get(f"/v1/tags/{tag_id}", headers={"if-none-match": got.headers["etag"]}).status
    assert 404 == served.get("/v1/tags/0190b0a4-7c1e-7d30-9a53-0b7c4a2f4f11").status


def test_a_merged_tag_leads_on(alone: Inside, database_url: str) -> None:
    """The old id answers with the tag that it became, and says where that is; a banned tag is not shown."""
    old, into, banned = (alone.tag_id(name) for name in ("Hope", "Grace", "Kyrie"))
    database = Database(database_url)
    with database.transaction() as transaction:
        acts.merge(transaction, Curator("public", "test"), old, into)
        acts.ban(transaction, Curator("public", "test"), banned, "for the test")
    database.close()
    assert alone.state.index is not None
    alone.state.index.apply({old: None, banned: None}, 1)

    got = alone.get(f"/v1/tags/{old}")

    assert (200, into, f"/v1/tags/{into}") == (got.status, got.json["id"], got.headers["content-location"])
    assert 404 == alone.get(f"/v1/tags/{banned}").status


def test_pages_of_tags(served: Inside) -> None:
    """Following `next` gives every tag once, in the order of normalised names; the Link header says the same."""
    found, target = [], "/v1/tags?limit=7"
    while target:
        got = served.get(target)
        found += [tag["normalized_name"] for tag in got.json["tags"]]
        target = f"/v1/tags?limit=7&cursor={got.json['next']}" if got.json["next"] else ""
        assert bool(target) == ("link" in got.headers)
        if target:
            assert f"cursor={got.json['next']}&limit=7" in got.headers["link"]

    assert sorted(found, key=str.encode) == found
    assert len(TAGS) == len(found) == len(set(found))
    assert ["Advent", "Easter"] == [tag["name"] for tag in served.get("/v1/tags?category=occasion").json["tags"]]


def test_cursors_belong_to_their_list(served: Inside) -> None:
    """A cursor that was changed or comes from another list is refused."""
    cursor = served.get("/v1/tags?limit=1").json["next"]
    assert 200 == served.get(f"/v1/tags?cursor={cursor}").status

    for wrong in (cursor[:-2], cursor + "AA", "A" + cursor[1:], "e30"):
        assert 422 == served.get(f"/v1/tags?cursor={wrong}").status


@pytest.mark.parametrize("is_loaded", [True, False])
def test_search_by_tags_with_facets(inside: Make, is_loaded: bool) -> None:
    """Synonyms count as their tag, facets are exact, pages follow each other; from memory or from the database."""
    served = inside()
    if not is_loaded:
        served.state.songs = None

    got = served.get("/v1/songs/search?tags=mercy,advent&limit=4").json

    assert (6, []) == (got["total"], got["unknown"])
    assert 4 == len(got["songs"])
    assert ["Advent", "Grace", "Hope"] == [tag["name"] for tag in got["songs"][0]["tags"]]
    theme = next(facet for facet in got["facets"] if facet["category"] == "theme")
    assert [("Grace", 6), ("Hope", 6)] == [(tag["name"], tag["songs"]) for tag in theme["tags"]]
    rest = served.get(f"/v1/songs/search?tags=mercy,advent&limit=4&cursor={got['next']}").json
    assert (2, None) == (len(rest["songs"]), rest["next"])
    assert 54 == served.get("/v1/songs/search?tags=grace&not=advent&facets=0").json["total"]
    assert 60 == served.get("/v1/songs/search?tags=advent,hope&match=any").json["total"]
    assert 11 == served.get("/v1/songs/search?q=song%201").json["total"]
    advent = next(tag["id"] for tag in got["songs"][0]["tags"] if tag["name"] == "Advent")
    assert 6 == served.get(f"/v1/songs/search?tags=mercy,{advent.upper()}").json["total"]
    assert (0, ["nonsense"]) == tuple(
        served.get("/v1/songs/search?tags=nonsense").json[name] for name in ("total", "unknown")
    )


def test_without_songs_there_is_no_search(inside: Make) -> None:
    """A server that searches no songs says so."""
    assert 404 == inside(songs=None).get("/v1/songs/search?tags=grace").status
    assert 200 == inside(songs=SongsTable(title=None)).get("/v1/songs/search?tags=grace").status
    assert 422 == inside(songs=SongsTable(title=None)).get("/v1/songs/search?q=song").status


def test_lists_are_unavailable_without_the_database(inside: Make) -> None:
    """What only the database knows is 503 with Retry-After while it is gone; what is in memory answers."""
    served = inside()
    served.state.database.close()
    served.state.database = Database("postgresql://nobody@127.0.0.1:1/nowhere")

    got = served.get("/v1/tags")

    assert (503, "5") == (got.status, got.headers["retry-after"])
    assert 200 == served.get("/v1/tags/popular").status
    assert 200 == served.get(f"/v1/tags/{served.tag_id('Grace')}").status
    assert 200 == served.get("/v1/songs/search?tags=grace").status
    ready = served.get("/readyz")
    assert (200, "degraded") == (ready.status, ready.json["status"])
