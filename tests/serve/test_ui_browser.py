"""The page with the real server and a real model, in a real browser: what the server of the other tests only claims."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pyvips

from tests.browser import chromium, watch
from upres.serve.ui import run_ui

pytestmark = [pytest.mark.extras, pytest.mark.slow]


@pytest.fixture
def ui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, threading.Thread]]:
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))
    ready, links = threading.Event(), []

    def opened(address: str, link: str) -> None:
        links.append(link)
        ready.set()

    options = {"opened": opened, "grace_s": 8.0}
    thread = threading.Thread(target=run_ui, args=(tmp_path / "results",), kwargs=options, daemon=True)
    thread.start()
    assert ready.wait(30)
    yield links[0], thread


def test_from_the_link_to_the_saved_results(
    ui: tuple[str, threading.Thread], tmp_path: Path, example_photo: Path
) -> None:
    link, thread = ui
    photo = pyvips.Image.new_from_file(str(example_photo)).crop(60, 40, 96, 64)
    deep = (photo.cast("ushort") * 257).cast("ushort").copy(interpretation="rgb16")
    files = [
        {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photo.write_to_buffer(".jpg", Q=50)},
        {"name": "deep.tif", "mimeType": "image/tiff", "buffer": deep.write_to_buffer(".tif")},
        {"name": "text.png", "mimeType": "image/png", "buffer": b"no picture"},
    ]
    with chromium() as browser:
        page = browser.new_context(locale="en-US").new_page()
        faults: list[str] = []
        watch(page, (link.partition("#")[0], "data:", "blob:"), faults)
        page.goto(link)
        page.wait_for_selector("body[data-ready=true]")
        assert "#" not in page.url
        page.set_input_files("#files", files)
        page.locator(".item[data-state=failed]", has_text="text.png").wait_for()
        page.locator("#look", has_text="JPEG of quality 50").wait_for()
        page.locator(".item", has_text="96 × 64 → 384 × 256").first.wait_for()
        page.get_by_role("button", name="Enlarge 2 pictures").click()
        for name in ("photo.jpg", "deep.tif"):
            page.locator(".item[data-state=done]", has_text=name).wait_for(timeout=60_000)
        assert page.inner_text("#look-why") == "Photo repair was chosen: JPEG quality 50."
        page.locator("#results", has_text="Saved as").wait_for()
        page.get_by_role("button", name="Try Faithful ×4 as well").click()
        page.locator("#results li[data-state=done]").nth(1).wait_for(timeout=60_000)
        assert shown(page, "slide-first") == 96 and shown(page, "slide-second") == 384
        page.reload()
        page.locator(".item", has_text="deep.tif").locator(".open").click()
        page.locator("#look", has_text="16 bits").wait_for()
        assert shown(page, "slide-first") == 96  # a preview
        page.locator(
            ".item[data-state=failed]", has_text="text.png"
        ).wait_for()  # kept by the browser, and looked at again
    thread.join(30)
    assert not thread.is_alive()  # it ended with its page
    assert [one for one in faults if "422" not in one] == []
    saved = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert saved == ["deep_x4.png", "photo_x4 (2).png", "photo_x4.png"]
    assert pyvips.Image.new_from_file(str(tmp_path / "results" / "deep_x4.png")).interpretation == "rgb16"


def shown(page: Any, place: str) -> int:
    """The width of the picture that is shown there, once it is."""
    for _ in range(200):
        width = page.evaluate(f"document.getElementById('{place}').naturalWidth")
        if width:
            return int(width)
        page.wait_for_timeout(50)
    return 0
