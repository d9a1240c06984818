"""The page of videos in a real browser: both sides show the same frame, by keys, by the range and while it plays."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser import chromium, watch
from tests.video.made import make_video
from upres.comparison import video_page

pytestmark = [pytest.mark.extras, pytest.mark.slow]
Upres = Callable[..., tuple[str, str]]
COUNT = 25


def gray(start: int) -> Any:
    def planes(number: int, height: int, width: int, _: str) -> list[np.ndarray]:
        chroma = np.full((height // 2, width // 2), 128, np.uint8)
        return [np.full((height, width), start + 4 * number, np.uint8), chroma, chroma]

    return planes


def level(luma: int) -> float:
    return (luma - 16) * 255 / 219


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, Path]:
    one = make_video(tmp_path / "one.mp4", COUNT, size=(60, 80), planes=gray(30), sound=True)
    return one, make_video(tmp_path / "two.mkv", COUNT, size=(120, 160), planes=gray(100))


def open_page(browser: Any, file: Path, faults: list[str]) -> Any:
    page = browser.new_page(viewport={"width": 900, "height": 800}, locale="en-US")
    watch(page, (file.parent.as_uri(), "blob:"), faults)
    page.goto(file.as_uri())
    until(page, "document.getElementById('video').readyState >= 2")
    return page


def until(page: Any, words: str) -> None:
    """Wait for a condition of the page. (Its policy forbids what `wait_for_function` does.)"""
    for _ in range(200):
        if page.evaluate(words):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"never true: {words}")


def sides(page: Any) -> tuple[int, int]:
    """The levels of both sides, as they are on the screen."""
    box = page.locator("#slider").bounding_box()
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        middle = box["y"] + box["height"] / 2
        return tuple(picture.getpixel((box["x"] + box["width"] * place, middle))[0] for place in (0.2, 0.8))  # type: ignore[return-value]


def at(page: Any, number: int) -> None:
    """Wait for a frame, and check what both sides show of it."""
    until(page, f"document.getElementById('time').textContent.includes('frame {number + 1} of {COUNT}')")
    page.wait_for_timeout(100)
    first, second = sides(page)
    assert abs(first - level(30 + 4 * number)) <= 3
    assert abs(second - level(100 + 4 * number)) <= 3


@pytest.mark.parametrize("beside", [False, True])
def test_both_sides_show_one_frame(
    browser: Any,
    sources: tuple[Path, Path],
    tmp_path: Path,
    upres: Upres,
    monkeypatch: pytest.MonkeyPatch,
    beside: bool,
) -> None:
    if beside:
        monkeypatch.setattr(video_page, "MOST_BYTES", 10)
    file = tmp_path / "videos.html"
    out, _ = upres("compare", *sources, "--page", file)
    assert out.split() == [str(file), *([str(tmp_path / "videos.mp4")] if beside else [])]
    faults: list[str] = []
    page = open_page(browser, file, faults)
    assert page.text_content("#left") == "one.mp4" and page.text_content("#right") == "two.mkv"
    at(page, 0)
    for number in (1, 2, 3):
        page.keyboard.press(".")
        at(page, number)
    page.keyboard.press(",")
    at(page, 2)
    page.evaluate(
        "(seek) => { seek.value = 20; seek.dispatchEvent(new Event('input')); }", page.query_selector("#seek")
    )
    at(page, 20)
    page.keyboard.press("j")
    at(page, 0)
    page.select_option("#speed", label="0.1")
    page.focus("#slider")
    page.keyboard.press("Space")
    until(page, "document.getElementById('video').currentTime > 0.1")
    for _ in range(5):  # while it plays, the sides are never of two frames
        first, second = sides(page)
        assert abs((second - first) - 70 * 255 / 219) <= 3
    page.keyboard.press("k")
    assert page.text_content("#play") == "Play"
    page.keyboard.press("s")
    assert page.text_content("#left") == "two.mkv"
    page.focus("#slider")
    page.keyboard.press("Home")
    assert page.get_attribute("#slider", "aria-valuenow") == "0"
    page.keyboard.press("z")
    assert page.input_value("#zoom") == "1"
    page.click("#language")
    assert page.text_content("#swap") == "⇄" and page.get_attribute("#swap", "aria-label") == "交换 A 和 B"
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    assert not [one["id"] for one in found if one["impact"] in ("serious", "critical")]
    assert faults == []
    page.close()


def test_a_preview_as_a_page_has_labels(browser: Any, sources: tuple[Path, Path], tmp_path: Path, upres: Upres) -> None:
    file = tmp_path / "preview.html"
    options = ("-n", "compact-x2", "--against", "compact-x4", "--engine", "ncnn", "--threads", 1)
    upres("video", sources[0], "--preview", "0.4", *options, "-o", file)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["one.mp4", "preview.html", "two.mkv"]
    faults: list[str] = []
    page = open_page(browser, file, faults)
    assert page.locator("#first option").all_text_contents() == ["bicubic", "compact-x2", "compact-x4"]
    assert page.text_content("#left") == "bicubic" and page.text_content("#right") == "compact-x4"
    page.select_option("#second", label="compact-x2")
    first, second = sides(page)
    assert abs(first - second) <= 3
    assert faults == []
    page.close()
