"""The page through reloads, restarts, full queues, and beside another tab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import chromium, watch
from tests.serve.fake_api import FakeServer
from tests.serve.test_page_browser import Open, in_state, put, until

pytestmark = [pytest.mark.extras, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def server() -> Iterator[FakeServer]:
    made = FakeServer()
    made.start()
    yield made
    made.released.set()
    made.stop()


@pytest.fixture
def open_page(browser: Any, server: FakeServer) -> Iterator[Open]:
    """Opens a page, in a browser of its own unless one is given; in the end none has reported an error, said anything
    on the console, or requested anything elsewhere. What the browser says of a refusal is taken off by the test.
    """
    faults: list[str] = []
    contexts: list[Any] = []

    def made(context: Any = None, address: str = "", **settings: Any) -> Any:
        if context is None:
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-US", **settings})
            contexts.append(context)
        page = context.new_page()
        watch(page, ("data:", "blob:", server.url), faults)
        page.goto(address or server.url)
        if not server.token:
            page.wait_for_selector("body[data-ready=true]")
        return page

    made.faults = faults  # type: ignore[attr-defined]
    yield made
    for context in contexts:
        context.close()
    assert faults == []


def test_a_full_queue_is_waited_for(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    server.fail_next = "queue_full"
    put(page, "a.jpg")
    page.click("#start")
    in_state(page, "a.jpg", "unsent")
    in_state(page, "a.jpg", "done")
    assert server.puts == 2
    open_page.faults[:] = [one for one in open_page.faults if "429" not in one]  # type: ignore[attr-defined]


def test_a_reload_in_the_middle_loses_nothing(open_page: Open, server: FakeServer) -> None:
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
    server.released.set()
    in_state(page, "slow.jpg", "done")
    assert len(server.jobs) == 3


def test_a_server_that_restarts_in_the_middle(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    put(page, "slow.jpg", "second.jpg")
    page.click("#start")
    in_state(page, "slow.jpg", "running")
    in_state(page, "second.jpg", "done")
    server.stop()
    page.locator("#offline").wait_for(state="visible")
    assert "pictures and results are kept" in page.inner_text("#offline")
    put(page, "later.jpg")
    page.click("#start")
    in_state(page, "later.jpg", "unsent")
    server.released.set()
    job = next(job for job in server.jobs.values() if job["name"] == "slow.jpg")
    result = {"bytes": 9, "type": "image/png", "name": "x.png", "seconds": 1.0}
    job |= {"state": "done", "progress": 1.0, "result": result}
    server.results[job["id"]] = server.sources[job["id"]]
    server.tell("done", job)  # while nobody listened
    server.start()
    in_state(page, "slow.jpg", "done")
    in_state(page, "later.jpg", "done")
    page.locator("#offline").wait_for(state="hidden")
    assert "header" in server.seen  # Last-Event-ID
    assert sum(job["name"] == "later.jpg" for job in server.jobs.values()) == 1
    faults = open_page.faults  # type: ignore[attr-defined]
    faults[:] = [one for one in faults if "ERR_CONNECTION_REFUSED" not in one and "ERR_INCOMPLETE_CHUNKED" not in one
                 and "ERR_CONNECTION_RESET" not in one and "ERR_EMPTY_RESPONSE" not in one]  # fmt: skip


def test_two_tabs_show_the_same_with_one_connection(open_page: Open, server: FakeServer) -> None:
    first = open_page()
    second = open_page(first.context)
    put(first, "slow.jpg")
    first.click("#start")
    in_state(second, "slow.jpg", "running")
    assert len(server.seen) == 1
    second.get_by_role("button", name="Cancel slow.jpg").click()
    in_state(first, "slow.jpg", "canceled")
    first.close()  # it held the connection
    second.get_by_role("button", name="Try slow.jpg again").click()
    in_state(second, "slow.jpg", "running")
    server.released.set()
    in_state(second, "slow.jpg", "done")
    assert len(server.seen) == 2


def test_an_answer_that_is_slower_than_the_events_changes_nothing(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    server.answer_after_s = 0.6  # the job is done by then
    put(page, "a.jpg")
    page.click("#start")
    in_state(page, "a.jpg", "done")
    page.wait_for_timeout(900)
    in_state(page, "a.jpg", "done")


def test_a_hundred_pictures(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    names = [f"{number:03}.jpg" for number in range(100)]
    put(page, *names)
    until(page, "document.querySelectorAll('.item').length === 100")
    assert page.locator(".name").first.inner_text() == "000.jpg"
    page.click("#start")
    until(page, "document.querySelectorAll('.item[data-state=done]').length === 100", patience_s=60)
    page.reload()
    until(page, "document.querySelectorAll('.item[data-state=done]').length === 100")
    assert page.locator(".name").all_inner_texts() == names
