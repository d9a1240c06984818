"""The page in a browser when something ends in the middle: a reload, a server, a second tab, a session."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serve.browser_page import Open, in_state, put, until
from tests.serve.fake_api import FakeServer

pytestmark = [pytest.mark.extras, pytest.mark.slow]


def test_a_reload_in_the_middle_loses_nothing(open_page: Open, fake_api: FakeServer) -> None:
    page = open_page()
    put(page, "done.jpg")
    page.click("#start")
    in_state(page, "done.jpg", "done")
    put(page, "slow.jpg", "waits.jpg")
    page.locator(".item", has_text="waits.jpg").locator(".open").click()
    in_state(page, "waits.jpg", "waiting")
    page.evaluate("1")  # what was put into the browser's store is there after its next turn
    page.wait_for_timeout(200)
    page.reload()
    for name in ("slow.jpg", "waits.jpg"):
        in_state(page, name, "waiting")
    page.click("#start")
    in_state(page, "slow.jpg", "running")
    names = page.locator(".name").all_inner_texts()
    page.reload()
    in_state(page, "slow.jpg", "running")
    in_state(page, "done.jpg", "done")
    assert page.locator(".name").all_inner_texts() == names == ["slow.jpg", "waits.jpg", "done.jpg"]
    page.locator(".item", has_text="done.jpg").locator(".open").click()
    until(page, "document.getElementById('slide-first').naturalWidth === 60")  # the server has it
    until(page, "document.getElementById('look').innerText.includes('JPEG of quality 70')")
    fake_api.released.set()
    in_state(page, "slow.jpg", "done")
    assert len(fake_api.jobs) == 3


def test_a_server_that_restarts_in_the_middle(open_page: Open, fake_api: FakeServer) -> None:
    page = open_page()
    put(page, "slow.jpg", "second.jpg")
    page.click("#start")
    in_state(page, "slow.jpg", "running")
    in_state(page, "second.jpg", "done")
    fake_api.stop()
    page.locator("#offline").wait_for(state="visible")
    assert "pictures and results are kept" in page.inner_text("#offline")
    put(page, "later.jpg")
    page.click("#start")
    in_state(page, "later.jpg", "unsent")
    fake_api.released.set()
    job = next(job for job in fake_api.jobs.values() if job["name"] == "slow.jpg")
    result = {"bytes": 9, "type": "image/png", "name": "x.png", "seconds": 1.0}
    job |= {"state": "done", "progress": 1.0, "result": result}
    fake_api.results[job["id"]] = fake_api.sources[job["id"]]
    fake_api.tell("done", job)  # while nobody listened
    fake_api.start()
    in_state(page, "slow.jpg", "done")
    in_state(page, "later.jpg", "done")
    page.locator("#offline").wait_for(state="hidden")
    assert "header" in fake_api.seen  # Last-Event-ID
    assert sum(job["name"] == "later.jpg" for job in fake_api.jobs.values()) == 1
    faults = open_page.faults  # type: ignore[attr-defined]
    faults[:] = [one for one in faults if "ERR_CONNECTION_REFUSED" not in one and "ERR_INCOMPLETE_CHUNKED" not in one
                 and "ERR_CONNECTION_RESET" not in one and "ERR_EMPTY_RESPONSE" not in one]  # fmt: skip


def test_two_tabs_show_the_same_with_one_connection(open_page: Open, fake_api: FakeServer) -> None:
    first = open_page()
    second = open_page(first.context)
    put(first, "slow.jpg")
    first.click("#start")
    in_state(second, "slow.jpg", "running")
    assert len(fake_api.seen) == 1
    second.get_by_role("button", name="Cancel slow.jpg").click()
    in_state(first, "slow.jpg", "canceled")
    first.close()  # it held the connection
    second.get_by_role("button", name="Try slow.jpg again").click()
    in_state(second, "slow.jpg", "running")
    fake_api.released.set()
    in_state(second, "slow.jpg", "done")
    assert len(fake_api.seen) == 2


def test_a_token_is_asked_for_and_the_one_of_the_address_is_used(
    browser: Any, open_page: Open, fake_api: FakeServer
) -> None:
    fake_api.token = "secret"
    page = open_page()
    page.wait_for_selector("#enter[open]")
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('enter-wrong').textContent !== ''")
    page.fill("#token", "secret")
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-ready=true]")
    other = open_page(address=f"{fake_api.url}/#token=secret")
    other.wait_for_selector("body[data-ready=true]")
    assert other.url == f"{fake_api.url}/"
    open_page.faults[:] = [one for one in open_page.faults if "401" not in one]  # type: ignore[attr-defined]
