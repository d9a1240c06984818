"""The files of an export: in place only when they are right, whole, and wanted there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from tests.export.test_export import by_onnxruntime, export, left, noise
from tests.export.test_export import small_pictures as small_pictures  # used by every test of this file, too
from tests.tiny import compact_file
from upres.engines.onnx.opaque import OnnxProgram
from upres.errors import EngineError, OutputError, UsageError
from upres.export.export import FORMATS, export_model, format_of
from upres.graph.nodes import Array
from upres.models.load import load_model
from upres.system import files


class Off:
    """An engine's file program that is off by `by`, or raises."""

    def __init__(self, inner: OnnxProgram, by: float, error: BaseException | None = None) -> None:
        self._inner, self._by, self._error = inner, by, error
        self.name = inner.name

    def __call__(self, lr: Array) -> Array:
        if self._error is not None:
            raise self._error
        return self._inner(lr) + np.float32(self._by)

    def close(self) -> None:
        self._inner.close()


def spoil(monkeypatch: pytest.MonkeyPatch, by: float = 0.0, error: BaseException | None = None) -> None:
    whole = OnnxProgram
    monkeypatch.setattr(
        "upres.engines.onnx.opaque.OnnxProgram", lambda path, threads: Off(whole(path, threads=threads), by, error)
    )


@pytest.mark.parametrize("half", [False, True])
def test_a_different_result_leaves_nothing(half: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compact_file(tmp_path / "m.safetensors")
    spoil(monkeypatch, by=0.02)
    words = r"differs from its source in onnxruntime .*: largest difference 0.01\d* \(PSNR 3\d.\d dB\) "
    words += "at 28 x 28, the sample; the limits"
    with pytest.raises(EngineError, match=words) as found:
        export(str(path), "onnx", tmp_path, half=half, threads=1)
    assert ("export without `half`" in str(found.value)) == half
    assert left(tmp_path) == ["m.safetensors"]


def test_a_small_difference_passes_in_half_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compact_file(tmp_path / "m.safetensors")
    spoil(monkeypatch, by=0.001)
    with pytest.raises(EngineError, match="differs from its source"):
        export(str(path), "onnx", tmp_path, threads=1)
    assert export(str(path), "onnx", tmp_path, half=True, threads=1).files[0].exists()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EngineError("short of breath"), EngineError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (MemoryError(), MemoryError),
    ],
)
def test_an_engine_that_fails_leaves_nothing(
    error: BaseException, kind: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compact_file(tmp_path / "m.safetensors")
    spoil(monkeypatch, error=error)
    with pytest.raises(kind):
        export(str(path), "onnx", tmp_path, threads=1)
    assert left(tmp_path) == ["m.safetensors"]


def test_values_that_are_not_finite_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compact_file(tmp_path / "m.safetensors")
    spoil(monkeypatch, by=np.nan)
    with pytest.raises(EngineError, match="returns NaN or infinity in onnxruntime"):
        export(str(path), "onnx", tmp_path, threads=1)
    assert left(tmp_path) == ["m.safetensors"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_leaves_nothing(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compact_file(tmp_path / "m.safetensors")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    ending = FORMATS[kind][0]
    with pytest.raises(OutputError, match=rf"cannot write .*/new-x2{ending}: the disk is full"):
        export(str(path), kind, tmp_path / f"new-x2{ending}", threads=1)
    monkeypatch.undo()
    assert left(tmp_path) == ["m.safetensors"]


@pytest.mark.parametrize("fails", [1, 2, 3])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_both_files_are_written_or_neither(
    fails: int, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rename of the .param, of the .bin or of the report fails: with nothing there before, and with older files
    there.
    """
    path = compact_file(tmp_path / "m.safetensors")
    whole = files.commit_partial
    calls: list[Path] = []

    def commit(partial: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == fails:
            raise error
        whole(partial, target)

    monkeypatch.setattr("upres.export.export.commit_partial", commit)
    kind = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(kind):
        export(str(path), "ncnn", tmp_path, threads=1)
    assert left(tmp_path) == ["m.safetensors"]
    old = {f"m-x2{ending}": f"old {ending}" for ending in (".param", ".bin", ".param.json")}
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    calls.clear()
    with pytest.raises(kind):
        export(str(path), "ncnn", tmp_path, overwrite=True, threads=1)
    assert {name: (tmp_path / name).read_text() for name in old} == old
    assert left(tmp_path) == sorted([*old, "m.safetensors"])


def test_existing_files_stay_unless_overwrite_is_given(tmp_path: Path) -> None:
    path = compact_file(tmp_path / "m.safetensors")
    for name in ("m.onnx", "m.onnx.json"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(OutputError, match=rf"{name} exists; use `overwrite=True`"):
            export(str(path), "onnx", tmp_path)
        assert left(tmp_path) == sorted(["m.safetensors", name])
        (tmp_path / name).unlink()
    (tmp_path / "m.onnx").write_text("mine")
    export(str(path), "onnx", tmp_path, overwrite=True, threads=1)
    assert by_onnxruntime(tmp_path / "m.onnx", noise(3, 8, 8)).shape == (1, 3, 16, 16)
    assert left(tmp_path) == ["m.onnx", "m.onnx.json", "m.safetensors"]
    with pytest.raises(UsageError, match="is the model to export; choose another target"):
        export(str(path), "safetensors", path, overwrite=True)


def test_a_link_remains_a_link(tmp_path: Path) -> None:
    path = compact_file(tmp_path / "m.safetensors")
    (tmp_path / "real.onnx").write_text("old")
    (tmp_path / "m.onnx").symlink_to("real.onnx")
    export(str(path), "onnx", tmp_path, overwrite=True, threads=1)
    assert (tmp_path / "m.onnx").is_symlink()
    assert by_onnxruntime(tmp_path / "real.onnx", noise(3, 8, 8)).shape == (1, 3, 16, 16)


def test_bad_targets_are_named_before_any_work(tmp_path: Path) -> None:
    path = str(compact_file(tmp_path / "m.safetensors"))
    for kind, out, error, words in (
        ("onnx", "m.param", UsageError, "the target for format onnx must be a folder or end in .onnx, got m.param"),
        ("ncnn", "m", UsageError, "end in .param or .bin"),
        ("onnx", "none/", OutputError, "the folder none/ does not exist"),
        ("onnx", "none/m.onnx", OutputError, "the folder of the target none/m.onnx does not exist"),
        ("onxx", None, UsageError, "unknown format 'onxx'.* did you mean 'onnx'"),
    ):
        with pytest.raises(error, match=words):
            export(path, kind, out)
    (tmp_path / "m.onnx").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        export(path, "onnx", tmp_path)


def test_the_suffix_of_the_target_names_the_format(tmp_path: Path) -> None:
    assert [format_of(name) for name in ("a.onnx", "a.PARAM", "b/a.bin", "a.safetensors")] == [
        "onnx",
        "ncnn",
        "ncnn",
        "safetensors",
    ]
    for target in (None, "a", tmp_path, "a.pth"):
        with pytest.raises(
            UsageError, match="specify `format`, or a target with the suffix of one: expected onnx, ncnn, safetensors"
        ):
            export_model("compact-x2", target)
    model = load_model(compact_file(tmp_path / "m.safetensors"))
    assert export_model(model, tmp_path / "out.onnx", threads=1).files == (tmp_path / "out.onnx",)


def test_a_name_that_the_file_system_cannot_hold(tmp_path: Path) -> None:
    path = str(compact_file(tmp_path / "m.safetensors"))
    for name in ("n" * 300, "n" * 249):  # the second is only too long with .json behind it
        with pytest.raises(OutputError, match=r"cannot write .*: the name is too long"):
            export(path, "onnx", tmp_path / f"{name}.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_folder_that_may_not_be_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compact_file(tmp_path / "m.safetensors")
    whole = Path.stat

    def refuse(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if "closed" in self.parts:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return whole(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", refuse)
    for out in ("closed", "closed/m.onnx"):
        with pytest.raises(OutputError, match=rf"cannot write .*{out}: Permission denied"):
            export(str(path), "onnx", tmp_path / out)


def test_a_folder_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compact_file(tmp_path / "m.safetensors")

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OutputError, match=r"cannot write .*/m.onnx: Permission denied"):
        export(str(path), "onnx", tmp_path)
