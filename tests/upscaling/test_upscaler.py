"""The door for Python programs: what goes in comes out enlarged, of the same kind; and every example of docs/api.md
runs.
"""

from __future__ import annotations

import pickle
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import upres
from tests import REPOSITORY
from tests.tiny import FakeRunner, compact, compact_file, noise, picture
from upres.errors import EngineError, ModelError, UsageError
from upres.upscaling.output_size import OutputSize
from upres.upscaling.tiled_run import Cancelled
from upres.upscaling.upscaler import Upscaler

PAGE = REPOSITORY / "docs" / "api.md"
EXAMPLES = dict(
    re.findall(
        r"^<!-- example: ([^>]+) -->\n```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
)


def nearest(scale: int = 2) -> Upscaler:
    return Upscaler(compact(scale), runner=FakeRunner(scale))


def enlarged(array: np.ndarray, scale: int = 2) -> np.ndarray:
    return array.repeat(scale, axis=0).repeat(scale, axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_page_run(name: str, tmp_path: Path, example_photo: Path) -> None:
    shutil.copy(example_photo, tmp_path / "photo.png")
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXAMPLES[name]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    if name == "progress and canceling":
        lines = result.stdout.split()
        assert lines[-1] == "stopped"
        assert 2 < len(lines) < 30
    if name == "many pictures":
        assert result.stdout.splitlines() == ["(128, 160, 3)", "(128, 164, 3)", "(128, 168, 3)"]
    for made in re.findall(r'"(photo_\w+\.png)"', EXAMPLES[name]):
        assert (tmp_path / made).is_file()


def test_all_code_of_the_page_is_in_its_examples() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(EXAMPLES) == 10 == text.count("```python")
    for target in re.findall(r"\]\((?![a-z]+:)([^)#]+)[^)]*\)", text):
        assert (PAGE.parent / target).exists()


def test_a_graph_over_a_picture_in_tiles_and_whole() -> None:
    source = picture(noise(6, 5), noise(6, 5, 1)[:, :, 0], depth=16, dpi=(300.0, 300.0))
    assert upres.Upscaler is Upscaler
    ours = upres.Upscaler(compact(2), engine="ncnn", threads=1, tile_px=8, memory_bytes=64 << 20)
    theirs = Upscaler(compact(2), engine="ncnn", threads=1)
    result, expected = (upscaler(source, size=OutputSize(factor=3)) for upscaler in (ours, theirs))
    np.testing.assert_allclose(result.pixels, expected.pixels, rtol=0, atol=1e-5)
    assert (result.depth, result.dpi, result.notes) == (expected.depth, expected.dpi, expected.notes)
    assert ours.plan(6, 5).pixels == 120
    assert ours.graph.scale == ours.scale == 2


def test_models_by_name_path_expression_and_graphs(tmp_path: Path) -> None:
    lr = noise(6, 5)
    path = compact_file(tmp_path / "tiny.safetensors", 2, seed=4)
    by_path, by_text, by_graph = (
        Upscaler(model, engine="ncnn", threads=1)(lr) for model in (path, str(path), compact(2, seed=4))
    )
    np.testing.assert_array_equal(by_path, by_graph)
    np.testing.assert_array_equal(by_text, by_graph)
    assert Upscaler(engine="ncnn").scale == 4
    assert Upscaler(f"{path}>{path}", engine="ncnn").scale == 4
    assert Upscaler([compact(2), compact(3)], engine="ncnn").scale == 6
    with pytest.raises(ModelError, match="unknown model 'compact-x5'"):
        Upscaler("compact-x5")
    with pytest.raises(ModelError, match="no such file"):
        Upscaler(tmp_path / "gone")


def test_denoise_by_name(tmp_path: Path) -> None:
    lr = noise(6, 5)
    a, b = (str(compact_file(tmp_path / f"{seed}.safetensors", 2, seed=seed)) for seed in (1, 2))
    ours = Upscaler(a, denoise=0.25, denoise_with=b, engine="ncnn", threads=1)(lr)
    np.testing.assert_array_equal(ours, Upscaler(f"{a}:0.25,{b}:0.75", engine="ncnn", threads=1)(lr))
    with pytest.raises(UsageError, match="`denoise_with` has no effect without `denoise`"):
        Upscaler(a, denoise_with=b)
    with pytest.raises(UsageError, match="a Graph cannot be blended"):
        Upscaler(compact(2), denoise=0.5)


def test_weights_that_were_normalized_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = compact_file(tmp_path / "tiny.safetensors", 2)
    Upscaler(f"{path}:1,{path}:1", engine="ncnn", threads=1)
    assert "sum to 2, not 1" in caplog.text


def test_sizes() -> None:
    lr = np.zeros((10, 20), np.uint8)
    assert nearest()(lr, scale=2.5).shape == (25, 50)
    assert nearest()(lr, size=OutputSize(width=30)).shape == (15, 30)
    with pytest.raises(UsageError, match="`scale` and `size` exclude each other"):
        nearest()(lr, scale=2, size=OutputSize(width=30))


def test_cancelling_stops_between_two_tiles_and_the_next_picture_runs() -> None:
    runner = FakeRunner()
    upscaler = Upscaler(compact(2), runner=runner, tile_px=8)
    stop, seen = threading.Event(), []
    lr = (noise(32, 32) * 255).astype(np.uint8)

    def told(done: int, total: int) -> None:
        seen.append((done, total))
        if len(seen) == 3:
            stop.set()

    with pytest.raises(Cancelled, match=r"cancelled at \d[\d,]* of 4,096 pixels"):
        upscaler(lr, progress=told, cancel=stop.is_set)
    assert len(runner.calls) == 4 == len(seen) + 1
    with pytest.raises(Cancelled, match="before the first tile"):
        upscaler(lr, cancel=stop.is_set)
    assert len(runner.calls) == 4
    stop.clear()
    np.testing.assert_array_equal(upscaler(lr, progress=lambda *_: None, cancel=stop.is_set), enlarged(lr))


def test_cancelled_is_no_error_of_the_input() -> None:
    assert not issubclass(Cancelled, ValueError)


def test_what_progress_raises_comes_through() -> None:
    def told(done: int, total: int) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        nearest()(noise(4, 4), progress=told)


def test_map_is_lazy_and_in_order() -> None:
    taken: list[int] = []

    def pictures() -> Iterator[np.ndarray]:
        for index in range(5):
            taken.append(index)
            yield np.full((3 + index, 4), 10 * index, np.uint8)

    results = nearest().map(pictures(), scale=2)
    assert taken == []
    first = next(results)
    assert taken == [0]
    assert [first.shape, *(result.shape for result in results)] == [(6 + 2 * index, 8) for index in range(5)]
    assert list(nearest().map([])) == []


def test_several_threads_wait_for_each_other() -> None:
    class Alone(FakeRunner):
        inside = 0

        def __call__(self, lr: np.ndarray) -> np.ndarray:
            self.inside += 1
            assert self.inside == 1
            answer = super().__call__(lr)
            threading.Event().wait(0.002)
            self.inside -= 1
            return answer

    upscaler = Upscaler(compact(2), runner=Alone(), tile_px=4)
    lr = [(noise(8, 8, seed=seed) * 255).astype(np.uint8) for seed in range(4)]
    results: dict[int, np.ndarray] = {}
    threads = [threading.Thread(target=lambda i=i: results.update({i: upscaler(lr[i])})) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, source in enumerate(lr):
        np.testing.assert_array_equal(results[index], enlarged(source))


def test_a_with_statement_closes_it() -> None:
    with Upscaler(compact(2), engine="ncnn", threads=1) as upscaler:
        upscaler(noise(4, 4))
    with pytest.raises(EngineError, match="closed"):
        upscaler(noise(4, 4))


def test_a_pickled_upscaler_has_the_same_model_and_options(tmp_path: Path) -> None:
    lr = noise(6, 5)
    path = compact_file(tmp_path / "tiny.safetensors", 2)
    for model in (str(path), path, compact(2), [compact(2), compact(2)], upres.load_model(path)):
        with Upscaler(model, engine="ncnn", threads=1, wrap=True) as upscaler:
            again = pickle.loads(pickle.dumps(upscaler))
            assert again.options == upscaler.options
            np.testing.assert_array_equal(again(lr), upscaler(lr))
            again.close()


def test_an_upscaler_with_an_engine_from_outside_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="an Upscaler with a given `runner` or `reference` cannot be pickled"):
        pickle.dumps(nearest())


def test_close_waits_for_a_call_in_another_thread() -> None:
    order: list[str] = []
    inside, closing = threading.Event(), threading.Event()

    class Slow(FakeRunner):
        def close(self) -> None:
            order.append("closed")
            super().close()

    def progress(done: int, total: int) -> None:
        inside.set()
        assert closing.wait(10)
        if done == total:
            order.append("done")

    upscaler = Upscaler(compact(2), runner=Slow(2))
    call = threading.Thread(target=upscaler, args=(noise(6, 6),), kwargs={"progress": progress})
    call.start()
    assert inside.wait(10)
    close = threading.Thread(target=upscaler.close)
    close.start()
    close.join(0.1)
    assert close.is_alive()
    closing.set()
    call.join(10)
    close.join(10)
    assert order[0] == "done"
    assert order[-1] == "closed"


def test_a_closed_upscaler_refuses_calls() -> None:
    with nearest() as upscaler:
        pass
    with pytest.raises(EngineError, match="the Upscaler was closed; make a new one"):
        upscaler(noise(6, 6))
    with pytest.raises(EngineError, match="was closed"):
        upscaler.upscale_array(noise(6, 6))
