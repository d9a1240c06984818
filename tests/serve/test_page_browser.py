"""The page in a real browser, against a server of the tests that does what a picture's name says."""

from __future__ import annotations

import base64
import io
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pyvips

from tests.browser import chromium, watch
from tests.serve.fake_api import FakeServer

pytestmark = [pytest.mark.extras, pytest.mark.slow]
EVIL = "\"><script>alert('x')</script>'<img src=http://e.org/x.png>&amp;.jpg"
Open = Callable[..., Any]


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


def test_a_picture_is_dropped_enlarged_and_compared(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    assert page.inner_text("#hero-title") == "Drop pictures here"
    page.evaluate(
        """(data) => {
            const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], "dropped.jpg", { type: "image/jpeg" }));
            dataTransfer.items.add(new File(["text"], "notes.txt", { type: "text/plain" }));
            for (const kind of ["dragenter", "dragover", "drop"]) {
                document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
            }
        }""",
        base64.b64encode(jpeg()).decode(),
    )
    in_state(page, "dropped.jpg", "waiting")
    until(page, "document.querySelector('#look').textContent.includes('JPEG of quality 70')")
    assert page.inner_text("#look-why") == "Photo repair would fit: JPEG quality 70, noise 6."
    assert page.inner_text("#note-text") == "1 file that is no picture was left out."
    assert "60 × 40 → 240 × 160" in item(page, "dropped.jpg").inner_text()
    page.click("#start")
    in_state(page, "dropped.jpg", "done")
    assert page.inner_text("#look-why") == "Photo repair was chosen: JPEG quality 70, noise 6."
    assert page.input_value("#first") == "original" and page.inner_text("#slide-right") == "Photo repair"
    assert page.inner_text("#status") == "dropped.jpg is done"
    box = page.locator("#slider").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 3, steps=3)
    page.mouse.up()
    assert 78 <= int(page.get_attribute("#slider", "aria-valuenow")) <= 82
    page.keyboard.press("Home")
    assert page.get_attribute("#slider", "aria-valuetext") == "0 %: left Original, right Photo repair"
    page.click("#swap")
    assert page.inner_text("#slide-left") == "Photo repair"


def test_progress_and_cancel(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    put(page, "slow.jpg", "other slow.jpg")
    page.click("#start")
    slow = in_state(page, "other slow.jpg", "running")
    slow.get_by_text("50 % · 16 sec left").wait_for()
    assert slow.locator("progress").evaluate("(one) => one.value") == 0.5
    page.get_by_role("button", name="Cancel other slow.jpg").click()
    in_state(page, "other slow.jpg", "canceled")
    page.get_by_role("button", name="Try other slow.jpg again").click()
    in_state(page, "other slow.jpg", "running")
    server.released.set()
    in_state(page, "other slow.jpg", "done")
    page.locator(".item[data-state=done]").nth(1).wait_for()
    assert sorted(job["state"] for job in server.jobs.values()) == ["done", "done"]  # the canceled one was replaced


def test_what_fails_says_why_and_what_to_do(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    put(page, "broken.jpg", "good.jpg")
    put(page, "text.jpg", data=b"this is no picture")
    words = in_state(page, "text.jpg", "failed").inner_text()  # before it was sent
    assert "This file cannot be read as a picture." in words and "save it as PNG or JPEG" in words
    page.click("#start")
    assert "Open it in another program" in in_state(page, "broken.jpg", "failed").inner_text()
    in_state(page, "good.jpg", "done")
    big = {"name": "big.jpg", "mimeType": "image/jpeg", "buffer": b"x"}
    page.evaluate("""() => {
        const size = Object.getOwnPropertyDescriptor(Blob.prototype, "size").get;
        const told = { get() { return this.name === "big.jpg" ? 1e8 : size.call(this); } };
        Object.defineProperty(File.prototype, "size", told);
    }""")
    page.set_input_files("#files", [big])
    assert "The file is larger than 60 MB." in in_state(page, "big.jpg", "failed").inner_text()
    open_page.faults[:] = [one for one in open_page.faults if "422" not in one]  # type: ignore[attr-defined]


def test_several_models_side_by_side(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    put(page, "a.jpg")
    page.click("#change-model")
    page.wait_for_selector("#models[open]")
    assert "Takes noise and compression away" in page.inner_text("#model-cards")
    assert "about 8 sec a megapixel here" in page.inner_text("#model-cards")
    page.uncheck("#model-cards input[value=auto]")
    assert page.is_disabled("#models-use")
    page.check("#model-cards input[value=compact-x4]")
    page.check("#model-cards input[value=compact-gan-x4]")
    page.click("#models-use")
    page.get_by_role("button", name="Enlarge 1 picture with 2 models").wait_for()
    page.click("#start")
    in_state(page, "a.jpg", "done")
    until(page, "document.querySelectorAll('#results li').length === 2")
    page.click("#tab-magnify")
    assert page.locator(".lens").count() == 3
    page.focus("#lenses")
    page.keyboard.press("+")
    assert page.inner_text("#zoom") == "300 %" and page.inner_text("#status").startswith("zoom 3, at ")
    assert page.inner_text("#look-why") == "Photo repair would fit: JPEG quality 70, noise 6."
    page.get_by_role("button", name="Try Photo repair as well").click()
    until(page, "document.querySelectorAll('#results li[data-state=done]').length === 3")
    sources = {server.sources[id_] for id_ in server.jobs}
    assert len(sources) == 1  # the picture was sent once, and used again


def test_sizes(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    put(page, "a.jpg")
    page.check("[name=size][value=other]", force=True)
    page.select_option("#size-by", "width")
    page.fill("#size-value", "3")
    assert page.is_disabled("#start") and page.inner_text("#size-help") == "Between 16 and 60,000"
    page.fill("#size-value", "300")
    until(page, "document.querySelector('.state').textContent.includes('300 × 200')")
    page.select_option("#format", "jpeg")
    page.fill("#quality", "80")
    page.click("#start")
    in_state(page, "a.jpg", "done")
    (job,) = server.jobs.values()
    assert job["request"] == {"width": "300", "format": "jpeg", "quality": "80"}
    page.reload()
    page.wait_for_selector("body[data-ready=true]")
    assert page.input_value("#size-value") == "300" and page.input_value("#format") == "jpeg"


def test_download_one_and_all(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    put(page, "a.jpg", "b.jpg", "a.jpg")
    page.click("#start")
    until(page, "document.querySelectorAll('.item[data-state=done]').length === 3")
    with page.expect_download() as one:
        item(page, "b.jpg").get_by_role("link", name="Download b.jpg").click()
    assert one.value.suggested_filename == "b_x4.png"
    with page.expect_download() as all_:
        page.click("#download-all")
    with zipfile.ZipFile(io.BytesIO(Path(all_.value.path()).read_bytes())) as file:
        assert file.testzip() is None
        assert sorted(file.namelist()) == ["a_x4 (2).png", "a_x4.png", "b_x4.png"]
        assert pyvips.Image.new_from_buffer(file.read("b_x4.png"), "").width == 240


def test_remove_and_clear(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    put(page, "a.jpg", "b.jpg")
    page.click("#start")
    until(page, "document.querySelectorAll('.item[data-state=done]').length === 2")
    page.get_by_role("button", name="Remove a.jpg").click()
    page.get_by_role("button", name="Keep").click()
    assert page.locator(".item").count() == 2
    page.get_by_role("button", name="Remove a.jpg").click()
    page.locator("#ask-yes").click()
    item(page, "a.jpg").wait_for(state="detached")
    put(page, "c.jpg")
    page.click("#clear")
    assert page.inner_text("#ask-text").startswith("2 pictures")
    page.locator("#ask-yes").click()
    until(page, "document.querySelectorAll('.item').length === 0")
    assert server.jobs == {} and page.is_visible("#hero-title")


def test_names_that_are_html_are_text(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    put(page, EVIL)
    page.click("#start")
    in_state(page, "alert", "done")
    assert page.inner_text("#viewer-title") == EVIL and page.locator("img[src^='http://e.org']").count() == 0


def test_paste(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    page.evaluate("""() => {
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File([new Uint8Array(9)], "image.png", { type: "image/png" }));
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
    }""")
    page.locator(".item").wait_for()
    assert re.fullmatch(r"pasted \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d\.png", page.inner_text(".name"))
    in_state(page, "pasted", "failed")
    open_page.faults[:] = [one for one in open_page.faults if "422" not in one]  # type: ignore[attr-defined]


def test_a_folder_with_folders(open_page: Open, server: FakeServer, tmp_path: Path) -> None:
    page = open_page()
    for name in ("one.jpg", "below/two.jpg", "below/.hidden.jpg", "below/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg())
    page.set_input_files("#folder", tmp_path)
    in_state(page, "two.jpg", "waiting")
    assert sorted(page.locator(".name").all_inner_texts()) == ["one.jpg", "two.jpg"]


def test_a_picture_that_browsers_do_not_show_has_previews(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    image = pyvips.Image.gaussnoise(50, 30, mean=30000, sigma=5000).cast("ushort")
    data = image.bandjoin([image, image]).copy(interpretation="rgb16").write_to_buffer(".tif")
    page.set_input_files("#files", [{"name": "a.tif", "mimeType": "image/tiff", "buffer": data}])
    until(page, "document.querySelector('#look').textContent.includes('50 × 30')")  # the server could read it
    page.click("#start")
    in_state(page, "a.tif", "done")
    until(page, "document.getElementById('slide-first').naturalWidth === 50")
    until(page, "document.querySelector('.thumb img')?.naturalWidth === 50")
    assert "preview" in page.get_attribute("#slide-first", "src") and page.is_hidden("#reduced")


def test_an_empty_file_is_told_at_once(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    put(page, "empty.jpg", data=b"")
    assert "The file is empty." in in_state(page, "empty.jpg", "failed").inner_text() and server.puts == 0
