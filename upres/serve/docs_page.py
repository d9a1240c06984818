"""/docs: the OpenAPI document as a plain page, without scripts."""

from __future__ import annotations

import html
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from upres.serve.openapi import openapi_document

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>upres serve</title></head><body><main>
"""


async def get_docs(request: Request) -> Response:
    return HTMLResponse(docs_html(openapi_document()))


def docs_html(document: dict[str, Any]) -> str:
    """The page for an OpenAPI document."""
    parts = [_HEAD, f"<h1>{_text(document['info']['title'])} {_text(document['info']['version'])}</h1>"]
    parts.append(f"<p>{_text(document['info']['description'])}</p>")
    parts.append('<p>For programs: <a href="/openapi.json">/openapi.json</a></p>')
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {_text(path)}</code></h2><p>{_text(operation['summary'])}</p>")
            parts.append(_table(operation.get("parameters", []), document))
            answers = ", ".join(
                f"{status} {_text(_resolved(answer, document)['description'])}"
                for status, answer in operation["responses"].items()
            )
            parts.append(f"<p>Answers: {answers}</p>")
    return "".join([*parts, "</main></body></html>\n"])


def _table(parameters: list[dict[str, Any]], document: dict[str, Any]) -> str:
    if not parameters:
        return ""
    rows = [_resolved(one, document) for one in parameters]
    cells = "".join(
        f"<tr><td><code>{_text(row['name'])}</code></td><td>{_text(row['in'])}</td>"
        f"<td>{_text(row.get('description', ''))}</td></tr>"
        for row in rows
    )
    return f"<table><thead><tr><th>name</th><th>in</th><th></th></tr></thead><tbody>{cells}</tbody></table>"


def _resolved(node: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = document
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def _text(value: object) -> str:
    return html.escape(str(value))
