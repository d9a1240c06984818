"""Sizes, models, results and their files on the page, in a browser."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import pyvips

from tests.serve.browser_page import Open, in_state, item, put, until
from tests.serve.fake_api import FakeServer

pytestmark = [pytest.mark.extras, pytest.mark.slow]


def test_several_models_side_by_side(open_page: Open, fake_api: FakeServer) -> None:
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
    sources = {fake_api.sources[id_] for id_ in fake_api.jobs}
    assert len(sources) == 1  # the picture was sent once, and used again


def test_sizes(open_page: Open, fake_api: FakeServer) -> None:
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
    (job,) = fake_api.jobs.values()
    assert job["request"] == {"width": "300", "format": "jpeg", "quality": "80"}
    page.reload()
    page.wait_for_selector("body[data-ready=true]")
    assert page.input_value("#size-value") == "300" and page.input_value("#format") == "jpeg"


def test_download_one_and_all(open_page: Open, fake_api: FakeServer) -> None:
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


def test_a_picture_that_browsers_do_not_show_has_previews(open_page: Open, fake_api: FakeServer) -> None:
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
