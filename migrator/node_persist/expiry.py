"""When an item expires, as the library decides it: JavaScript's `<` on whatever JSON value was stored.

`setItem` stores an absolute time, milliseconds since the epoch: now + ttl (local-storage.js, `calcTTL`). Odd ttls are
stored oddly: a string of digits is appended to the time as text, which is far in the future; a past Date, a negative
number, a word or true becomes 86400000, a moment of 1970, in 3.x and 4.x, and now + 24 hours in 2.x. Only what was
stored counts here.
"""

import json
import math
import re

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|Infinity)")
_RADIX = {"0x": 16, "0o": 8, "0b": 2}

#: What JavaScript strips from both ends of a string before it reads a number: WhiteSpace and LineTerminator.
_JS_SPACE = "\t\n\v\f\r \xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))


def expiry_of_member(text: bytes) -> float | None:
    """Return when an item of 2.x to 4.x expires, in milliseconds since the epoch; None means never.

    Rule (`isExpired` of 2.x, 3.x and 4.x): `datum.ttl && datum.ttl < now`.

    Args:
        text: the member `ttl` as JSON; empty when there is none.
    """
    stored = _stored(text)
    return _comparable(stored) if _is_truthy(stored) else None


def expiry_of_file(text: bytes) -> float | None:
    """Return when an item of 0.x or 1.x expires, in milliseconds since the epoch; None means never.

    Rule (`isExpired` of 0.0.x and 1.x): `ttls[key] < now`, when the store has a ttl at all. The library reads a
    file that is not JSON as undefined, which is never less.

    Args:
        text: content of the item's file in the expiry directory.
    """
    stored = _stored(text)
    return None if stored is _UNDEFINED else _comparable(stored)


_UNDEFINED = object()


def _stored(text: bytes) -> object:
    if not text:
        return _UNDEFINED
    try:
        # Integers as floats too: JavaScript has no others, and Python refuses very long ones.
        return json.loads(text.decode(), parse_int=float, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _UNDEFINED


def _refuse(name: str) -> object:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON


def _is_truthy(value: object) -> bool:
    return value is not _UNDEFINED and (isinstance(value, list | dict) or bool(value))


def _comparable(value: object) -> float | None:
    """Return the number that JavaScript compares, or None when that is less than no time (NaN, infinity)."""
    number = _number(value)
    return None if math.isnan(number) or number == math.inf else number


def _number(value: object) -> float:
    if value is None:
        return 0.0
    if isinstance(value, int | float):
        return float(value)
    text = _text(value)
    return math.nan if text is None else _number_of_text(text)


def _text(value: object) -> str | None:
    """Return what JavaScript makes of a value as text, as far as that can be a number; else None."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or len(value) > 1:
        return None  # an object says "[object Object]"; the elements of a longer array are joined by commas
    if not value or value[0] is None:
        return ""
    (only,) = value
    return repr(only) if isinstance(only, float) else _text(only)


def _number_of_text(text: str) -> float:
    text = text.strip(_JS_SPACE)
    if not text:
        return 0.0
    radix = _RADIX.get(text[:2].lower())
    if radix is not None:
        try:
            return float(int(text[2:], radix)) if text.isascii() and text[2:].isalnum() else math.nan
        except (ValueError, OverflowError):
            return math.nan
    return float(text) if text.isascii() and _NUMBER.fullmatch(text) else math.nan
