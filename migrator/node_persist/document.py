r"""Taking one file's JSON apart without decoding its value: what is certain is kept, what is not is damaged.

The value stays a slice of the bytes read, so a file of 100 MB costs 100 MB. Checked here are all of JSON's grammar
(`msgspec` skips a `Raw` member strictly) and UTF-8. An unpaired surrogate escape (`\ud800`) is good JSON and stays:
what cannot be stored is decided field by field.
"""

import codecs
import json
import re
from dataclasses import dataclass

import msgspec

from migrator.node_persist.damage import Damaged

Text = bytes | memoryview

_BOM = codecs.BOM_UTF8
_STEP = 1 << 20
_ZEROS = bytes(4096)

#: The members of an envelope as the library orders them (`JSON.stringify({key, value, ttl})` in 2.x to 4.x).
_ENVELOPE = re.compile(
    rb'(?:\xef\xbb\xbf)?\s*\{\s*"key"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*")\s*,\s*"value"\s*:\s*', re.DOTALL
)
_KEY = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"key"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*")\s*[,}]', re.DOTALL)
#: The same without anything to tolerate, and its end: what lies between is the value, if that is one JSON object.
_PLAIN_BEGIN = re.compile(rb'\{"key":"([^"\\\x00-\x1f]+)","value":')
_PLAIN_END = re.compile(rb'\}(?:,"ttl":(\d{1,15}))?\}[ \t\r\n]*\Z')
_PLAIN_END_BYTES = 64
_JSON = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:[{\["0-9-]|true|false|null)')
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)
_BYTE = re.compile(r"\(byte (\d+)\)")


class _Envelope(msgspec.Struct):
    key: msgspec.Raw = msgspec.Raw()
    value: msgspec.Raw = msgspec.Raw()
    ttl: msgspec.Raw = msgspec.Raw()


_envelopes = msgspec.json.Decoder(_Envelope)
_any = msgspec.json.Decoder(msgspec.Raw)
_strings = msgspec.json.Decoder(str)


@dataclass(frozen=True)
class Document:
    """One JSON text, and its members when it is an envelope of 2.x to 4.x.

    Attributes:
        text: the whole text.
        key: the member `key` when it is a string, else None.
        value: JSON text of the member `value`, `null` when it is left out (the library stored undefined).
        ttl: JSON text of the member `ttl`, empty when it is left out.
        is_envelope: it begins with `key` and `value`, as the library writes.
        rescued: what had to be put right to read it, or None.
    """

    text: Text
    key: str | None
    value: Text
    ttl: bytes
    is_envelope: bool
    rescued: str | None


def plain_members(data: bytes) -> tuple[str, memoryview, bytes] | None:
    """Return key, value and ttl (empty when left out) of an envelope as the library writes it, unless it looks odd.

    The value is not looked at: the three are the file's when it proves to be one JSON object, for no object is a proper
    beginning of another. None says nothing; `parse` does.
    """
    begin = _PLAIN_BEGIN.match(data)
    end = begin and _PLAIN_END.search(data, max(begin.end(), len(data) - _PLAIN_END_BYTES))
    if begin is None or end is None:
        return None
    try:
        _check_utf8(data)
    except Damaged:
        return None
    return begin[1].decode(), memoryview(data)[begin.end() : end.start() + 1], end[1] or b""


def parse(data: Text) -> Document:
    """Take a file's content apart.

    Raises:
        Damaged: it is not one JSON text in UTF-8.
    """
    text, rescued = _without_padding(*_without_mark(data))
    members = _members(text)
    _check_utf8(text)
    if members is None:
        return Document(text, None, b"null", b"", is_envelope=False, rescued=rescued)
    key, value, ttl = members
    return Document(
        text,
        _string(key),
        value if len(value) else b"null",
        bytes(ttl),
        is_envelope=_ENVELOPE.match(text) is not None,
        rescued=rescued,
    )


def unwrap_string(text: Text) -> bytes | None:
    """Return the JSON text that a JSON string holds, or None unless it is an object.

    Applications wrote `setItem(key, JSON.stringify(value))`.
    """
    if bytes(text[:1]) != b'"':
        return None
    inner = _string(text)
    if inner is None or not inner.lstrip(" \t\r\n").startswith("{"):
        return None
    # An unpaired surrogate cannot be UTF-8; as an escape it means the same inside the inner JSON's strings.
    octets = inner.encode("utf-8", "backslashreplace")
    try:
        _members(octets)
    except Damaged:
        return None
    return octets


def key_in_head(head: bytes) -> tuple[str, bool] | None:
    """Return the key with which an envelope begins and whether `value` follows; None when that cannot be seen."""
    found = _KEY.match(head)
    key = _string(found[1]) if found else None
    return None if key is None else (key, _ENVELOPE.match(head) is not None)


def begins_like_json(head: bytes) -> bool:
    """Tell whether a file may be JSON, by its first bytes."""
    return _JSON.match(head) is not None


def _without_mark(data: Text) -> tuple[Text, str | None]:
    if bytes(data[:3]) == _BOM:
        return memoryview(data)[3:], "byte order mark removed"
    return data, None


def _without_padding(text: Text, rescued: str | None) -> tuple[Text, str | None]:
    """Leave off NULs at the end: blocks that a crash or a copying tool added.

    The item is certain: no JSON object is a proper beginning of another, so what closes was written whole, and NULs
    are no trace of a second write. (Other bytes after the end are: such a file is damaged.)
    """
    end = len(text)
    if not end or text[-1] != 0:
        return text, rescued
    while end >= len(_ZEROS) and text[end - len(_ZEROS) : end] == _ZEROS:
        end -= len(_ZEROS)
    while end and text[end - 1] == 0:
        end -= 1
    if not end:
        raise Damaged("nothing but NUL bytes: the content never reached the disk")
    note = "trailing NUL bytes removed"
    return memoryview(text)[:end], f"{rescued}; {note}" if rescued else note


def _members(text: Text) -> tuple[Text, Text, Text] | None:
    """Return the text of key, value and ttl, each empty when left out, of an object; None for any other JSON."""
    try:
        try:
            return _decode(text)
        except msgspec.DecodeError:
            if not _SURROGATE.search(text):
                raise
            return _decode_with_surrogates(text)
    except RecursionError as error:
        raise Damaged("nested too deeply") from error
    except msgspec.DecodeError as error:
        raise _reason(text, str(error)) from error


def _decode(text: Text) -> tuple[Text, Text, Text] | None:
    try:
        found = _envelopes.decode(text)
    except msgspec.ValidationError:  # not an object
        _any.decode(text)
        return None
    return memoryview(found.key), memoryview(found.value), memoryview(found.ttl)


def _decode_with_surrogates(text: Text) -> tuple[Text, Text, Text] | None:
    """Decode a text with unpaired surrogate escapes, which msgspec refuses.

    The grammar is checked on a copy with a harmless escape of the same length instead, so places stay the same.
    """
    found = _decode(_ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], text))
    envelope = _ENVELOPE.match(text)
    if envelope is None:
        if found is not None and len(found[0]) and len(found[1]):
            raise Damaged("an unpaired surrogate in a file whose members are not in the library's order")
        return found and (b"", b"", b"")  # a bare value is whole without its members
    assert found is not None
    start = envelope.end()
    return envelope[1], memoryview(text)[start : start + len(found[1])], found[2]


def _reason(text: Text, problem: str) -> Damaged:
    if not len(text) or re.fullmatch(rb"[ \t\r\n]*", text):
        return Damaged("empty")
    if nul := re.search(rb"\x00", text):
        return Damaged(f"a NUL byte at byte {nul.start() + 1}")
    try:
        _check_utf8(text)
    except Damaged as damaged:
        return damaged
    at = _BYTE.search(problem)
    if at is None:
        return Damaged("cut short: the JSON text ends too early")
    if "trailing characters" in problem:  # the one place that msgspec counts from 1
        return Damaged(f"more text after the end of the JSON text, at byte {at[1]}: two writes overlapped")
    return Damaged(f"not JSON at byte {int(at[1]) + 1}")


def _check_utf8(text: Text) -> None:
    """Raise Damaged unless a text is UTF-8; in steps, for a decoded copy may cost four times the file's size."""
    if isinstance(text, bytes) and text.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(text), _STEP):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(text[start : start + _STEP], final=start + _STEP >= len(text))
        except UnicodeDecodeError as error:
            raise Damaged(f"not UTF-8 at byte {start - pending + error.start + 1}") from error


def _string(text: Text) -> str | None:
    """Return what a JSON string says, or None when the text is none; an unpaired surrogate stays one."""
    if not len(text):
        return None
    try:
        return _strings.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        found = json.loads(bytes(text).decode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, str) else None
