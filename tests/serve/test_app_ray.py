"""The example for Ray Serve in docs/serve.md answers requests; Ray itself is replaced by a decorator."""

from __future__ import annotations

import asyncio
import re
import sys
from types import ModuleType
from typing import Any

import pytest
from starlette.requests import Request

from tests import REPOSITORY
from tests.tiny import noise, picture
from upres.images.io import encode_picture, read_picture


def test_the_example_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (REPOSITORY / "docs" / "serve.md").read_text(encoding="utf-8")
    code = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "ray" in block)
    assert code.count("\n") <= 32
    ray, serve = ModuleType("ray"), ModuleType("ray.serve")
    serve.deployment = lambda **_: lambda kind: type(kind.__name__, (kind,), {"bind": classmethod(lambda cls: cls())})  # type: ignore[attr-defined]
    ray.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.serve", serve)
    names: dict[str, Any] = {}
    exec(code, names)

    def answer(body: bytes, query: str) -> Any:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        scope = {"type": "http", "method": "POST", "path": "/", "query_string": query.encode(), "headers": []}
        return asyncio.run(names["app"](Request(scope, receive)))

    done = answer(encode_picture(picture(noise(6, 8)), "png"), "scale=2")
    assert done.status_code == 200 and read_picture(bytes(done.body)).pixels.shape == (12, 16, 3)
    assert answer(b"no picture", "").status_code == 422
    assert answer(b"", "scale=x").status_code == 422
