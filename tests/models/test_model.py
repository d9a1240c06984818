"""The table of models: complete, names unique, equal to the facts it was made from, no invented hash."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from upres.models.catalog import MODELS, is_path
from upres.models.model import (
    COLUMNS,
    Model,
    downloadable_models,
    is_archive,
    is_direct,
    is_package,
    must_accept,
    read_table,
    store_folder,
)
from upres.system.checksums import Source
from upres.system.package_index import PackageFile

HEADER = "\t".join(COLUMNS)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "RealESRGAN_x4plus",
            "RealESRNet_x4plus",
            "RealESRGAN_x4plus_anime_6B",
            "RealESRGAN_x2plus",
            "realesr-animevideov3",
            "BSRGAN",
        ),
        *("realesr-general-x4v3", "realesr-general-wdn-x4v3", "4x-UltraSharp", "4x-Remacri"),
    ],
)
def test_the_well_known_ones_go_by_their_usual_names(name: str) -> None:
    assert downloadable_models()[name].name == name


def test_no_two_models_share_a_name_and_none_looks_like_a_path_or_an_expression() -> None:
    names = [one for model in downloadable_models().values() for one in (model.name, *model.aliases)] + list(MODELS)
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name) and not is_path(name)


def test_no_two_files_share_a_name_in_the_store() -> None:
    files = [file.name.lower() for model in downloadable_models().values() for file in model.files]
    assert len(set(files)) == len(files)


def test_every_model_is_complete() -> None:
    for model in downloadable_models().values():
        assert (
            model.family in ("compact", "rrdb", "span") and model.scale in (1, 2, 4) and model.license and model.purpose
        ), model.name
        for file in model.files:
            assert file.urls and file.license == model.license
            for url in file.urls:
                if is_package(url):
                    package = PackageFile.parse(url)
                    assert len(package.sha256) == 64 and package.bytes > (file.bytes or 0)
                    continue
                assert urlsplit(url).scheme == "https"
                assert is_direct(url) or is_archive(url) or file.page == url
            assert file.sha256 is None or len(file.sha256) == 64
            if any(is_archive(url) or is_package(url) for url in file.urls):
                assert file.sha256 and file.bytes  # what tells the file inside an archive


def test_safetensors_are_preferred_where_there_are_two_formats_and_ncnn_comes_last() -> None:
    models = downloadable_models().values()
    several = {model.name: [Path(file.name).suffix for file in model.files] for model in models if len(model.files) > 1}
    pairs = ["RealESRGAN_x4plus", "RealESRGAN_x4plus_anime_6B", "realesr-animevideov3"]
    assert sorted(several) == ["2x-MLP-StarSample-V1-0", "4x-Nomos2-otf-esrgan", "4x-NomosWebPhoto-esrgan", *pairs]
    for name, suffixes in several.items():
        assert suffixes == ([".pth", ".param", ".bin"] if name in pairs else [".safetensors", ".pth"])


def test_a_table_that_names_two_files_gives_both_their_sizes_and_hashes() -> None:
    urls = f"pypi:some/some.whl#sha256={'ab' * 32}&bytes=99"
    cells = ("A", "-", "rrdb", "4", "MIT", "a.param + a.bin", "3 + 40", f"{'01' * 32} + {'02' * 32}", urls, "tests")
    (files,) = read_table("\t".join(COLUMNS) + "\n" + "\t".join(cells))["A"].formats
    assert [(file.name, file.bytes, file.sha256) for file in files] == [
        ("a.param", 3, "01" * 32),
        ("a.bin", 40, "02" * 32),
    ]
    assert all(file.urls == (urls,) and file.page == "" for file in files)


def test_a_hash_that_is_not_known_stays_so() -> None:
    unknown = [
        model.name for model in downloadable_models().values() if any(file.sha256 is None for file in model.files)
    ]
    assert unknown == ["RealESRNet_x4plus"]


def test_the_table_is_true_to_the_facts(assets: Path) -> None:
    """Every row of the list of facts is there, under its id, to the digit."""
    facts = assets / "reference" / "models.tsv"
    if not facts.is_file():
        pytest.skip("the list of facts is not among the assets")
    by_name: dict[str, Model] = {
        one: model for model in downloadable_models().values() for one in (model.name, *model.aliases)
    }
    with facts.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) >= 73
    for row in rows:
        model = by_name[row["id"]]
        assert (model.scale, model.license) == (int(row["scale"]), row["licence"])
        assert model.family == {"esrgan": "rrdb"}.get(row["architecture"], row["architecture"])
        (file,) = [file for file in model.files if file.sha256 == row["sha256"]]
        assert file.bytes == int(row["bytes"]) and row["urls"] in file.urls and file.name.endswith(row["type"])


def test_the_page_is_that_of_the_id() -> None:
    assert downloadable_models()["RealESRGAN_x4plus"].page == "https://openmodeldb.info/models/4x-realesrgan-x4plus"
    assert downloadable_models()["RealESRNet_x4plus"].page == ""


@pytest.mark.parametrize(
    "license", ["MIT", "mit", "Apache-2.0", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "BSD-3-Clause", "WTFPL"]
)
def test_free_licenses_need_no_word(license: str) -> None:
    assert not must_accept(license)


@pytest.mark.parametrize(
    "license", ["CC-BY-NC-4.0", "cc-by-nc-sa-4.0", "unknown", "", "none", "MIT-NC", "CC-BY-ND-4.0", "OpenRAIL"]
)
def test_restricted_and_unknown_licenses_need_it(license: str) -> None:
    assert must_accept(license)


def test_what_an_address_is() -> None:
    assert is_direct("https://example.org/a.pth?download=true") and is_direct("https://example.org/a.SafeTensors")
    assert is_archive("https://example.org/a.zip#b") and not is_direct("https://example.org/a.zip")
    assert not is_direct("https://example.org/releases/tag/a") and not is_archive("https://example.org/releases/tag/a")


def test_a_table_of_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the columns name, aliases"):
        read_table("name\turl\n")
    line = "a\t-\tcompact\t2\tMIT\ta.pth\t-\t-\thttps://example.org/releases\t-"
    model = read_table(f"# a word\n{HEADER}\n{line}\n")["a"]
    assert (model.aliases, model.purpose, model.files[0].sha256, model.files[0].bytes) == ((), "", None, None)
    assert model.files[0].page == "https://example.org/releases"


def test_a_format_is_local_once_all_its_files_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path))
    folder = store_folder()
    folder.mkdir()
    one, param, weights = (Source(name, (), None, None, "MIT") for name in ("a.pth", "a.param", "a.bin"))
    model = Model("a", "downloadable", "rrdb", 4, "MIT", ((one,), (param, weights)))
    assert model.files == (one, param, weights) and model.folder == folder and model.local_files() == ()
    (folder / "a.param").touch()
    assert model.local_files() == ()
    (folder / "a.bin").touch()
    assert model.local_files() == (folder / "a.param", folder / "a.bin")
    (folder / "a.pth").touch()
    assert model.local_files() == (folder / "a.pth",)
