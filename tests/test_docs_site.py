"""The site of the docs: every link leads somewhere, every page is reached. `scripts/docs` (called by .ci/run)
builds it.
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests import REPOSITORY

NAVIGATION = re.compile(r"^ +- (?:[^:\n]+: )?(\S+\.md)$", re.MULTILINE)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    names = runpy.run_path(str(REPOSITORY / "docs" / "site" / "stage.py"))
    names["main"].__globals__["PAGES"] = tmp_path / "pages"
    return names


def test_no_link_of_the_site_leads_out_of_it(stage: dict[str, Any], tmp_path: Path) -> None:
    stage["main"]()
    pages = tmp_path / "pages"
    links = 0
    for page in pages.rglob("*.md"):
        text = re.sub(r"^ *```.*?^ *```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for address in re.findall(r"\]\(([^)#\s\"]+)", text):
            if not re.match(r"[a-z]+:", address):
                links += 1
                assert (page.parent / address).resolve().is_relative_to(pages.resolve()), (page, address)
                assert (page.parent / address).exists(), (page, address)
    assert links > 150


def test_a_link_to_nothing_is_told(stage: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "repository"
    (root / "docs" / "decisions").mkdir(parents=True)
    (root / "README.md").write_text("[here](docs/gone.md) and `[not](a-link.md)`\n", encoding="utf-8")
    (root / "README.zh-CN.md").write_text("[web](https://example.org)\n", encoding="utf-8")
    stage["main"].__globals__["ROOT"] = root
    stage["main"].__globals__["reference"] = lambda: ""

    with pytest.raises(SystemExit, match=r"lead to nothing:\nREADME\.md: docs/gone\.md$"):
        stage["main"]()


def test_every_page_is_in_the_navigation() -> None:
    named = set(NAVIGATION.findall((REPOSITORY / "docs" / "site" / "mkdocs.yml").read_text(encoding="utf-8")))
    docs = REPOSITORY / "docs"
    written = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md") if path.parent != docs / "decisions"}

    assert written <= named, f"put into docs/site/mkdocs.yml: {sorted(written - named)}"
    assert named - written == {"index.md", "index.zh-CN.md", "reference.md", "decisions/index.md"}
