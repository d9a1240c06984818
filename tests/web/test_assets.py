"""Shared files of the pages: each can be read, inlined modules export nothing, the slider has its license."""

from __future__ import annotations

import re

import pytest

from upres.web.assets import inlined, names, read_asset


def test_every_file_is_there() -> None:
    assert names() == ["colors.css", "divider.js", "magnifier.js", "slider.js", "views.css"]


@pytest.mark.parametrize("name", ["divider.js", "magnifier.js"])
def test_a_module_exports_and_inlined_does_not(name: str) -> None:
    exported = re.findall(r"^export (?:class|function) (\w+)", read_asset(name), re.MULTILINE)
    assert exported and "export" not in inlined(name)
    assert all(re.search(rf"^(class|function) {one}\b", inlined(name), re.MULTILINE) for one in exported)


def test_nothing_is_imported_or_loaded_from_elsewhere() -> None:
    outside = re.compile(r"^import |@import|url\(|https?://(?!www\.w3\.org/2000/svg)", re.MULTILINE)
    assert [name for name in names() if outside.search(read_asset(name))] == []


def test_the_slider_comes_with_its_license() -> None:
    assert read_asset("slider.js").startswith("/*!\nimg-comparison-slider 8.0.7\nMIT License")
    assert "Copyright (c) 2019 Dmitry Snisarenko" in read_asset("slider.js")
