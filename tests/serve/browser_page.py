"""The page in a browser, for tests: files that are put in, items that are looked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pyvips

EVIL = "\"><script>alert('x')</script>'<img src=http://e.org/x.png>&amp;.jpg"
Open = Callable[..., Any]


def jpeg(width: int = 60, height: int = 40) -> bytes:
    noise = pyvips.Image.gaussnoise(width, height, mean=128, sigma=30).cast("uchar")
    data: bytes = noise.bandjoin([noise, noise]).copy(interpretation="srgb").write_to_buffer(".jpg")
    return data


def put(page: Any, *names: str, data: bytes | None = None) -> None:
    """Choose files of these names."""
    content = jpeg() if data is None else data
    page.set_input_files("#files", [{"name": name, "mimeType": "image/jpeg", "buffer": content} for name in names])


def until(page: Any, expression: str, patience_s: float = 10) -> None:
    """Wait for it. (Playwright's own waiting needs `eval`, which the policy of the page forbids.)"""
    end = time.monotonic() + patience_s
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(30)


def item(page: Any, name: str) -> Any:
    return page.locator(".item", has_text=name)


def in_state(page: Any, name: str, state: str) -> Any:
    found = page.locator(f".item[data-state={state}]", has_text=name)
    found.wait_for()
    return found
