"""The routes of the page: policy, caching, compression, size, and words in both languages."""

from __future__ import annotations

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from upres.serve import page as page_module
from upres.serve.page import POLICY, assets, base_path, page_routes
from upres.web.assets import read_asset

starlette = pytest.importorskip("starlette")
testclient = pytest.importorskip("starlette.testclient")

FILES = Path(page_module.__file__).parent / "page_files"
MOST_COMPRESSED = 150_000


@pytest.fixture(scope="module")
def client():  # type: ignore[no-untyped-def]
    from starlette.applications import Starlette

    with testclient.TestClient(Starlette(routes=page_routes())) as made:
        yield made


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style"):
            self.texts.append(data.strip())


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere(client) -> None:  # type: ignore[no-untyped-def]
    for path in ("/", "/favicon.ico", f"{base_path()}/main.js", "/page/old/main.js"):
        headers = client.get(path).headers
        assert headers["content-security-policy"] == POLICY and headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    assert "unsafe" not in POLICY and "http" not in POLICY and "*" not in POLICY
    assert POLICY.startswith("default-src 'none'; script-src 'self'; style-src 'self';")


def test_the_page_has_no_inline_script_style_or_handler() -> None:
    found = Tags(assets()["index.html"].data.decode())
    assert not any(found.texts)
    for tag, attributes in found.tags:
        assert not [name for name in attributes if name == "style" or name.startswith("on")], tag
        for name in ("src", "href"):
            assert (attributes.get(name) or "/").startswith(("/page/", "/", "#")), (tag, attributes)
    assert "style" not in {tag for tag, _ in found.tags}


def test_no_script_loads_from_elsewhere_or_evaluates() -> None:
    for name, asset in assets().items():
        if name.endswith((".js", ".css", ".html")) and name != "slider.js":
            text = asset.data.decode()
            assert not re.search(r"https?://(?!www\.w3\.org/)|\beval\(|new Function|innerHTML|@import|url\(", text), (
                name
            )


def test_every_import_and_every_file_of_the_page_is_there(client) -> None:  # type: ignore[no-untyped-def]
    files = assets()
    for name, asset in files.items():
        if name.endswith(".js"):
            for imported in re.findall(r'^(?:import|\} from) .*?"\./([^"]+)";$', asset.data.decode(), re.MULTILINE):
                assert imported in files, (name, imported)
    named = re.findall(rf'"{base_path()}/([^"]+)"', files["index.html"].data.decode())
    assert {"main.js", "slider.js", "page.css", "colors.css", "views.css", "icon.svg"} <= set(named)
    types = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    for name in named:
        answer = client.get(f"{base_path()}/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] == types[name.rpartition(".")[2]]


def test_files_are_kept_for_ever_and_the_page_is_asked_for_again(client) -> None:  # type: ignore[no-untyped-def]
    first = client.get("/")
    assert first.headers["cache-control"] == "no-cache" and "<title>upres</title>" in first.text
    again = client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/", headers={"If-None-Match": '"another"'}).status_code == 200
    assert "immutable" in client.get(f"{base_path()}/main.js").headers["cache-control"]


def test_the_path_is_that_of_this_content(client) -> None:  # type: ignore[no-untyped-def]
    for path in (
        "/page/0000/main.js",
        f"{base_path()}/nothing.js",
        f"{base_path()}/index.html",
        f"{base_path()}/..%2fpage.py",
    ):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert answer.headers.get("cache-control", "no-store") == "no-store"
    assert client.post("/").status_code == 405


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("br, gzip;q=0.5", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0", None),
        ("identity", None),
        ("gzip;q=x", None),
        ("", None),
        ("*;q=0, gzip", "gzip"),
    ],
)
def test_compression_is_by_agreement(client, accepted: str, coding: str | None) -> None:  # type: ignore[no-untyped-def]
    answer = client.get(f"{base_path()}/main.js", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("content-encoding") == coding and answer.headers["vary"] == "Accept-Encoding"
    assert answer.content == assets()["main.js"].data


def test_all_of_it_is_small() -> None:
    files = assets().values()
    assert all(gzip.decompress(one.compressed) == one.data for one in files)
    assert sum(len(one.compressed) for one in files) < MOST_COMPRESSED
    assert sum(len(one.data) for one in files) < 2 * MOST_COMPRESSED


def test_slider_and_magnifier_are_those_of_the_comparison_page() -> None:
    for name in ("slider.js", "magnifier.js", "divider.js", "colors.css", "views.css"):
        assert assets()[name].data.decode() == read_asset(name) and not (FILES / name).exists()
    assert b"Permission is hereby granted" in assets()["slider.js"].data


def words(language: str) -> dict[str, str]:
    text = (FILES / f"words_{language}.js").read_text(encoding="utf-8")
    found = re.findall(r'^  "?([\w-]+)"?: "((?:[^"\\]|\\.)*)",$', text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("  ")]
    assert len(found) == len(lines) == len(dict(found)), "one word a line, none twice"
    return dict(found)


def test_both_languages_have_the_same_words_with_the_same_places() -> None:
    english, chinese = words("en"), words("zh")
    assert len(english) > 180 and english.keys() == chinese.keys()
    for key in english:
        for text in (english[key], chinese[key]):
            forms = text.split(" | ")
            assert len(forms) == len(english[key].split(" | ")), key
        places = [set(re.findall(r"\{\d\}", text)) for text in (english[key], chinese[key])]
        assert places[0] == places[1], key
    assert all(re.search(r"[\u4e00-\u9fff]", text) for key, text in chinese.items() if key not in ALIKE)


ALIKE = {"comma", "running", "other", "appTitle", "orPaste"}


def test_every_word_is_used_and_every_used_word_is_there() -> None:
    known = set(words("en"))
    sources = [
        path for path in FILES.iterdir() if path.suffix in (".js", ".html") and not path.name.startswith("words")
    ]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    used = set(re.findall(r'\bword\("(\w+)"', text)) | set(re.findall(r'data-word="(\w+)"', text))
    assert used <= known
    loose = {key for key in known if not re.match("err_|fix_|name_|for_", key)}
    assert {key for key in loose if not re.search(rf'"{key}"', text)} == set()


def test_every_bundled_model_has_a_title_and_every_problem_its_remedy() -> None:
    from upres.models.catalog import list_models

    known = words("en")
    for model in list_models():
        if model.kind == "bundled":
            assert f"name_{model.name}" in known and f"for_{model.name}" in known
    problems = {key.removeprefix("err_") for key in known if key.startswith("err_")}
    assert problems == {key.removeprefix("fix_") for key in known if key.startswith("fix_")}
