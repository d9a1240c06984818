"""The example for Ray Serve in docs/serve.md answers requests: with Ray replaced by a decorator, and in Ray itself."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from starlette.requests import Request

from tests import REPOSITORY
from tests.tiny import noise, picture
from upres.images.io import encode_picture, read_picture

# One replica is enough for a test; the address is printed once it answers.
_IN_RAY = """
import json, socket, sys, urllib.error, urllib.request
import ray
from ray import serve

import example

with socket.socket() as one:
    one.bind(("127.0.0.1", 0))
    port = one.getsockname()[1]
ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": port})
serve.run(example.Upscale.options(num_replicas=1).bind())


def ask(data):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/?scale=2", data, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


status, result = ask(open("in.png", "rb").read())
open("out.png", "wb").write(result)
refused, words = ask(b"no picture")
print("answers:", json.dumps([status, refused, words.decode()]))
serve.shutdown()
ray.shutdown()
"""


def example() -> str:
    text = (REPOSITORY / "docs" / "serve.md").read_text(encoding="utf-8")
    return next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "ray" in block)


def test_the_example_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    code = example()
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


@pytest.mark.extras
@pytest.mark.slow
def test_the_example_answers_in_ray(tmp_path: Path) -> None:
    for name in ("ray", "fastapi"):  # the second tells ray[serve] from ray[data]
        pytest.importorskip(name)
    (tmp_path / "example.py").write_text(example(), encoding="utf-8")
    (tmp_path / "in.png").write_bytes(encode_picture(picture(noise(6, 8)), "png"))
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}", "RAY_USAGE_STATS_ENABLED": "0"}
    environment["RAY_AUTH_MODE"] = "disabled"  # the cluster is this test's own
    command = [sys.executable, "-c", _IN_RAY]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    line = next((one for one in ran.stdout.splitlines() if one.startswith("answers: ")), None)
    assert line is not None, ran.stdout[-2000:] + ran.stderr[-2000:]
    status, refused, words = json.loads(line.removeprefix("answers: "))
    assert (status, refused) == (200, 422) and "the picture" in words
    assert read_picture(tmp_path / "out.png").pixels.shape == (12, 16, 3)
