"""Names of files that lie in stores but were not written by the library."""

import re

#: Names that operating systems and sync services use, in any case.
_KNOWN = {"desktop.ini", "thumbs.db", "ehthumbs.db", "icon\r", "__macosx"}

#: Marks of copies, temporary files and placeholders; whole names, matched in any case.
_MARKS: tuple[tuple[str, str], ...] = (
    (r".*conflicted copy.*|.*\bcase conflict.*", "a conflict copy of a sync service"),
    (r".*[._-](sync-)?conflict-\d{6,}.*", "a conflict copy of a sync service"),
    (r".* \(\d+\)(\.\w{1,5})?", "a numbered copy"),
    (r".* (- )?copy( \d+)?(\.\w{1,5})?|copy of .*", "a copy"),
    (r".*\.(tmp|temp|part|partial|crdownload|download)|.*\.tmp[.-]?\w+", "a temporary file"),
    (r".*\.sw[a-p]|.*~|~\$.*|#.*#", "an editor's file"),
    (r".*\.(bak|backup|old|orig|rej)", "a backup copy"),
    (r".*\.(icloud|cloud|cloudf|gdoc|gsheet|lnk|url|webloc)", "a placeholder of a sync service"),
)
_MARKED = [(re.compile(expression, re.IGNORECASE | re.DOTALL), reason) for expression, reason in _MARKS]


def stray_reason(name: str) -> str | None:
    """Return why a file of this name is none of the library's, or None.

    Names of digests and of base64 never match. A raw 0.x key may: it is reported, not imported, for a copy under such a
    name is likelier than such a key.
    """
    if name.startswith("."):
        return "a hidden file; the library passes over names that begin with a dot"  # every release: readdir loop
    if name.lower() in _KNOWN:
        return "a file of the operating system"
    for expression, reason in _MARKED:
        if expression.fullmatch(name):
            return reason
    return None
