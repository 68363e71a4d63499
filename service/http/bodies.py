"""Request bodies: JSON of a known shape, within the limit, or a problem that points at what is wrong."""

import re
from typing import Any, Final

import msgspec
from starlette.requests import Request

from service.http.problems import BAD_REQUEST, UNSUPPORTED_MEDIA_TYPE, Fault, Problem, invalid

#: How msgspec ends its messages: " - at `$.members[0].name`".
_PLACE: Final = re.compile(r"(.*) - at `(key in )?\$(.*)`", re.DOTALL)
_FIELD: Final = re.compile(r"Object (?:contains unknown|missing required) field `(.*)`", re.DOTALL)


async def decode_body(request: Request, shape: type[msgspec.Struct] | None, *, is_optional: bool) -> Any:
    """Read a request's body as `shape`; without a shape a body is not looked at.

    Raises:
        Problem: 400 no JSON, 413 too long, 415 another media type, 422 JSON of another shape.
    """
    if shape is None:
        return None
    raw = await request.body()
    if not raw and is_optional:
        return None
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        given = f"{media_type[:50]!r}" if media_type else "none"
        raise Problem(
            UNSUPPORTED_MEDIA_TYPE,
            f"the body's media type must be application/json, given was {given}",
            headers=[("accept", "application/json")],
        )
    try:
        return msgspec.json.decode(raw, type=shape)
    except msgspec.ValidationError as error:
        raise invalid(_fault(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(BAD_REQUEST, f"the body is no JSON: {error}") from None


def _fault(said: str) -> Fault:
    path = ""
    if found := _PLACE.fullmatch(said):
        said, _, path = found.groups()
    pointer = "".join(f"/{step}" for step in re.findall(r"[^.\[\]]+", path))
    if field := _FIELD.fullmatch(said):
        pointer += "/" + field[1].replace("~", "~0").replace("/", "~1")
        said = "unknown member" if "unknown" in said else "missing"
    return Fault(said[:300], pointer=pointer)
