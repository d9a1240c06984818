"""The page in a real browser: pointer, touch, keys, words for screen readers, no error and no request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser import chromium, watch
from tests.comparison.made import compared
from upres.comparison.compare import ComparedPicture, Version
from upres.comparison.page import Page

pytestmark = [pytest.mark.extras, pytest.mark.slow]
EVIL = "\"><script>alert('x')</script>'<img src=http://e.org/x.png>&amp;.png"


def flat(level: int) -> np.ndarray:
    return np.full((300, 400, 3), level, np.uint8)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = Page("x2: one, two", {"one": "One", "two": "Two"}, 2, 2)
    versions = (
        Version("LR", flat(90)[:150, :200]),
        Version("bicubic", flat(100), None, 20.0, 0.5),
        Version("one", flat(110), 0.5, 21.0, 0.6),
        Version("two", flat(130), 1.5, 22.0, 0.7),
        Version("HR", flat(120)),
    )
    page.add(ComparedPicture("first.png", 2, versions))
    page.add(compared(name=EVIL))
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_bytes(page.finish())
    return path


@pytest.fixture
def page(browser: Any, file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, opened; in the end it has reported no error and requested nothing but itself."""
    settings = {"viewport": {"width": 1000, "height": 800}, "locale": "en-US"} | getattr(request, "param", {})
    context = browser.new_context(**settings)
    opened = context.new_page()
    faults: list[str] = []
    watch(opened, ("data:", file.as_uri()), faults)
    opened.goto(file.as_uri())
    yield opened
    context.close()
    assert faults == []


def value(page: Any) -> int:
    return int(page.get_attribute("#slider", "aria-valuenow"))


def shown_color(page: Any, x: float, y: float) -> int:
    """The level that the browser draws at a place of the window."""
    import pyvips

    shot = page.screenshot(clip={"x": x, "y": y, "width": 1, "height": 1})
    return int(pyvips.Image.new_from_buffer(shot, "").numpy()[0, 0, 0])


def test_the_slider_follows_drag_and_keys(page: Any) -> None:
    assert value(page) == 50 and page.input_value("#first") == "1" and page.input_value("#second") == "3"
    box = page.locator("#slider").bounding_box()
    middle = box["y"] + box["height"] * 0.8
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=4)
    page.mouse.up()
    assert 73 <= value(page) <= 77
    page.wait_for_timeout(200)  # the divider glides
    assert shown_color(page, box["x"] + box["width"] * 0.65, middle) == 100  # A, at the left of the divider
    assert shown_color(page, box["x"] + box["width"] * 0.85, middle) == 130
    page.keyboard.press("Home")
    assert value(page) == 0
    page.keyboard.press("PageUp")
    assert value(page) == 10
    page.keyboard.down("ArrowRight")
    page.wait_for_timeout(150)
    page.keyboard.up("ArrowRight")
    assert value(page) > 10
    assert page.get_attribute("#slider", "aria-valuetext").endswith("left bicubic, right Two")


def test_swap_and_choice_change_both_sides(page: Any) -> None:
    page.keyboard.press("s")
    assert page.text_content("#slide-left") == "Two" and page.text_content("#slide-right") == "bicubic"
    page.select_option("#second", label="HR (ground truth)")
    assert page.text_content("#slide-right") == "HR (ground truth)"
    assert page.get_attribute("#slide-second", "alt") == "first.png, HR (ground truth)"


def test_the_magnifier_is_synchronized(page: Any) -> None:
    page.keyboard.press("2")
    lenses = page.locator(".lens")
    assert lenses.count() == 5 and page.text_content("#zoom") == "400 %"
    places = "() => [...document.querySelectorAll('.lens img')].map((image) => image.style.left + image.style.top)"
    box = lenses.nth(2).bounding_box()
    seen = []
    for x, y in ((0.5, 0.5), (0.1, 0.2), (0.9, 0.9)):
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        now = page.evaluate(places)
        assert len(set(now)) == 1  # all at the same place
        seen.append(now[0])
    assert len(set(seen)) == 3
    page.focus("#lenses")
    page.keyboard.press("+")
    assert page.text_content("#zoom") == "600 %" and page.evaluate(places)[0] != seen[-1]
    before = page.evaluate(places)
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(places) != before
    for _ in range(9):
        page.keyboard.press("-")
    assert page.text_content("#zoom") == "100 %" and page.is_disabled("#zoom-out")
    assert page.text_content("#status").startswith("zoom 1, at ")


def test_flicker_by_key_and_by_click(page: Any) -> None:
    page.keyboard.press("3")
    assert page.is_visible("#flicker-first") and not page.is_visible("#flicker-second")
    page.keyboard.press("b")
    assert not page.is_visible("#flicker-first") and page.is_visible("#flicker-second")
    assert page.text_content("#status") == "showing B: Two"
    page.keyboard.press("Space")
    assert page.is_visible("#flicker-first")
    page.click("#flicker-stage")
    assert page.is_visible("#flicker-second") and page.get_attribute("#show-second", "aria-pressed") == "true"
    page.keyboard.press("a")
    assert page.is_visible("#flicker-first")


def test_the_difference_is_that_of_the_pictures(page: Any) -> None:
    page.keyboard.press("4")
    page.wait_for_function("document.getElementById('difference-text').textContent !== ''")
    assert page.text_content("#difference-text") == "|A − B|, times 4. Mean 30.00 of 255 levels, largest 30."
    pixel = """() => {
        const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
        copy.drawImage(document.getElementById("canvas"), 5, 5, 1, 1, 0, 0, 1, 1);
        return [...copy.getImageData(0, 0, 1, 1).data];
    }"""
    assert page.evaluate(pixel) == [120, 120, 120, 255]
    page.focus("#gain")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.getElementById('difference-text').textContent.includes('times 5')")
    assert page.evaluate(pixel)[0] == 150


def test_figures_and_means(page: Any) -> None:
    rows = [row.split("\t") for row in page.inner_text("#figures-body").splitlines()]
    assert rows[0][:4] == ["bicubic", "20.00", "0.5000", "–"]
    assert rows[1] == ["One", "21.00", "0.6000", "0.50", "25.75", "0.7500", "0.38"]
    assert "first.png; means over 2 pictures. Border 2" in page.text_content("#figures-caption")


def test_names_that_are_html_are_text(page: Any) -> None:
    page.keyboard.press("]")
    assert page.text_content("#status") == EVIL and page.input_value("#picture") == "1"
    assert page.locator("option", has_text=EVIL).count() == 1
    assert page.locator("img[src^=http]").count() == 0
    page.keyboard.press("[")
    assert page.input_value("#picture") == "0" and page.is_disabled("#previous")


def test_tabs_are_tabs(page: Any) -> None:
    page.focus("#tab-slide")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-magnify" and page.is_visible("#view-magnify")
    assert page.get_attribute("#tab-magnify", "aria-selected") == "true"
    assert page.get_by_role("tab").count() == 4 and page.get_by_role("tabpanel").count() == 1
    unnamed = """() => [...document.querySelectorAll('button, select, input')].filter((one) =>
        !(one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.[0]?.textContent.trim())).length"""
    assert page.evaluate(unnamed) == 0


@pytest.mark.parametrize("page", [{"locale": "zh-CN", "color_scheme": "dark"}], indirect=True)
def test_chinese_and_dark(page: Any) -> None:
    assert page.get_attribute("html", "lang") == "zh-CN" and page.text_content("#tab-magnify") == "放大镜"
    background = "() => getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(27, 28, 31)"
    page.click("#theme")
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.click("#language")
    assert page.get_attribute("html", "lang") == "en" and page.text_content("#tab-magnify") == "Magnifier"


@pytest.mark.parametrize(
    "page", [{"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}], indirect=True
)
def test_a_phone(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for view in ("magnify", "flicker", "difference"):
        page.tap(f"#tab-{view}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.tap("#tab-flicker")
    page.tap("#flicker-stage")
    assert page.is_visible("#flicker-second")
    page.tap("#tab-magnify")
    before = page.evaluate("document.querySelector('.lens img').style.left")
    page.locator(".lens").nth(1).tap(position={"x": 5, "y": 5})
    assert page.evaluate("document.querySelector('.lens img').style.left") != before
    heights = page.evaluate("() => [...document.querySelectorAll('button')].map((one) => one.offsetHeight)")
    assert min(height for height in heights if height) >= 40
