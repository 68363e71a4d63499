"""Stores as each generation of node-persist leaves them, written by Python; proven equal to the library's own files.

It shares nothing with the code under test. `write` writes one item, as `setItem(key, value, {ttl})` does.
"""

import base64
import hashlib
import json
import math
import re
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

GENERATIONS = (0, 1, 2, 3, 4)

#: 2026-01-01T00:00:00Z, in milliseconds.
NOW_MS = 1_767_225_600_000
DAY_MS = 86_400_000


def write(directory: Path, generation: int, key: str, value: object, ttl: object = None, now_ms: int = NOW_MS) -> Path:
    """Store an item; returns the item's file.

    Args:
        directory: the store; made when it is missing.
        generation: 0 to 4; 2 and 3 differ in what they make of odd ttls.
        key: as given to `setItem`; without `.` and `..` parts in generation 0.
        value: anything that JSON can say, or bytes that are its JSON text already (fast, for large stores).
        ttl: milliseconds as a number or as text, a datetime for a Date, anything else for an odd one; in 0 and 1 the
            store's. None is no ttl.
        now_ms: the time of writing.
    """
    text = value.decode() if isinstance(value, bytes) else stringify(value)
    expiry = _expiry(generation, ttl, now_ms)
    file = directory / file_name(generation, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    if generation < 2:
        file.write_bytes(text.encode())
        if expiry is not None:
            beside = directory.with_name(directory.name + "-ttl") / file_name(generation, key)
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(stringify(expiry).encode())
    else:
        member = "" if expiry is None else f',"ttl":{stringify(expiry)}'
        file.write_bytes(f'{{"key":{stringify(key)},"value":{text}{member}}}'.encode())
    return file


def file_name(generation: int, key: str) -> str:
    """Return the name of a key's file, relative to the store."""
    if generation == 0:
        assert not {"", ".", ".."} & set(key.split("/")), "the library's path.join would change it"
        return key
    if generation == 1:
        low_bytes = bytes(ord(unit) & 0xFF for unit in _utf16_units(key))
        return base64.b64encode(low_bytes).decode().replace("/", "__SLASH__")
    octets = re.sub("[\ud800-\udfff]", "\ufffd", key).encode()
    return hashlib.new("sha256" if generation == 4 else "md5", octets).hexdigest()


def stringify(value: Any) -> str:
    """Return what JavaScript's JSON.stringify says of a value that JSON.parse has read."""
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return re.sub("[\ud800-\udfff]", lambda lone: f"\\u{ord(lone[0]):04x}", text)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(stringify, value)) + "]"
    members = [(_index(name), place, name) for place, name in enumerate(value)]
    return "{" + ",".join(f"{stringify(name)}:{stringify(value[name])}" for *_, name in sorted(members)) + "}"


def _utf16_units(text: str) -> list[str]:
    octets = text.encode("utf-16-le", "surrogatepass")
    return [chr(octets[at] | octets[at + 1] << 8) for at in range(0, len(octets), 2)]


def _index(name: str) -> float:
    """Return where JavaScript puts a member: those named by array indexes first, in their order."""
    is_index = re.fullmatch("0|[1-9][0-9]{0,9}", name) and int(name) < 2**32 - 1
    return int(name) if is_index else math.inf


def _number(value: float) -> str:
    """Return Number.prototype.toString of a double."""
    number = float(value)
    if not math.isfinite(number):
        return "null"
    if number == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    text, point = "".join(map(str, digits)), len(digits) + int(exponent)
    if 0 < point <= 21:
        body = text.ljust(point, "0") if point >= len(text) else f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        body = "0." + "0" * -point + text
    else:
        mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
        body = f"{mantissa}e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return "-" * sign + body


def _expiry(generation: int, ttl: object, now_ms: int) -> object:
    """Return what a generation stores for a ttl (`calcTTL`; in 0 and 1 `setOptions` and `setItem`), or None."""
    if ttl is None or ttl is False or ttl == 0 or ttl == "":
        return None
    if isinstance(ttl, datetime):
        at_ms = round(ttl.timestamp() * 1000)
        if generation >= 3:
            return at_ms if at_ms > now_ms else DAY_MS
        return now_ms + DAY_MS
    if isinstance(ttl, int | float) and not isinstance(ttl, bool) and ttl > 0:
        return now_ms + ttl
    if isinstance(ttl, str) and re.fullmatch(r"0x[0-9a-f]+|\d+(\.\d+)?", ttl) and set(ttl) & set("123456789abcdef"):
        return f"{now_ms}{ttl}"  # JavaScript's + of a number and a text
    return DAY_MS if generation >= 3 else now_ms + DAY_MS
