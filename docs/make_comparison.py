"""The pictures of docs/compare.md and of the tutorials, from the example photograph: `python docs/make_comparison.py`.

compare_sheet.png: the contact sheet of an excerpt. compare_page.png: the page in Chromium, by playwright.
tutorial_compare.png: the sheet of the tutorials.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
MODELS = "compact-x4,compact-gan-x4,photo-x4"
TUTORIAL_MODELS = "srvgg-x4,compact-gan-x4"


def main() -> None:
    pictures = ROOT / "docs" / "pictures"
    with tempfile.TemporaryDirectory() as folder:
        hr = Path(folder) / "hr"
        hr.mkdir()
        shutil.copy(ROOT / "examples" / "astronaut.png", hr)
        page = Path(folder) / "page.html"
        command = ["compare", "--hr", hr, "-n", MODELS, "-o", pictures / "compare_sheet.png", "--page", page]
        subprocess.run([sys.executable, "-m", "upres", *map(str, command)], check=True)
        sheet = ["compare", "--hr", hr, "-n", TUTORIAL_MODELS, "-o", pictures / "tutorial_compare.png", "--no-page"]
        subprocess.run([sys.executable, "-m", "upres", *map(str, sheet)], check=True)
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            opened = browser.new_page(viewport={"width": 900, "height": 720}, locale="en-US")
            opened.goto(page.as_uri())
            opened.wait_for_timeout(500)
            opened.screenshot(path=pictures / "compare_page.png")
            browser.close()
    print(pictures / "compare_page.png")


if __name__ == "__main__":
    main()
