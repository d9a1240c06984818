"""The page as a file: what it holds, its size, and names that would be HTML."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips

from tests.comparison.made import compared, random_levels
from upres.comparison import page as page_module
from upres.comparison.compare import ComparedPicture, Version
from upres.comparison.page import Page

EVIL = "\"><script>alert('x')</script>&amp;<img src=http://e.org/x.png>.png"


class Reader(HTMLParser):
    """Tags with their attributes, and the text of scripts by id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str | None, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            name = self.tags[-1][1].get("id")
            self.scripts[name] = self.scripts.get(name, "") + data

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.scripts["data"])


def made(*pictures: ComparedPicture, title: str = "a title") -> str:
    page = Page(title, {"one": "One", "two": "Two"}, 2, len(pictures))
    for one in pictures:
        page.add(one)
    return page.finish().decode("utf-8")


def decoded(reader: Reader, place: str) -> np.ndarray:
    kind, _, data = reader.scripts[place].partition(",")
    assert kind == "data:image/webp;base64"
    return pyvips.Image.new_from_buffer(base64.b64decode(data), "").numpy()


def test_every_version_is_there_without_loss() -> None:
    picture = compared()
    reader = Reader(made(picture))
    (shown,) = reader.data["pictures"]
    assert [version["kind"] for version in shown["versions"]] == ["LR", "bicubic", "model", "model", "HR"]
    assert [version["name"] for version in shown["versions"]][2:4] == ["One", "Two"]
    assert shown["versions"][2] | {"image": ""} == {
        "name": "One", "kind": "model", "image": "", "psnr": 30.5, "ssim": 0.9, "seconds": 0.25,
    }  # fmt: skip
    for version, kept in zip(shown["versions"], picture.versions, strict=True):
        np.testing.assert_array_equal(decoded(reader, version["image"]), kept.levels)
    assert shown["crop"] is None and (shown["width"], shown["height"]) == (60, 40)


def test_the_page_is_small_beside_its_pictures_and_loads_nothing() -> None:
    text = made(compared())
    bare = re.sub(r"data:image/webp;base64,[^<]*", "", text)
    assert len(bare.encode()) < 200_000
    reader = Reader(text)
    for tag, attributes in reader.tags:
        assert "src" not in attributes
        assert tag != "link" or attributes["href"] == "data:,"
    assert not re.search(r"@import|url\(|fetch\(|XMLHttp|importScripts|sourceMappingURL", bare)
    policy = next(attributes for tag, attributes in reader.tags if "http-equiv" in attributes)
    assert "default-src 'none'" in (policy["content"] or "")


def test_the_slider_comes_with_its_license() -> None:
    assert "Copyright (c) 2019 Dmitry Snisarenko" in made(compared()) and "Permission is hereby granted" in made(
        compared()
    )


def test_names_with_quotes_and_html_stay_text() -> None:
    plain, evil = Reader(made(compared())), Reader(made(compared(name=EVIL), title=EVIL))
    assert [tag for tag, _ in plain.tags] == [tag for tag, _ in evil.tags]
    assert evil.data["pictures"][0]["name"] == EVIL and evil.data["title"] == EVIL


def test_infinite_psnr_is_valid_json() -> None:
    whole = compared()
    equal = Version("one", whole.versions[2].levels, 0.1, float("inf"), 1.0)
    reader = Reader(made(ComparedPicture("a", 2, (*whole.versions[:2], equal, whole.versions[4]))))
    assert reader.data["pictures"][0]["versions"][2]["psnr"] == "inf"


def test_many_large_pictures_are_cropped_to_where_the_models_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_PIXELS", 4 * 300 * 300)
    lr = random_levels(300, 400)
    one = lr.repeat(2, axis=0).repeat(2, axis=1)
    two = one.copy()
    two[401:421, 601:621] ^= 255
    picture = ComparedPicture(
        "big", 2, tuple(Version(*pair) for pair in (("LR", lr), ("bicubic", one), ("one", one), ("two", two)))
    )
    reader = Reader(made(picture))
    (shown,) = reader.data["pictures"]
    left, top, width, height = shown["crop"]
    assert (width, height) == (300, 300) == (shown["width"], shown["height"]) and shown["whole"] == [800, 600]
    assert left % 2 == top % 2 == 0 and left <= 601 and top <= 401 and left + width >= 620 and top + height >= 420
    np.testing.assert_array_equal(decoded(reader, "image-0-3"), two[top : top + 300, left : left + 300])
    np.testing.assert_array_equal(
        decoded(reader, "image-0-0"), lr[top // 2 : top // 2 + 150, left // 2 : left // 2 + 150]
    )


def test_both_languages_have_the_same_words() -> None:
    source = (Path(page_module.__file__).parent / "page_files" / "strings.js").read_text(encoding="utf-8")
    english, chinese = source.split("  zh: {")

    def names(text: str) -> list[str]:
        return sorted(re.findall(r'(?:^|[\s,{])(\w+): (?="|\[)', text))

    assert len(names(english)) > 40 and names(english) == names(chinese.split("\n};")[0])


def test_the_page_says_how_far_its_maps_can_be_trusted() -> None:
    picture = compared()
    maps = [Version(f"{name}: invented", random_levels(40, 60), map_of=name) for name in ("one", "two")]
    picture = ComparedPicture("a.png", 2, (*picture.versions[:-1], *maps, picture.versions[-1]))
    page = Page("t", {"one": "One", "two": "Two"}, 2, 1)
    page.add(picture)
    found = Reader(page.finish().decode()).data["maps"]
    assert found == [{"name": "One", "measured": None}, {"name": "Two", "measured": None}]
    assert Reader(made(compared())).data["maps"] == []
