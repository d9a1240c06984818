"""A server with a fake worker, shared by the tests of a file; a browser, and the page in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("starlette")

from tests.browser import chromium, watch
from tests.serve.browser_page import Open
from tests.serve.fake_api import FakeServer
from tests.serve.running import Running, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("data"), max_mb=1.0, queue=4) as one:
        yield one


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def fake_api() -> Iterator[FakeServer]:
    made = FakeServer()
    made.start()
    yield made
    made.released.set()
    made.stop()


@pytest.fixture
def open_page(browser: Any, fake_api: FakeServer) -> Iterator[Open]:
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
        watch(page, ("data:", "blob:", fake_api.url), faults)
        page.goto(address or fake_api.url)
        if not fake_api.token:
            page.wait_for_selector("body[data-ready=true]")
        return page

    made.faults = faults  # type: ignore[attr-defined]
    yield made
    for context in contexts:
        context.close()
    assert faults == []
