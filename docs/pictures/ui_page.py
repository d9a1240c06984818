"""Screenshots of the page of `upres ui`, from a running server with the real models: docs/pictures/ui_*.png.

    python docs/pictures/ui_page.py      # needs upres[serve], playwright and Chromium (scripts/chromium)

The picture is examples/astronaut.png (public domain, NASA), saved as JPEG of quality 60.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyvips
from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DESKTOP: dict[str, Any] = {"viewport": {"width": 1100, "height": 700}, "locale": "en-US"}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 720},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
    "locale": "zh-CN",
    "color_scheme": "dark",
}


def main() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    jpeg = pyvips.Image.new_from_file(str(ROOT / "examples" / "astronaut.png")).write_to_buffer(".jpg", Q=60)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "upres", "ui", str(Path(folder) / "Pictures"), "--no-browser"]
        environment = {**os.environ, "UPRES_CACHE": str(Path(folder) / "cache")}
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                address = server.stdout.readline().strip()
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                    draw(browser, address, jpeg)
                    browser.close()
            finally:
                server.terminate()


def draw(browser: Any, address: str, jpeg: bytes) -> None:
    context = browser.new_context(**DESKTOP)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("body[data-ready=true]")
    files = [{"name": "astronaut.jpg", "mimeType": "image/jpeg", "buffer": jpeg}]
    page.set_input_files("#files", files)
    page.get_by_text("JPEG of quality 60").wait_for()
    page.click("#start")
    page.locator(".item[data-state=done]").wait_for()
    page.evaluate("document.getElementById('saved-to').hidden = true")  # a temporary folder
    page.evaluate("scrollTo(0, 0)")
    shoot(page, "ui_slider")
    page.get_by_role("button", name="Try Faithful ×4 as well").click()
    page.locator("#results li[data-state=done]").nth(1).wait_for()
    page.click("#tab-magnify")
    page.locator(".lens").nth(2).wait_for()
    page.evaluate("scrollTo(0, 0); document.getElementById('viewer').scrollTop = 0")
    face = page.locator(".lens").first.bounding_box()
    page.mouse.move(face["x"] + face["width"] * 0.44, face["y"] + face["height"] * 0.26)
    shoot(page, "ui_magnifier")
    cookies = context.cookies()
    context.close()

    context = browser.new_context(**PHONE)
    context.add_cookies(cookies)
    page = context.new_page()
    page.goto(address.partition("#")[0])
    page.locator(".open").click()
    page.locator("#slide-second").wait_for()
    page.wait_for_timeout(800)
    shoot(page, "ui_phone")
    context.close()


def shoot(page: Any, name: str) -> None:
    page.mouse.move(2, 2) if name != "ui_magnifier" else None
    page.wait_for_timeout(500)
    image = pyvips.Image.new_from_buffer(page.screenshot(), "")
    if name == "ui_phone":
        image = image.resize(0.5)
    path = HERE / f"{name}.png"
    image.write_to_file(f"{path}[palette=true,Q=60,dither=0.5,effort=10,keep=none]")
    print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
