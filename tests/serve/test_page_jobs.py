"""What a visitor does with a list of pictures on the page, in a browser."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from tests.serve.browser_page import EVIL, Open, in_state, item, jpeg, put, until
from tests.serve.fake_api import FakeServer

pytestmark = [pytest.mark.extras, pytest.mark.slow]


def test_a_picture_is_dropped_enlarged_and_compared(open_page: Open, fake_api: FakeServer) -> None:
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


def test_progress_and_cancel(open_page: Open, fake_api: FakeServer) -> None:
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
    fake_api.released.set()
    in_state(page, "other slow.jpg", "done")
    page.locator(".item[data-state=done]").nth(1).wait_for()
    assert sorted(job["state"] for job in fake_api.jobs.values()) == ["done", "done"]  # the canceled one was replaced


def test_what_fails_says_why_and_what_to_do(open_page: Open, fake_api: FakeServer) -> None:
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


def test_a_full_queue_is_waited_for(open_page: Open, fake_api: FakeServer) -> None:
    page = open_page()
    fake_api.fail_next = "queue_full"
    put(page, "a.jpg")
    page.click("#start")
    in_state(page, "a.jpg", "unsent")
    in_state(page, "a.jpg", "done")
    assert fake_api.puts == 2
    open_page.faults[:] = [one for one in open_page.faults if "429" not in one]  # type: ignore[attr-defined]


def test_an_answer_that_is_slower_than_the_events_changes_nothing(open_page: Open, fake_api: FakeServer) -> None:
    page = open_page()
    fake_api.answer_after_s = 0.6  # the job is done by then
    put(page, "a.jpg")
    page.click("#start")
    in_state(page, "a.jpg", "done")
    page.wait_for_timeout(900)
    in_state(page, "a.jpg", "done")


def test_remove_and_clear(open_page: Open, fake_api: FakeServer) -> None:
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
    assert fake_api.jobs == {} and page.is_visible("#hero-title")


def test_names_that_are_html_are_text(open_page: Open, fake_api: FakeServer) -> None:
    page = open_page()
    put(page, EVIL)
    page.click("#start")
    in_state(page, "alert", "done")
    assert page.inner_text("#viewer-title") == EVIL and page.locator("img[src^='http://e.org']").count() == 0


def test_paste(open_page: Open, fake_api: FakeServer) -> None:
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


def test_a_folder_with_folders(open_page: Open, fake_api: FakeServer, tmp_path: Path) -> None:
    page = open_page()
    for name in ("one.jpg", "below/two.jpg", "below/.hidden.jpg", "below/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg())
    page.set_input_files("#folder", tmp_path)
    in_state(page, "two.jpg", "waiting")
    assert sorted(page.locator(".name").all_inner_texts()) == ["one.jpg", "two.jpg"]


def test_an_empty_file_is_told_at_once(open_page: Open, fake_api: FakeServer) -> None:
    page = open_page()
    put(page, "empty.jpg", data=b"")
    assert "The file is empty." in in_state(page, "empty.jpg", "failed").inner_text() and fake_api.puts == 0


def test_a_hundred_pictures(open_page: Open, fake_api: FakeServer) -> None:
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
