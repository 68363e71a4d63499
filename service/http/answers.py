"""Autocomplete answers as finished bytes: found in the cache, or made from the index."""

import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from cache import Loaded
from service.http.headers import JSON_SECURITY, Cors
from service.http.parameters import Parameter, flag, names, read_query, text, whole
from service.http.prepared import Fixed, Prepared
from service.http.problems import UNAVAILABLE, Problem
from service.http.shapes import NearTag, NewTag, SuggestedTag, Suggestions
from service.settings import Settings
from service.state import State
from service.suggest.query import Answer, Query
from tags.normalise import clean, normalise

if TYPE_CHECKING:
    from collections.abc import Callable

KIND: Final = "suggestions"
_LIMIT: Final = 10
_CREATE: Final = b',"create":'

PARAMETERS: Final[tuple[Parameter, ...]] = (
    text(
        "q",
        200,
        "What was typed so far; in double quotes an exact name comes first.",
        is_required=True,
        example="holy s",
    ),
    whole("limit", 1, 50, _LIMIT, "How many suggestions at most."),
    text("category", 50, "Only tags of this category.", example="theme"),
    names("context", 20, "Tags that are chosen already: left out, and what often stands beside them comes first."),
    flag("explain", "Say in words why each suggestion stands where it does."),
)


class Suggested(Prepared):
    """A prepared autocomplete answer, which can be told again for another spelling of the same text.

    Attributes:
        groups: it stays right until a change touches one of these.
    """

    __slots__ = ("groups",)

    def __init__(self, body: bytes, fixed: Fixed, groups: tuple[str, ...]) -> None:
        super().__init__(body, fixed)
        self.groups = groups

    def spelled(self, name: str) -> "Suggested":
        """Return the answer for a text that is compared the same but shown as `name`."""
        # The last member; no text in JSON holds a bare quotation mark, so no other place looks like it.
        start = self.body.rindex(_CREATE) + len(_CREATE)
        create = msgspec.json.decode(self.body[start:-1], type=NewTag | None)
        if create is None or create.name == name:
            return self
        renamed = msgspec.json.encode(msgspec.structs.replace(create, name=name))
        return Suggested(self.body[:start] + renamed + b"}", self._fixed, self.groups)


class Answers:
    """Finds or makes answers; used by the hot route and by the warm-up."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._most_bytes = state.settings.limits.query_bytes
        self._fixed = fixed_headers(state.settings)
        #: The quickest look into memory: a raw query string's answer, or None.
        self.known: Callable[[bytes], Suggested | None] = state.cache.reader(KIND)

    def find(self, raw: bytes) -> Suggested:
        """Return the answer to a raw query string.

        Raises:
            Problem: 422, or 503 while there is no index.
        """
        found = self.known(raw)
        return found if found is not None else self.load(raw)

    def load(self, raw: bytes) -> Suggested:
        """Return the answer to a raw query string that is not known, and remember it; otherwise like `find`."""
        found = self._state.cache.get_or_load(KIND, raw, lambda: self._loaded(raw))
        assert found is not None, "every query has an answer"
        return found

    def _loaded(self, raw: bytes) -> "Loaded[Suggested]":
        query = query_of(raw, self._most_bytes)
        usual = usual_spelling(query)
        if usual is None or usual == raw or len(usual) > self._most_bytes:
            found = self._make(query)
        else:
            # Other spellings of the same question ("q=A&limit=10", "limit=10&q=a") share one look into the index.
            found = self.find(usual).spelled(clean(query.text))
        return Loaded(found, found.groups)

    def _make(self, query: Query) -> Suggested:
        index = self._state.index
        if index is None:
            raise Problem(UNAVAILABLE, "the index is not loaded yet", headers=[("retry-after", "1")])
        answer = index.suggest(query, self._state.bans.holds)
        started = time.perf_counter()
        shown = as_shown(answer)
        body = msgspec.json.encode(shown)
        band = answer.suggestions[0].band if answer.suggestions else "none"
        self._state.measures.answered(band, {**answer.stage_seconds, "serialize": time.perf_counter() - started})
        return Suggested(body, self._fixed, answer.groups)


def usual_spelling(query: Query) -> bytes | None:
    """Return the query string under which all spellings of a question meet; None for one that meets no other."""
    text = normalise(query.text)
    if len(text) != len(clean(query.text)):
        return None  # whether it may become a tag may depend on the longer one
    parts = ["q=" + quote(text, safe="")]
    if query.limit != _LIMIT:
        parts.append(f"limit={query.limit}")
    if query.category is not None:
        parts.append("category=" + quote(query.category, safe=""))
    if query.context:
        parts.append("context=" + quote(",".join(query.context), safe=""))
    if query.explain:
        parts.append("explain=1")
    return "&".join(parts).encode()


def query_of(raw: bytes, most_bytes: int) -> Query:
    """Read a raw query string.

    Raises:
        Problem: 422, naming what is wrong.
    """
    given = read_query(raw, PARAMETERS, most_bytes=most_bytes)
    return Query(given["q"], given["limit"], given["category"], given["context"], given["explain"])


def as_shown(answer: Answer) -> Suggestions:
    """Return an answer as it is written."""
    rows = tuple(
        SuggestedTag(
            type=one.band,
            id=one.tag.id,
            name=one.tag.name,
            category=one.tag.category,
            color=one.tag.color,
            usage_count=one.tag.usage_count,
            antecedent=one.antecedent,
            match=one.match,
            why=one.why,
        )
        for one in answer.suggestions
    )
    if (new := answer.create) is None:
        return Suggestions(rows, None)
    near = tuple(NearTag(tag.id, tag.name, tag.category, tag.usage_count) for tag in new.near)
    return Suggestions(rows, NewTag(new.name, new.is_possible, new.reason, near))


def fixed_headers(settings: Settings) -> Fixed:
    """Return the headers that every successful answer has."""
    cached = f"public, max-age={settings.max_age}, stale-while-revalidate={settings.stale_seconds}"
    cors = Cors(settings.cors_origins)
    return Fixed(
        (b"content-type", b"application/json"),
        (b"cache-control", cached.encode()),
        *JSON_SECURITY,
        *(cors.headers(None) if cors.is_any else ()),
    )
