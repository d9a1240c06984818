from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.batch.collected import Folder
from tests.tiny import noise, picture
from upres.batch import provenance
from upres.batch.job import Encoding
from upres.batch.verify import check_folder, make_again
from upres.errors import InputError, UsageError
from upres.images.io import read_picture, write_picture
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize


def test_a_folder_as_it_was_written_and_one_that_was_not(folder: Folder) -> None:
    folder.run()
    assert [one.fault for one in check_folder(folder.out)] == ["", "", ""]
    (folder.out / "0.png").unlink()
    content = bytearray((folder.out / "1.png").read_bytes())
    content[-20] ^= 1
    (folder.out / "1.png").write_bytes(content)
    (folder.out / "2.png").unlink()
    (folder.out / "2.png").mkdir()
    assert {one.path.name: one.fault for one in check_folder(folder.out)} == {
        "0.png": "missing",
        "1.png": "damaged",
        "2.png": "unreadable (Is a directory)",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"size": OutputSize(factor=1.7), "options": UpscaleOptions(tta=True, blend=0.5, color_lock=True)},
        {"size": OutputSize(width=33), "encoding": Encoding(png_level=9)},
        {"size": OutputSize(factor=0.5)},
    ],
    ids=["plain", "options", "width", "reduced"],
)
def test_a_result_is_made_again_to_the_byte(folder: Folder, fields: dict[str, object]) -> None:
    folder.run(**fields)  # type: ignore[arg-type]
    again = make_again(folder.out / "1.png", folder.inputs / "1.png", folder.model)
    assert (again.same_bytes, again.levels, again.circumstances, again.good) == (True, 0, (), True)


def test_a_result_that_says_it_in_its_sidecar(folder: Folder) -> None:
    folder.run(encoding=Encoding(provenance=False, sidecar=True))
    assert make_again(folder.out / "1.png", folder.inputs / "1.png", folder.model).same_bytes
    (folder.out / "1.png.xmp").unlink()
    with pytest.raises(InputError, match="does not say how it was made"):
        make_again(folder.out / "1.png", folder.inputs / "1.png", folder.model)


def test_a_changed_pixel_is_told(folder: Folder) -> None:
    folder.run()
    result = read_picture(folder.out / "1.png")
    pixels = result.pixels.copy()
    pixels[3, 4, 1] = 1.0 - round(float(pixels[3, 4, 1]))
    write_picture(replace(result, pixels=pixels), folder.out / "1.png")
    again = make_again(folder.out / "1.png", folder.inputs / "1.png", folder.model)
    assert again.levels is not None and again.levels > 100
    assert (again.same_bytes, again.good) == (False, False)


def test_another_processor_is_told_and_one_level_is_allowed(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "processor_kind", lambda: "riscv64 Abacus")
        folder.run()
    again = make_again(folder.out / "1.png", folder.inputs / "1.png", folder.model)
    assert (again.same_bytes, again.levels, again.good) == (False, 0, True)
    assert again.circumstances == (f"processor: riscv64 Abacus, now {provenance.processor_kind()}",)
    shutil.copy(folder.inputs / "1.png", folder.inputs / "other.png")
    assert make_again(folder.out / "1.png", folder.inputs / "other.png", folder.model).good  # names do not matter


def test_what_cannot_be_made_again_is_refused(folder: Folder, tmp_path: Path) -> None:
    folder.run()
    with pytest.raises(InputError, match="was not made from"):
        make_again(folder.out / "1.png", folder.inputs / "2.png", folder.model)
    with pytest.raises(UsageError, match=r"was made with tiny\.safetensors@\w+; name the file of that model"):
        make_again(folder.out / "1.png", folder.inputs / "1.png")
    with pytest.raises(UsageError, match=r"was made with tiny\.safetensors \(\w+\), and the model here is compact-x2"):
        make_again(folder.out / "1.png", folder.inputs / "1.png", "compact-x2")
    write_picture(picture(noise(5, 5)), tmp_path / "plain.png")
    with pytest.raises(InputError, match="does not say how it was made"):
        make_again(tmp_path / "plain.png", folder.inputs / "1.png")
