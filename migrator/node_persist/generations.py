"""The generations of the library node-persist: how each names an item's file, and what the file holds.

====  ============  ===============================================  =========================  =======================
no.   releases      file name                                        content                    expiry
====  ============  ===============================================  =========================  =======================
0     0.0.1-0.0.12  the key itself; `/` makes sub-directories        the value                  `DIR-ttl/` + same name
1     1.0.x         base64 of the key, `/` written as `__SLASH__`    the value                  `DIR-ttl/` + same name
2     2.0.x-3.1.x   md5 of the key, hexadecimal                      `{"key","value","ttl"}`    member `ttl`
4     4.0.x         sha256 of the key, hexadecimal                   `{"key","value","ttl"}`    member `ttl`
====  ============  ===============================================  =========================  =======================

Sources: local-storage.js of each release: `persistKey` and `sanitize` up to 1.0, `md5` and `persistKey` of 2.x,
`getDatumPath` since 3.0. No generation adds a suffix such as `.json`. Releases 2.x and 3.x leave the same files.
"""

import base64
import binascii
import hashlib
import re

RAW, BASE64, MD5, SHA256 = 0, 1, 2, 4

#: What 1.x writes for the `/` of the base64 alphabet (local-storage.js, `atobPathSepReplacement`).
SLASH = "__SLASH__"

#: The suffix of the directory beside the store in which 0.x and 1.x keep expiry (local-storage.js, `ttlDir`).
EXPIRY_SUFFIX = "-ttl"

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def digest_generation(name: str, key: str) -> int | None:
    """Return the generation that names the file of `key` so by its digest: 4, 2, or None.

    Node.js hashes a string as UTF-8, and writes U+FFFD for an unpaired surrogate.
    """
    if len(name) not in {32, 64}:
        return None
    octets = _LONE_SURROGATE.sub("\ufffd", key).encode()
    if name == hashlib.sha256(octets).hexdigest():
        return SHA256
    return MD5 if name == hashlib.md5(octets, usedforsecurity=False).hexdigest() else None


def is_digest(name: str) -> bool:
    """Tell whether a file's name has the form of a digest."""
    return len(name) in {32, 64} and not name.strip("0123456789abcdef")


def key_of_name(path: str) -> tuple[int, str]:
    """Return generation and key of a file that holds a bare value.

    A name that is base64 as 1.x writes it, and says something legible, is 1.x; any other is a 0.x key. The few raw keys
    that are legible base64 by accident (four random letters: 1 in 20; eight: 1 in 400; a Spotify id: never) are
    undecidable.
    1.x keeps one byte of each UTF-16 unit, so its keys beyond Latin-1 are lost already in the library.
    """
    key = None if "/" in path else _base64_key(path)
    return (RAW, path) if key is None else (BASE64, key)


def base64_name(key: str) -> str:
    """Return the file name of a key in 1.x (local-storage.js, `sanitize`)."""
    units = key.encode("utf-16-le", "surrogatepass")
    return base64.b64encode(units[::2]).decode("ascii").replace("/", SLASH)


def _base64_key(name: str) -> str | None:
    try:
        octets = base64.b64decode(name.replace(SLASH, "/"), validate=True)
    except (binascii.Error, ValueError):
        return None
    key = octets.decode("latin-1")
    if base64_name(key) != name:
        return None
    if name.endswith("="):
        return key
    n_ascii = sum(character.isascii() for character in key)
    return key if key.isprintable() and 4 * n_ascii >= 3 * len(key) else None
