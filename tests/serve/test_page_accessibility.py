"""The page in a browser for everyone: languages, themes, the keyboard, a phone, screen readers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serve.browser_page import Open, in_state, item, put
from tests.serve.fake_api import FakeServer

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}

pytestmark = [pytest.mark.extras, pytest.mark.slow]


def test_languages_and_themes(open_page: Open, fake_api: FakeServer) -> None:
    page = open_page(locale="zh-CN", color_scheme="dark")
    assert page.get_attribute("html", "lang") == "zh-CN" and page.inner_text("#hero-title") == "把图片拖到这里"
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(27, 28, 31)"
    put(page, "a.jpg")
    page.click("#start")
    in_state(page, "a.jpg", "done")
    assert page.inner_text("#look-why") == "已选用“照片修复”：JPEG 质量 70、噪点 6。"
    page.click("#theme")
    page.click("#language")
    assert page.evaluate(background) == "rgb(255, 255, 255)" and page.inner_text("#slide-left") == "Original"
    page.reload()
    page.wait_for_selector("body[data-ready=true]")
    assert page.get_attribute("html", "lang") == "en" and page.evaluate(background) == "rgb(255, 255, 255)"


def test_the_keyboard_is_enough(open_page: Open, fake_api: FakeServer) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    put(page, "slow.jpg")
    page.focus("#start")
    page.keyboard.press("Enter")
    in_state(page, "slow.jpg", "running")
    page.focus(".item .actions button")
    page.keyboard.press("Space")
    in_state(page, "slow.jpg", "canceled")
    assert page.evaluate("document.activeElement.closest('.actions') !== null")  # the focus stays with the picture
    page.focus("#change-model")
    page.keyboard.press("Enter")
    page.wait_for_selector("#models[open]")
    assert page.evaluate("document.activeElement.closest('dialog').id") == "models"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "change-model"


def test_a_phone(open_page: Open, fake_api: FakeServer) -> None:
    page = open_page(**PHONE)
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) <= 360 and page.inner_text("#hero-title") == "Enlarge pictures"
    put(page, "a-very-long-name-without-any-space-in-it-at-all.jpg", "broken.jpg")
    page.tap("#start")
    in_state(page, "a-very", "done")
    assert page.evaluate(width) <= 360
    item(page, "a-very").locator(".open").tap()
    assert page.is_hidden("#list") and page.is_visible("#slider") and page.evaluate(width) <= 360
    page.tap("#tab-magnify")
    assert page.evaluate(width) <= 360
    heights = page.evaluate("() => [...document.querySelectorAll('button, a.button')].map((one) => one.offsetHeight)")
    assert min(height for height in heights if height) >= 36
    page.tap("#back")
    assert page.is_visible("#list") and page.evaluate("document.activeElement.className") == "open"


@pytest.mark.parametrize(
    ("scheme", "shape"), [("light", {}), ("dark", {}), ("dark", PHONE)], ids=["light", "dark", "phone"]
)
def test_axe_finds_nothing(open_page: Open, fake_api: FakeServer, scheme: str, shape: dict[str, Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(color_scheme=scheme, **shape)

    def check(where: str) -> None:
        page.wait_for_timeout(350)  # transitions
        found = axe.run(
            page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
        )
        told = [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found.response["violations"]]
        assert told == [], where

    check("empty")
    put(page, "slow.jpg", "a.jpg", "broken.jpg")
    in_state(page, "a.jpg", "waiting")
    check("ready")
    page.click("#start")
    in_state(page, "broken.jpg", "failed")
    in_state(page, "slow.jpg", "running")
    check("at work")
    item(page, "a.jpg").locator(".open").click()
    check("slider")
    page.click("#tab-magnify")
    check("magnifier")
    page.click("#more-models")
    page.wait_for_selector("#models[open]")
    check("models")
    page.keyboard.press("Escape")
    if page.is_visible("#back"):
        page.click("#back")
    page.get_by_role("button", name="Remove a.jpg").click()
    check("question")
    page.get_by_role("button", name="Keep").click()
    fake_api.released.set()


def test_axe_can_find_something(open_page: Open, fake_api: FakeServer) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page()
    page.evaluate("document.getElementById('hero-text').style.color = '#ddd'")
    page.evaluate("document.getElementById('theme').removeAttribute('aria-label')")
    page.evaluate("document.getElementById('theme').removeAttribute('title')")
    found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
    assert {one["id"] for one in found.response["violations"]} == {"color-contrast", "button-name"}
