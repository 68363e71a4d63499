"""A query's parameters: described once, for reading them strictly and for the OpenAPI document."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from service.http.problems import Fault, invalid
from tags.normalise import SPACE, ZERO_WIDTH, is_blank

#: A control character that is no white space. No tag's name can hold one, and PostgreSQL no NUL.
_CONTROL: Final = re.compile("[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: Characters of a list of names.
_LONGEST_LIST: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter.

    Attributes:
        name: in the query string.
        description: what it does, for the reader of the documentation.
        read: turns its text into a value; raises ValueError, whose message says what would be right.
        schema: the same as JSON Schema.
        default: the value when it is missing.
        is_required: whether it may not be missing.
        example: for the documentation.
    """

    name: str
    description: str
    read: Callable[[str], Any]
    schema: Mapping[str, Any]
    default: Any = None
    is_required: bool = False
    example: Any = None


def whole(name: str, least: int, most: int, default: int, description: str) -> Parameter:
    """Describe a whole number between two bounds."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 12 and least <= int(text) <= most):
            raise ValueError(f"must be a whole number from {least:,} to {most:,}")
        return int(text)

    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return Parameter(name=name, description=description, read=read, schema=schema, default=default)


def flag(name: str, description: str) -> Parameter:
    """Describe a switch that is off by default."""

    def read(text: str) -> bool:
        if text not in {"0", "1", "false", "true"}:
            raise ValueError("must be 1, true, 0 or false")
        return text in {"1", "true"}

    schema = {"type": "string", "enum": ["0", "1", "false", "true"], "default": "0"}
    return Parameter(name=name, description=description, read=read, schema=schema, default=False)


def choice(name: str, values: Sequence[str], description: str, default: str | None = None) -> Parameter:
    """Describe one word of several."""

    def read(text: str) -> str:
        if text not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return text

    schema: dict[str, Any] = {"type": "string", "enum": list(values)}
    if default is not None:
        schema["default"] = default
    return Parameter(name=name, description=description, read=read, schema=schema, default=default)


def text(name: str, most: int, description: str, *, is_required: bool = False, example: str | None = None) -> Parameter:
    """Describe a text that is not blank, of at most so many characters."""

    def read(given: str) -> str:
        if is_blank(given):
            raise ValueError("must not be empty")
        return shorter(given, most)

    schema = {"type": "string", "minLength": 1, "maxLength": most, "pattern": f"^{_words('')}$"}
    return Parameter(
        name=name, description=description, read=read, schema=schema, is_required=is_required, example=example
    )


def names(name: str, most: int, description: str, *, example: str | None = None) -> Parameter:
    """Describe a list of names or ids, parted by commas."""

    def read(given: str) -> tuple[str, ...]:
        found = [part.strip() for part in shorter(given, _LONGEST_LIST).split(",")]
        if any(map(is_blank, found)):
            raise ValueError("must be names or ids parted by commas, none of them empty")
        if len(found) > most:
            raise ValueError(f"holds {len(found):,} names; at most {most} are read")
        return tuple(dict.fromkeys(found))

    return Parameter(
        name=name,
        description=f"{description} Names or ids, parted by commas; at most {most}.",
        read=read,
        schema={
            "type": "string",
            "minLength": 1,
            "maxLength": _LONGEST_LIST,
            "pattern": f"^{_words(',')}(,{_words(',')}){{0,{most - 1}}}$",
        },
        default=(),
        example=example,
    )


def _words(without: str) -> str:
    """Return a pattern of texts that are not blank and hold no control character, nor one of `without`."""
    control = r"\u0000-\u0008\u000e-\u001f\u007f-\u0084\u0086-\u009f"
    blank = "".join(f"\\u{ord(character):04x}" for character in sorted({*SPACE, *ZERO_WIDTH}))
    return f"[^{control}{without}]*[^{control}{blank}{without}][^{control}{without}]*"


def uuid(given: str) -> str:
    """Read the id of a tag; lower case, as PostgreSQL writes it.

    Raises:
        ValueError: it is none.
    """
    if not _UUID.fullmatch(given):
        raise ValueError("must be a UUID, such as 0190b0a4-7c1e-7d30-9a53-0b7c4a2f4f11")
    return given.lower()


def shorter(given: str, most: int) -> str:
    """Return the text when it has at most so many characters.

    Raises:
        ValueError: it is longer.
    """
    if len(given) > most:
        raise ValueError(f"has {len(given):,} characters; at most {most} are read")
    return given


def decoded(raw: bytes) -> str:
    """Decode one percent-encoded name or value; "+" is a space.

    Raises:
        ValueError: it is no percent-encoded UTF-8, or holds a control character; the message says which.
    """
    if b"%" not in raw and b"+" not in raw and raw.isascii():
        found = raw.decode("ascii")
    else:
        if broken := _BROKEN_ESCAPE.search(raw):
            shown = raw[broken.start() : broken.start() + 3].decode("ascii", "backslashreplace")
            raise ValueError(f"{shown!r} is no percent-encoding; write a percent sign as %25")
        try:
            found = unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"is not UTF-8 at byte {error.start + 1}") from None
    if control := _CONTROL.search(found):
        raise ValueError(f"holds the control character U+{ord(control[0]):04X}")
    return found


def read_query(raw: bytes, described: Sequence[Parameter], *, most_bytes: int) -> dict[str, Any]:
    """Return the value of every described parameter.

    Raises:
        Problem: 422, naming each one that is unknown, repeated, missing or not readable, or the string's excess length.
    """
    if len(raw) > most_bytes:
        raise invalid(Fault(f"the query string has {len(raw):,} bytes; at most {most_bytes:,} are read"))
    known = {parameter.name: parameter for parameter in described}
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for pair in raw.split(b"&"):
        if not pair:
            continue
        raw_name, _, raw_value = pair.partition(b"=")
        try:
            name = decoded(raw_name)
        except ValueError as error:
            faults.setdefault("", f"a parameter's name {error}")
            continue
        if name not in known:
            there = ", ".join(known) or "none"
            faults[name[:50]] = f"unknown parameter; there are: {there}"
        elif name in values:
            faults[name] = "given more than once"
        else:
            values[name] = None
            try:
                values[name] = known[name].read(decoded(raw_value))
            except ValueError as error:
                faults[name] = str(error)
    for name, parameter in known.items():
        if name not in values:
            if parameter.is_required:
                faults[name] = "missing"
            values[name] = parameter.default
    if faults:
        raise invalid(*(Fault(detail, parameter=name or None) for name, detail in faults.items()))
    return values
