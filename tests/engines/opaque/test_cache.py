"""A file of an unknown architecture is measured once, until the file or a version changes."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.made_ncnn import bilinear_x2
from upres.engines.opaque import cache
from upres.errors import ModelError, OutputError
from upres.graph.opaque import OpaqueModel
from upres.models.load import load_model

FOUND = OpaqueModel(
    kind="ncnn", path="", sha256="", engine="ncnn", family="", scale=2, in_channels=3, out_channels=3, alignment=1,
    receptive_field=4, macs_per_pixel=1.5, parameters=9, activation_bytes_per_pixel=8.0, value_range=(0.0, 1.0),
    output_range=(0.0, 255.0), residual=False, cut_px=1, fixed=(24, 32), probed_px=65, tile_error=0.25,
)  # fmt: skip


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which what the true probe says of the file of `file` lies."""
    folder = tmp_path_factory.mktemp("full")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPRES_CACHE", str(folder))
        load_model(str(bilinear_x2(tmp_path_factory.mktemp("measured"), kernel=5)))
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return bilinear_x2(tmp_path, kernel=5)


class Probe:
    """Stands for the process: answers, and counts."""

    def __init__(self) -> None:
        self.count, self.changed = 0, False

    def __call__(self, path: Path, kind: str) -> OpaqueModel:
        self.count += 1
        digest = hashlib.sha256(path.read_bytes() + path.with_suffix(".bin").read_bytes()).hexdigest()
        return replace(FOUND, path=str(path), sha256="0" * 64 if self.changed else digest)


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Probe:
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))
    fake = Probe()
    monkeypatch.setattr(cache, "probe", fake)
    return fake


def cached(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "probes").iterdir())


def test_the_second_look_starts_no_process_and_finds_the_same(
    file: Path, full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPRES_CACHE", str(full))
    monkeypatch.setattr(subprocess, "Popen", None)
    for path in (file, file.with_suffix(".bin")):
        found = load_model(str(path)).networks[0]
        assert isinstance(found, OpaqueModel)
        assert (found.path, found.scale, found.receptive_field, found.value_range) == (str(file), 2, 4, (0.0, 1.0))
    (tmp_path / "other").mkdir()
    with pytest.raises(TypeError):  # the positive control: another file asks for a process
        load_model(str(bilinear_x2(tmp_path / "other", kernel=3)))


def test_a_file_with_the_same_bytes_is_known_under_its_own_path(file: Path, tmp_path: Path, probe: Probe) -> None:
    load_model(str(file))
    (tmp_path / "other").mkdir()
    other = bilinear_x2(tmp_path / "other", kernel=5)
    found = load_model(str(other)).networks[0]
    assert isinstance(found, OpaqueModel) and (found.path, probe.count) == (str(other), 1)


def test_another_file_or_version_or_format_is_measured_again(
    file: Path, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_model(str(file))
    for number, name in enumerate(("ncnn", "upres"), 2):
        plain = cache.version_of
        monkeypatch.setattr(
            cache, "version_of", lambda asked, name=name, plain=plain: "9" if asked == name else plain(asked)
        )
        load_model(str(file))
        load_model(str(file))
        assert probe.count == number, name
    monkeypatch.setattr(cache, "_FORMAT", 0)
    load_model(str(file))
    assert probe.count == 4
    file.write_bytes(file.read_bytes() + b"\n")
    load_model(str(file))
    assert probe.count == 5


def test_a_file_that_changes_while_it_is_measured_is_not_kept(file: Path, tmp_path: Path, probe: Probe) -> None:
    probe.changed = True
    load_model(str(file))
    assert not (tmp_path / "cache" / "probes").exists()


def cut_short(place: Path) -> None:
    place.write_bytes(place.read_bytes()[:-9])


def one_digit(place: Path) -> None:
    place.write_bytes(place.read_bytes().replace(b'"scale": 2', b'"scale": 3'))


def emptied(place: Path) -> None:
    place.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut_short, one_digit, emptied])
def test_what_is_damaged_is_said_and_measured_again(
    damage: Callable[[Path], None], file: Path, tmp_path: Path, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    first = load_model(str(file)).networks[0]
    assert load_model(str(file)).networks[0] == first and probe.count == 1  # all fields came through
    (place,) = cached(tmp_path)
    damage(place)
    assert load_model(str(file)).networks[0] == first and probe.count == 2
    assert f"{place} is damaged: measuring the model again" in caplog.text
    assert load_model(str(file)).networks[0] == first and probe.count == 2  # and is whole again


def refuse(error: Exception) -> Callable[..., Any]:
    def refused(*_: object, **__: object) -> None:
        raise error

    return refused


@pytest.mark.parametrize("where", ["below a file", "no folder", "no file"])
def test_a_cache_that_cannot_be_written_is_no_fault(
    where: str,
    file: Path,
    tmp_path: Path,
    probe: Probe,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    if where == "below a file":
        monkeypatch.setenv("UPRES_CACHE", str(file))
    else:  # by hand: no permission holds the superuser back, as whom containers run
        error = (
            PermissionError(13, "Permission denied") if where == "no folder" else OutputError("a read-only file system")
        )
        place, name = (Path, "mkdir") if where == "no folder" else (cache, "write_atomic")
        monkeypatch.setattr(place, name, refuse(error))
    for count in (1, 2):
        assert isinstance(load_model(str(file)).networks[0], OpaqueModel) and probe.count == count
    assert "the measurements of" in caplog.text and "are not kept: " in caplog.text


def test_without_a_home_there_is_no_cache(file: Path, probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "cache_folder", refuse(RuntimeError("Could not determine home directory.")))
    load_model(str(file))
    assert probe.count == 1


def test_a_refusal_is_not_kept(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "probe", refuse(ModelError("not for pictures")))
    with pytest.raises(ModelError, match="not for pictures"):
        load_model(str(file))
    assert not (tmp_path / "cache" / "probes").exists()


def test_looking_loads_no_engine(file: Path, full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPRES_CACHE", str(full))
    program = f"import sys\nfrom upres.models.load import load_model\nload_model({str(file)!r})\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"ncnn", "httpx", "torch", "onnxruntime"}.isdisjoint(done.stdout.split())
