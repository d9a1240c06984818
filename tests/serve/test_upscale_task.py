"""One picture for a client: written beside the next, by rows, frame by frame, in small tiles where memory is short."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import noise, picture
from upres.images.animation import encode_animation, read_animation
from upres.images.io import encode_picture, read_picture
from upres.serve import upscale_task
from upres.serve.open_models import OpenModels
from upres.serve.work import Work
from upres.upscaling import upscale_file

Told = list[dict[str, object]]
Command = Callable[..., tuple[str, str]]
ENGINE = {"engine": "ncnn", "device": "cpu", "precision": "auto", "threads": 1}


def worker(told: Told, *, frames: int = 9, memory_bytes: int = 1 << 30) -> Work:
    limits = {"max_pixels_in": 10**6, "max_pixels_out": 10**7, "max_frames": frames, "memory_bytes": memory_bytes}
    return Work({**limits, "engine": ENGINE}, lambda **facts: told.append(facts), lambda _: False)


def task(folder: Path, data: bytes, number: int = 1, **parameters: object) -> dict[str, object]:
    source = folder / f"in{number}"
    source.write_bytes(data)
    wish = {"model": "compact-x2", **parameters}
    return {
        "do": "upscale",
        "task": number,
        "source": str(source),
        "target": str(folder / f"out{number}"),
        "parameters": wish,
    }


def test_a_result_is_written_while_the_next_picture_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: Told = []
    work, data = worker(told), encode_picture(picture(noise(8, 8)), "png")
    may_write, write = threading.Event(), upscale_task.write_result

    def slow(*given: object) -> None:
        assert may_write.wait(20)
        write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(upscale_task, "write_result", slow)
    planned = [(1, "planned"), (1, "free"), (2, "planned")]
    work.do(task(tmp_path, data, 1))  # returns, although nothing can be written
    second = threading.Thread(target=work.do, args=(task(tmp_path, data, 2),))
    second.start()
    while len(told) < 3:
        second.join(0.01)
    assert [(one["task"], one["step"]) for one in told] == planned  # the second has run or runs; it waits for the disk
    may_write.set()
    second.join()
    work.settle()
    assert [(one["task"], one["step"]) for one in told[3:]] == [(1, "done"), (2, "free"), (2, "done")]
    for number in (1, 2):
        made = (tmp_path / f"out{number}").read_bytes()
        done = next(one for one in told if one["task"] == number and one["step"] == "done")
        assert done["result"] | {"sha256": hashlib.sha256(made).hexdigest(), "bytes": len(made)} == done["result"]  # type: ignore[operator]


def test_a_result_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    told: Told = []
    work = worker(told)
    wish = task(tmp_path, encode_picture(picture(noise(8, 8)), "png"))
    work.do(wish | {"target": str(tmp_path / "missing" / "out")})
    work.settle()
    assert told[-1]["step"] == "failed" and told[-1]["task"] == 1


def test_a_large_picture_goes_by_rows_and_is_the_same_to_the_byte(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data, ran = encode_picture(picture(noise(90, 40)), "png"), upscale_task.run_by_rows
    by_rows: list[object] = []

    def counted(*given: object) -> tuple[str, ...]:
        by_rows.append(given)
        return ran(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(upscale_task, "run_by_rows", counted)
    told: Told = []
    work = worker(told)
    work.do(task(tmp_path, data, 1))
    work.settle()
    monkeypatch.setattr(upscale_file, "WHOLE_BYTES", 0)
    work.do(task(tmp_path, data, 2))
    assert (tmp_path / "out2").read_bytes() == (tmp_path / "out1").read_bytes()
    assert len(by_rows) == 1 and [one["step"] for one in told if one["task"] == 2] == ["planned", "done"]
    assert told[-1]["result"]["sha256"] == told[-3]["result"]["sha256"]  # type: ignore[index]


def test_what_does_not_fit_in_memory_is_refused_with_507(tmp_path: Path) -> None:
    told: Told = []
    data = encode_picture(picture(noise(900, 1000)), "png")
    worker(told, memory_bytes=100 << 20).do(task(tmp_path, data, tta=True, width=3000))  # needs the whole picture
    problem: dict[str, object] = told[-1]["problem"]  # type: ignore[assignment]
    assert (problem["status"], problem["code"]) == (507, "out_of_memory")
    assert "ask for a smaller result" in str(problem["detail"]) and str(tmp_path) not in str(problem)


def animation(count: int) -> bytes:
    frames = [picture(np.roll(noise(8, 12), place, 1)) for place in range(count)]
    return encode_animation(frames, [40] * count, 0, "png")


@pytest.mark.parametrize("form", ["png", "webp", "gif"])
def test_all_frames_of_an_animation_are_enlarged(form: str, tmp_path: Path, upres: Command) -> None:
    told: Told = []
    work, path = worker(told), tmp_path / "moving.png"
    path.write_bytes(animation(3))
    work.do(task(tmp_path, path.read_bytes(), format=form))
    made = read_animation(tmp_path / "out1")
    assert told[0]["frames"] == 3 and told[-1]["step"] == "done"
    assert len(made.frames) == 3 and made.frames[0].shape[:2] == (16, 24) and made.delays_ms == (40, 40, 40)
    if form == "png":
        upres("upscale", path, "-n", "compact-x2", "--threads", 1, "-o", tmp_path / "out.png")
        assert (tmp_path / "out1").read_bytes() == (tmp_path / "out.png").read_bytes()


@pytest.mark.parametrize(
    ("data", "given", "words"),
    [
        (animation(4), {}, "4 frames, more than the 3"),
        (animation(3), {"width": 4000}, "3 frames of 4,000 x 2,667"),
        (encode_picture(picture(noise(8, 8)), "png"), {"format": "gif"}, "still picture"),
    ],
    ids=["frames", "pixels of all frames", "a still as GIF"],
)
def test_limits_of_animations(data: bytes, given: dict[str, object], words: str, tmp_path: Path) -> None:
    told: Told = []
    worker(told, frames=3).do(task(tmp_path, data, **given))
    assert told[-1]["step"] == "failed" and words in str(told[-1]["problem"])
    assert str(tmp_path) not in str(told)


def test_of_an_animation_a_still_takes_the_first_frame(tmp_path: Path) -> None:
    told: Told = []
    work = worker(told, frames=1)
    work.do(task(tmp_path, animation(4), format="jpeg"))
    work.settle()
    assert read_picture(tmp_path / "out1").pixels.shape == (16, 24, 3) and told[-1]["step"] == "done"


def test_short_memory_means_small_tiles_then_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In this process, with an upscaler that finds no memory."""
    told: Told = []
    work, wish = worker(told), task(tmp_path, encode_picture(picture(noise(8, 8)), "png"))
    tiles: list[int | None] = []
    shortage = 1
    opened = OpenModels.open

    class Short:
        def __init__(self, real: object, tile_px: int | None) -> None:
            self.real, self.tile_px = real, tile_px

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        def __call__(self, *given: object, **more: object) -> object:
            tiles.append(self.tile_px)
            if len(tiles) <= shortage:
                raise MemoryError
            return self.real(*given, **more)  # type: ignore[operator]

        def close(self) -> None: ...

    monkeypatch.setattr(OpenModels, "open", lambda self, model, one: Short(opened(self, model, one), one.tile_px))
    work.do(wish)
    work.settle()
    assert tiles == [None, 64] and told[-1]["step"] == "done"
    assert "small tiles" in str(told[-1]["notes"]) and read_picture(tmp_path / "out1").pixels.shape == (16, 16, 3)
    tiles.clear()
    shortage = 9
    work.do(wish)
    assert told[-1]["step"] == "failed" and told[-1]["problem"]["code"] == "out_of_memory"  # type: ignore[index]
