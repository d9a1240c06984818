"""The short form of scripts/fuzz: fixed seeds, a few hundred damaged files for each reader."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest

from tests import REPOSITORY
from upres.errors import InputError

COUNTS = {"avif": 25, "animation": 50, "webp": 60, "journal": 20, "video journal": 100, "pdf": 60, "onnx": 100}
OTHERS = 120
_ALWAYS = ["png", "jpeg", "webp", "tiff", "avif", "gif", "pnm", "animation", "safetensors", "pickle", "ncnn"]
_TEXTS = ["recipe", "job", "journal", "zip", "tar"]
_WITH_EXTRAS = ["bmp", "tga", "onnx", "pdf", "run file", "video journal"]


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_script", REPOSITORY / "scripts" / "fuzz.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def readers(fuzz: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return fuzz.readers(tmp_path_factory.mktemp("fuzz"))


def _try(fuzz: ModuleType, reader: Any, name: str) -> None:
    for seed in reader.seeds:
        if name != "pickle":  # without torch, a file that is refused
            reader.read(seed)
    assert [(number, words) for number, _, words in fuzz.faults(name, reader, COUNTS.get(name, OTHERS))] == []


@pytest.mark.parametrize("name", [*_ALWAYS, *_TEXTS])
def test_a_damaged_file_is_read_or_refused(fuzz: ModuleType, readers: dict[str, Any], name: str) -> None:
    _try(fuzz, readers[name], name)


@pytest.mark.extras
@pytest.mark.parametrize("name", _WITH_EXTRAS)
def test_a_damaged_file_of_an_extra_is_read_or_refused(fuzz: ModuleType, readers: dict[str, Any], name: str) -> None:
    _try(fuzz, readers[name], name)


def test_every_reader_is_tried(readers: dict[str, Any]) -> None:
    assert readers.keys() <= {*_ALWAYS, *_TEXTS, *_WITH_EXTRAS}


def test_faults_are_found_and_can_be_made_again(fuzz: ModuleType) -> None:
    def read(data: bytes) -> None:
        if len(data) < 50:
            raise InputError("refused")
        if data[:1] != b"a":
            raise KeyError("fault")

    reader = fuzz.Reader((b"a" * 100,), read)
    found = list(fuzz.faults("x", reader, 400))
    assert 0 < len(found) < 200
    assert all(words == "KeyError: 'fault'" for _, _, words in found)
    number, data, _ = found[-1]
    assert list(fuzz.faults("x", reader, 1, first=number)) == [(number, data, "KeyError: 'fault'")]
