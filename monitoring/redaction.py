"""Blanking: no secret, personal data or row value leaves the process in a log line or an error report."""

import re
from collections.abc import Mapping

BLANK = "***"

#: Names whose value is a secret, whatever it looks like.
SECRET_NAMES = re.compile(r"password|passwd|token|secret|authorization|cookie|email|api_?key|dsn", re.IGNORECASE)

#: A password inside a URL, the user's name before it may be empty: redis://:secret@cache/0.
_URL_PASSWORD = re.compile(r"(\w+://[^:/@\s]*):\S+@")
_SECRETS = (
    (
        re.compile(r"(?i)\b((?:password|passwd|token|secret|api_?key)\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s&,;]+)"),
        rf"\1{BLANK}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+"), rf"\1 {BLANK}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(\.[\w-]+)?"), BLANK),
    (re.compile(r"[\w.+%-]+@[\w-]+(\.[\w-]+)+"), BLANK),
    # Keys and tokens: longer than a UUID, without a path's slashes and dots.
    (re.compile(r"(?<![\w-])[\w+=-]{40,}(?![\w-])"), BLANK),
)
#: What a driver adds to its message: rows, statements, values.
_DRIVER_LINES = re.compile(r"\n\s*(DETAIL|CONTEXT|LINE \d+|HINT|QUERY|PARAMETERS|\[SQL|\[parameters).*", re.DOTALL)
#: Errors whose message the interpreter or the system writes, which quote what is a value.
_SYSTEM_ERRORS = {
    *("AttributeError", "ImportError", "MemoryError", "ModuleNotFoundError", "NameError", "NotImplementedError"),
    *("OverflowError", "RecursionError", "TypeError", "UnboundLocalError", "ZeroDivisionError"),
    *(
        "OSError",
        "BlockingIOError",
        "BrokenPipeError",
        "ChildProcessError",
        "ConnectionAbortedError",
        "ConnectionError",
    ),
    *("ConnectionRefusedError", "ConnectionResetError", "FileExistsError", "FileNotFoundError", "InterruptedError"),
    *("IsADirectoryError", "NotADirectoryError", "PermissionError", "ProcessLookupError", "TimeoutError"),
}
_OUR_PACKAGES = {"sql", "tags", "cache", "monitoring", "service", "migrator"}
_QUERY_STRING = re.compile(r"\?\S*")
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\((?:[^()]|\([^()]*\))*\)=\([^)]*\)|«[^»]*»|“[^”]*”")


def without_passwords(text: str) -> str:
    """Return a text without the passwords of its URLs."""
    return _URL_PASSWORD.sub(rf"\1:{BLANK}@", text)


def without_secrets(text: str) -> str:
    """Return a text without passwords, tokens, keys and e-mail addresses."""
    text = without_passwords(text)
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def without_values(text: str) -> str:
    """Return an error's message without what people typed or rows hold.

    Nothing quoted stays, no query string, no driver's detail. It may blank more than it had to.
    """
    text = _QUOTED.sub(BLANK, _DRIVER_LINES.sub("", text))
    return without_secrets(_QUERY_STRING.sub("", text))


def error_message(name: str, module: str | None, text: str) -> str:
    """Return what may be told of an error's message.

    Ours name the object and the reason, the system's quote values. Any other may be nothing but a value, as that of
    `KeyError(row)` or a parser's, so it is left out: type and place say enough.
    """
    is_system = name in _SYSTEM_ERRORS and module in {None, "builtins"}
    is_ours = (module or "").split(".")[0] in _OUR_PACKAGES
    return without_values(text) if is_system or is_ours else BLANK


def blanked(value: object) -> object:
    """Return a log field's value without secrets, however deep it is."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {name: BLANK if SECRET_NAMES.search(str(name)) else blanked(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [blanked(inner) for inner in value]
    return value
