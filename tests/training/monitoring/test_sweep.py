"""The sweep: its ends are the two networks, what lies between is their mixture, and what is written can be read."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")
pytest.importorskip("tensorboard")

from torch import Tensor  # noqa: E402

from tests.training.made import run_of  # noqa: E402
from upres.errors import DataError, ModelError  # noqa: E402
from upres.images.io import read_header, read_picture  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.data.images import Pair, make_pair  # noqa: E402
from upres.training.distributed.ranks import Ranks  # noqa: E402
from upres.training.monitoring.sweep import plot_sweep, sweep  # noqa: E402
from upres.training.monitoring.validation import PerceptualMetric, Quality, validate  # noqa: E402
from upres.training.networks.compact import Compact  # noqa: E402

CONFIG = TrainConfig(recipe="test", scale=2, width=8, depth=1, branched=False)


def build() -> Compact:
    return Compact(width=8, depth=1, scale=2, branched=False)


def plain(seed: int) -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().merged_state_dict()


def loaded(state: Mapping[str, Tensor]) -> Compact:
    net = build()
    net.load_plain(state)
    return net


def distance(sr: Tensor, hr: Tensor) -> Tensor:
    return (sr - hr).abs().mean(dim=(1, 2, 3))


JUDGE = PerceptualMetric(distance)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    rng = np.random.default_rng(0)
    return [make_pair(f"{i}.png", rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), 2) for i in range(2)]


@pytest.fixture(scope="module")
def swept(pairs: list[Pair], tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, object]], Path]:
    out = tmp_path_factory.mktemp("sweep") / "run"
    return sweep(run_of(CONFIG, out, metric=JUDGE, held_out=pairs), plain(1), plain(2), (0.0, 0.25, 0.5, 1.0)), out


def assert_alike(row: Mapping[str, object], quality: Quality | None) -> None:
    assert quality is not None
    for name, value in dataclasses.asdict(quality).items():
        assert row[name] is None if value is None else row[name] == pytest.approx(value, rel=1e-3, abs=1e-3)


def test_the_ends_are_the_two_networks(swept: tuple[list[dict[str, object]], Path], pairs: list[Pair]) -> None:
    rows, _ = swept
    assert [row["alpha"] for row in rows] == [0.0, 0.25, 0.5, 1.0]
    assert_alike(rows[0], validate(loaded(plain(1)), pairs, scale=2, metric=JUDGE))
    assert_alike(rows[-1], validate(loaded(plain(2)), pairs, scale=2, metric=JUDGE))
    assert rows[0]["psnr_y"] != pytest.approx(rows[-1]["psnr_y"], abs=0.01)


def test_between_lies_the_mixture_of_their_weights(
    swept: tuple[list[dict[str, object]], Path], pairs: list[Pair]
) -> None:
    parent, gan = plain(1), plain(2)
    mixed = {name: 0.75 * parent[name] + 0.25 * gan[name] for name in parent}
    assert_alike(swept[0][1], validate(loaded(mixed), pairs, scale=2, metric=JUDGE))


def test_rows_plot_and_crops_are_written(swept: tuple[list[dict[str, object]], Path]) -> None:
    rows, out = swept
    written = json.loads((out / "sweep.json").read_text())
    assert [row["alpha"] for row in written] == [0.0, 0.25, 0.5, 1.0]
    assert written[2]["feature_distance"] == rows[2]["feature_distance"] and written[2]["niqe"] is None
    assert np.ptp(read_picture(out / "sweep.png").pixels) > 0.5
    crops = read_header(out / "sweep_crops.png")
    assert crops.width > 4 * 240 and crops.height > 2 * 200  # LR, four networks and HR, in two lines
    assert {p.name for p in out.iterdir()} == {"sweep.json", "sweep.png", "sweep_crops.png"}


@pytest.mark.slow
def test_it_is_the_same_every_time_and_draws_nothing_from_the_global_generator(
    pairs: list[Pair], tmp_path: Path
) -> None:
    before = torch.random.get_rng_state()
    run = run_of(CONFIG, tmp_path, metric=JUDGE, held_out=pairs)
    first, second = (sweep(run, plain(1), plain(2), (0.0, 0.3)) for _ in range(2))
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.slow
def test_niqe_gets_a_plot_of_its_own_and_an_infinite_figure_no_point(tmp_path: Path) -> None:
    rows = [
        {"alpha": a, "psnr_y": 30.0 - a, "feature_distance": 0.3 - 0.1 * a, "niqe": None} for a in (0.0, 0.5, 0.5, 1.0)
    ]
    plot_sweep(rows, tmp_path / "one.png")
    plot_sweep(
        [{**row, "niqe": 5.0} for row in rows] + [{"alpha": 2.0, "psnr_y": None, "niqe": 4.0}], tmp_path / "two.png"
    )
    one, two = (read_header(tmp_path / name) for name in ("one.png", "two.png"))
    assert two.width == 2 * one.width and two.height == one.height


def test_an_infinite_figure_is_null_in_the_file(tmp_path: Path) -> None:
    # a network whose last layer is 0 repeats pixels: no error here
    flat = make_pair("flat.png", np.full((32, 32, 3), 128, np.uint8), 2)
    state = {name: torch.zeros_like(tensor) for name, tensor in plain(1).items()}
    (row,) = sweep(run_of(CONFIG, tmp_path, metric=JUDGE, held_out=[flat]), state, state, (1.0,))
    assert row["psnr_y"] == math.inf
    (written,) = json.loads(
        (tmp_path / "sweep.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
    )
    assert written["psnr_y"] is None


def test_only_rank_0_writes(pairs: list[Pair], tmp_path: Path) -> None:
    class Second(Ranks):
        def gather(self, value: list[object]) -> list[list[object]]:
            return [value, value]

        def any(self, flag: bool) -> bool:
            return flag

    out = tmp_path / "run"
    rows = sweep(run_of(CONFIG, out, metric=JUDGE, held_out=pairs, ranks=Second(1, 2)), plain(1), plain(2), (0.0, 1.0))
    assert len(rows) == 2 and not out.exists()


def test_what_cannot_be_swept_is_refused(pairs: list[Pair], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one validation picture and one alpha"):
        sweep(run_of(CONFIG, tmp_path, metric=JUDGE), plain(1), plain(2))
    other = Compact(width=12, depth=1, scale=2, branched=False).merged_state_dict()
    with pytest.raises(ModelError, match=r"the parent.*the GAN network"):
        sweep(run_of(CONFIG, tmp_path, metric=JUDGE, held_out=pairs), plain(1), other)


def test_a_request_to_stop_ends_it_before_the_next_alpha(pairs: list[Pair], tmp_path: Path) -> None:
    asked = iter([False, False, True])
    seen: list[float] = []

    def watching(sr: Tensor, hr: Tensor) -> Tensor:
        seen.append(0.0)
        return distance(sr, hr)

    run = run_of(CONFIG, tmp_path, metric=PerceptualMetric(watching), held_out=pairs, should_stop=lambda: next(asked))
    with pytest.raises(KeyboardInterrupt):
        sweep(run, plain(1), plain(2))
    assert len(seen) == 2 * len(pairs) and not list(tmp_path.iterdir())
