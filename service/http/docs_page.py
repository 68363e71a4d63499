"""The documentation page: the OpenAPI document as plain HTML, without scripts and without any other host."""

import json
from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Any, Final

from service.http.problems import KINDS

Json = dict[str, Any]

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem 1rem 4rem}
h1,h2,h3{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
h3{margin:2rem 0 .25rem;font-size:1.05rem}h3 code{font-size:1rem}
.method{display:inline-block;min-width:3.5rem;font-weight:700}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{background:var(--soft);padding:.75rem;overflow-x:auto;border-radius:.25rem}
table{border-collapse:collapse;width:100%;font-size:.95em}
th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--line)}
.scope{border:1px solid var(--line);border-radius:1rem;padding:0 .5rem;font-size:.85em}
"""

#: Only our own style may be applied, and nothing may be loaded or run.
POLICY: Final = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    f"style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
)


def page(document: Json) -> bytes:
    """Return the page of an OpenAPI document."""
    info = document["info"]
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>{escape(info['title'])} {escape(info['version'])}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
        f"<p>{escape(info['description'])}</p><p>The same for programs: <a href='/openapi.json'>openapi.json</a>.</p>",
    ]
    for group in document["tags"]:
        parts.append(f"<h2>{escape(group['name'])}</h2>")
        parts += [
            _operation(path, method, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if method != "head" and group["name"] in operation["tags"]
        ]
    parts.append("<h2>Problems</h2><p>What the <code>type</code> of a problem means.</p>")
    for kind in KINDS:
        slug = kind.type.rpartition("#")[2]
        parts.append(f"<h3 id='{slug}'>{kind.status} <code>{slug}</code></h3><p>{escape(kind.title)}.</p>")
    parts.append("<h2>Shapes</h2>")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts.append(f"<h3 id='{escape(name)}'>{escape(name)}</h3>{_shape(schema)}")
    return "".join([*parts, "</body></html>"]).encode()


def _operation(path: str, method: str, operation: Json) -> str:
    scope = operation.get("x-scope")
    parts = [
        f"<h3 id='{escape(operation['operationId'])}'><span class=method>{method.upper()}</span> ",
        f"<code>{escape(path)}</code>",
        f" <span class=scope>{escape(scope)}</span>" if scope else "",
        f"</h3><p>{escape(operation['summary'])}. {escape(operation.get('description', ''))}</p>",
    ]
    if parameters := operation.get("parameters"):
        parts.append("<table><tr><th>Parameter<th>In<th>Meaning</tr>")
        for parameter in parameters:
            needed = " (required)" if parameter["required"] else ""
            schema = parameter["schema"]
            default = f" Default: {schema['default']}." if "default" in schema else ""
            about = parameter.get("description", "") + default
            parts.append(
                f"<tr><td><code>{escape(parameter['name'])}</code>{needed}<td>{parameter['in']}<td>{escape(about)}</tr>"
            )
        parts.append("</table>")
    if body := operation.get("requestBody"):
        parts.append(f"<p>Body: {_named(body['content'])}.</p>")
    parts.append("<table><tr><th>Status<th>Meaning<th>Shape</tr>")
    for status, response in operation["responses"].items():
        parts.append(
            f"<tr><td>{status}<td>{escape(response['description'])}<td>{_named(response.get('content', {}))}</tr>"
        )
    parts.append("</table>")
    parts += [
        f"<pre>{escape(json.dumps(content['example'], indent=1, ensure_ascii=False))}</pre>"
        for content in operation["responses"].get("200", {}).get("content", {}).values()
        if "example" in content
    ]
    return "".join(parts)


def _named(content: Json) -> str:
    shown = []
    for media_type, described in content.items():
        name = described["schema"].get("$ref", "").rpartition("/")[2]
        shown.append(f"<a href='#{escape(name)}'>{escape(name)}</a>" if name else escape(media_type))
    return ", ".join(shown)


def _shape(schema: Json) -> str:
    required = schema.get("required", [])
    rows = [
        f"<tr><td><code>{escape(name)}</code>{'' if name in required else ' (optional)'}"
        f"<td>{escape(_kind(member))}<td>{escape(_described(member))}</tr>"
        for name, member in schema.get("properties", {}).items()
    ]
    about = f"<p>{escape(schema.get('description', ''))}</p>"
    return f"{about}<table><tr><th>Member<th>Type<th>Meaning</tr>{''.join(rows)}</table>"


def _kind(member: Json) -> str:
    if "$ref" in member:
        return str(member["$ref"]).rpartition("/")[2]
    if "anyOf" in member:
        return " or ".join(_kind(option) for option in member["anyOf"])
    if member.get("type") == "array":
        return f"array of {_kind(member.get('items') or {})}" if member.get("items") else "array"
    return str(member.get("type", "any"))


def _described(member: Json) -> str:
    own = member.get("description", "")
    return str(
        own or next((option["description"] for option in member.get("anyOf", ()) if "description" in option), "")
    )
