"""The hot route over the application: what it answers, how it may be cached, and what it leaves to others."""

import gzip
from dataclasses import replace

import msgspec

from service.http.answers import KIND
from service.http.shapes import Suggestions
from tests.http.conftest import Inside, Make

PATH = "/v1/tags/autocomplete"


def test_rows_are_what_the_contract_says(served: Inside) -> None:
    """Type, id, name, category, color, usage, antecedent and match ranges; nothing else without explain."""
    got = served.get(f"{PATH}?q=ho")

    assert 200 == got.status
    assert "application/json" == got.headers["content-type"]
    first = got.json["suggestions"][0]
    assert {
        "type": "prefix",
        "id": served.tag_id("Holy Spirit"),
        "name": "Holy Spirit",
        "category": "theme",
        "color": "#4a90d9",
        "usage_count": 300,
        "antecedent": None,
        "match": [[0, 2]],
    } == first
    assert ["Holy Spirit", "Hope"] == [row["name"] for row in got.json["suggestions"]][:2]
    assert "ho" == got.json["create"]["name"]


def test_synonyms_words_and_reasons(served: Inside) -> None:
    """A synonym is shown as the antecedent; words may come in any order; explain says why."""
    assert [("synonym", "holy ghost")] == [
        (row["type"], row["antecedent"]) for row in served.get(f"{PATH}?q=holy+g").json["suggestions"]
    ]
    assert "words" == served.get(f"{PATH}?q=ho%20sp").json["suggestions"][0]["type"]
    assert served.get(f"{PATH}?q=grac&explain=1").json["suggestions"][0]["why"]


def test_parameters_narrow_the_answer(served: Inside) -> None:
    """Limit, category and context."""
    assert 3 == len(served.get(f"{PATH}?q=tag&limit=3").json["suggestions"])
    assert 10 == len(served.get(f"{PATH}?q=tag").json["suggestions"])
    assert [] == served.get(f"{PATH}?q=grace&category=mood").json["suggestions"]
    chosen = served.tag_id("Hope")
    assert ["Holy Spirit"] == [row["name"] for row in served.get(f"{PATH}?q=ho&context={chosen}").json["suggestions"]][
        :1
    ]
    assert "Hope" not in [row["name"] for row in served.get(f"{PATH}?q=ho&context={chosen}").json["suggestions"]]


def test_spellings_share_one_look_into_the_index(inside: Make) -> None:
    """What is compared the same is looked up once, yet `create` says what was typed."""
    served = inside()
    bands = "segue_autocomplete_results_total"
    before = served.get("/metrics").body.decode().count(bands)
    assert before
    answers = [served.get(f"{PATH}?{query}").json for query in ("q=gr", "q=GR&limit=10", "limit=10&q=%20Gr", "q=Gr")]

    assert 1 == len({repr(answer["suggestions"]) for answer in answers})
    assert ["gr", "GR", "Gr", "Gr"] == [answer["create"]["name"] for answer in answers]
    made = [
        line for line in served.get("/metrics").body.decode().splitlines() if line.startswith(bands) and " 1.0" in line
    ]
    assert 1 == len(made)


def test_answers_come_from_the_cache_until_they_are_invalidated(inside: Make) -> None:
    """The second request is a hit; after a change of a tag the answer is made anew."""
    served = inside()
    served.get(f"{PATH}?q=gra")
    hits = served.state.cache.stats().kinds[KIND].l1.hits
    served.get(f"{PATH}?q=gra")
    assert hits + 1 == served.state.cache.stats().kinds[KIND].l1.hits
    assert served.state.index is not None
    grace = served.state.index.resolve("grace")
    assert grace is not None

    touched = served.state.index.apply(
        {"n": replace(grace, id="n", name="Gravity", normalized="gravity", usage_count=9_000, synonyms=())}, 1
    )
    served.state.cache.invalidate_tags(touched.groups)

    assert "Gravity" == served.get(f"{PATH}?q=gra").json["suggestions"][0]["name"]


def test_entity_tags(served: Inside) -> None:
    """A strong tag of the body; who has it gets 304 without a body, and the headers of the 200."""
    got = served.get(f"{PATH}?q=h")
    tag = got.headers["etag"]
    assert tag.startswith('"')

    same = served.get(f"{PATH}?q=h", headers={"if-none-match": f'"other", {tag}'})

    assert (304, b"") == (same.status, same.body)
    assert {name: got.headers[name] for name in ("etag", "cache-control")} == {
        name: same.headers[name] for name in ("etag", "cache-control")
    }
    assert 200 == served.get(f"{PATH}?q=h", headers={"if-none-match": '"other"'}).status


def test_head_has_the_headers_alone(served: Inside) -> None:
    """HEAD answers what GET would, without the body."""
    got = served.get(f"{PATH}?q=tag", client="127.0.0.1")
    head = served.ask("HEAD", f"{PATH}?q=tag", client="127.0.0.1")

    assert b"" == head.body
    assert got.headers == head.headers
    assert 422 == served.ask("HEAD", PATH).status
    assert b"" == served.ask("HEAD", PATH).body


def test_long_answers_are_compressed_for_who_asks(served: Inside) -> None:
    """Compressed when gzip is accepted and pays; the same answer otherwise."""
    plain = served.get(f"{PATH}?q=tag")
    packed = served.get(f"{PATH}?q=tag", headers={"accept-encoding": "gzip"})

    assert "gzip" == packed.headers["content-encoding"]
    assert plain.body == gzip.decompress(packed.body)
    assert plain.headers["etag"] != packed.headers["etag"]
    assert "accept-encoding" == plain.headers["vary"] == packed.headers["vary"]
    short = served.get(f"{PATH}?q=kyr", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in short.headers


def test_caching_headers_follow_the_settings(inside: Make) -> None:
    """Others may keep an answer, and show it for a while as they ask again."""
    got = inside(max_age=7, stale_seconds=70).get(f"{PATH}?q=h")

    assert "public, max-age=7, stale-while-revalidate=70" == got.headers["cache-control"]


def test_request_ids_come_back_when_given(served: Inside) -> None:
    """A short plain id is repeated; what could break a log line is not."""
    assert "abc-1" == served.get(f"{PATH}?q=h", headers={"x-request-id": "abc-1"}).headers["x-request-id"]
    assert "x-request-id" not in served.get(f"{PATH}?q=h", headers={"x-request-id": "a b"}).headers
    assert 32 == len(served.get(PATH, headers={"x-request-id": "x" * 65}).headers["x-request-id"])


def test_without_an_index_it_says_so(inside: Make) -> None:
    """503 with Retry-After until the index is there; what is in the cache still answers."""
    served = inside()
    served.get(f"{PATH}?q=gr")
    served.state.index = None

    assert 200 == served.get(f"{PATH}?q=gr").status
    got = served.get(f"{PATH}?q=gra")
    assert (503, "1") == (got.status, got.headers["retry-after"])
    assert "application/problem+json" == got.headers["content-type"]


def test_a_mistake_of_ours_is_a_problem_without_details(inside: Make) -> None:
    """An unexpected error is answered 500 as a problem that tells nothing of the inside, and noted with its id."""
    served = inside()

    class Broken:
        def suggest(self, *_: object) -> None:
            raise RuntimeError("secret of the house")

        def __len__(self) -> int:
            return 0

    served.state.index = Broken()  # type: ignore[assignment]

    got = served.get(f"{PATH}?q=gra")

    assert 500 == got.status
    assert "secret" not in got.body.decode()
    assert got.json["request_id"] in served.log.getvalue()


def test_answers_have_the_documented_shape(served: Inside) -> None:
    """Every answer decodes as the shape that the OpenAPI document shows."""
    for query in ("h", "zzz", "holy ghost", "kyrei", "聖", "%22hope"):
        msgspec.json.decode(served.get(f"{PATH}?q={query}").body, type=Suggestions)
