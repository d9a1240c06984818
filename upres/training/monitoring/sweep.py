"""Interpolates from the PSNR network to the GAN network and measures each step.

No network has both the least distortion and the best perceptual quality, only a point on a curve between them (Blau and
Michaeli, "The perception-distortion tradeoff", CVPR 2018). Interpolated weights follow that curve (Wang et al., ESRGAN,
ECCVW 2018, section 3.4), so that users of a model can choose their own point.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from upres.errors import DataError
from upres.graph.interpolate import interpolate
from upres.system.files import write_atomic
from upres.training.monitoring.contact_sheet import (
    Panel,
    contact_sheet,
    enlarge_nearest,
    missing_to_plot,
    render,
    write_png,
)
from upres.training.monitoring.curves import style
from upres.training.monitoring.tensorboard import Triple, choose_crops, cut, words_of_psnr
from upres.training.monitoring.validation import validate
from upres.training.networks.generators import build_generator
from upres.training.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALPHAS = tuple(i / 10 for i in range(11))
_SHOWN = 6  # networks whose crops are shown
_CROP_PX = 128
_REACH_PX, _LABEL_PX = 19.0, 22.0  # distance of a label from its point, and its size


def sweep(
    run: Run, parent_state: Mapping[str, Tensor], gan_state: Mapping[str, Tensor], alphas: Sequence[float] = ALPHAS
) -> list[dict[str, Any]]:
    """Measure the networks (1 - alpha) parent + alpha GAN on the held-out pairs; returns one row per alpha, with the
    fields of `Quality`.

    run: its configuration is that of both networks.
    parent_state, gan_state: plain networks.
    alphas: where to measure.

    Rank 0 writes to the run's folder: `sweep.json` (the rows, infinity as null), `sweep.png` (PSNR against feature
    distance, and NIQE if measured) and `sweep_crops.png` (one crop as LR, at up to six alphas, and HR). Raises
    `DataError` without pictures or alphas, `ModelError` for states that do not fit, and KeyboardInterrupt before the
    next alpha once `should_stop` returns true.
    """
    pairs, out, ranks = run.held_out, run.folder, run.ranks
    if not pairs or not alphas:
        raise DataError("a sweep needs at least one validation picture and one alpha")
    parent, gan = (
        {name: tensor.detach().cpu().numpy() for name, tensor in state.items()} for state in (parent_state, gan_state)
    )
    places = choose_crops(pairs, 1, _CROP_PX)
    shown = _spread(alphas, _SHOWN)
    rows: list[dict[str, Any]] = []
    crops: list[tuple[float, Triple]] = []
    for alpha in alphas:
        if ranks.any(run.should_stop()):
            raise KeyboardInterrupt
        with torch.random.fork_rng():  # the weights are overwritten, but branches keep the share they had in the sum
            torch.manual_seed(0)
            net = build_generator(run.config).to(ranks.device)
        mixed = interpolate(parent, gan, alpha, names=("the parent", "the GAN network"))
        net.load_plain({name: torch.from_numpy(array).to(ranks.device) for name, array in mixed.items()})
        quality = validate(net, pairs, scale=run.config.scale, metric=run.metric, ranks=ranks)
        assert quality is not None
        rows.append({"alpha": alpha, **asdict(quality)})
        if ranks.rank == 0 and alpha in shown:
            crops.append((alpha, cut(net, pairs, places, _CROP_PX)[0]))
    if ranks.rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        finite = [{name: None if _infinite(value) else value for name, value in row.items()} for row in rows]
        write_atomic(out / "sweep.json", json.dumps(finite, indent=2).encode())
        if not missing_to_plot():
            plot_sweep(finite, out / "sweep.png")
            draw_crops(crops, out / "sweep_crops.png")
    return rows


def _infinite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _spread(alphas: Sequence[float], count: int) -> set[float]:
    """At most `count` of `alphas`, including the first and the last."""
    if len(alphas) <= count:
        return set(alphas)
    return {alphas[round(i * (len(alphas) - 1) / (count - 1))] for i in range(count)}


def plot_sweep(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot the perception-distortion curve: feature distance (and NIQE) over PSNR (Y), points labeled with alpha."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wanted = [("feature_distance", "feature distance"), ("niqe", "NIQE")]
    panels = [(name, title) for name, title in wanted if any(row.get(name) is not None for row in rows)]
    figure = Figure(figsize=(6.0 * max(1, len(panels)), 4.6), dpi=110, facecolor="white", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    drawn: list[tuple[Axes, list[tuple[float, float, float]]]] = []
    for axes, (name, title) in zip(figure.subplots(1, max(1, len(panels)), squeeze=False).flat, panels, strict=False):
        points = [
            (row["alpha"], row["psnr_y"], row[name])
            for row in rows
            if row["psnr_y"] is not None and row.get(name) is not None
        ]
        _draw(axes, points, title)
        drawn.append((axes, points))
    canvas.draw()  # determines the positions of the points
    figure.set_layout_engine("none")
    for axes, points in drawn:
        _label(axes, points)
    write_png(path, render(canvas))


def _draw(axes: Axes, points: Sequence[tuple[float, float, float]], title: str) -> None:
    style(axes, f"PSNR against {title}", "α is 0 for the PSNR network, 1 for the GAN network; best is down and right")
    if not points:
        return
    alpha, x, y = np.array(points, np.float64).T
    axes.plot(x, y, color="#b6bbc2", linewidth=1.4, zorder=1)
    axes.scatter(x, y, c=alpha, cmap="viridis", vmin=0.0, vmax=1.15, s=46, zorder=2, edgecolors="white", linewidths=0.8)
    axes.margins(0.10, 0.12)
    axes.set_xlabel("PSNR (Y), dB", fontsize=9, color="#3c4043")
    axes.set_ylabel(title, fontsize=9, color="#3c4043")


def _label(axes: Axes, points: Sequence[tuple[float, float, float]]) -> None:
    """Write alpha beside every point, perpendicular to the curve, below or at the right; farther away where it is
    crowded.
    """
    spots = [np.asarray(axes.transData.transform((x, y)), np.float64) for _, x, y in points]
    taken: list[Any] = []
    for i, (alpha, x, y) in enumerate(points):
        along = spots[min(i + 1, len(spots) - 1)] - spots[max(i - 1, 0)]
        length = float(np.hypot(*along))
        away = np.array([along[1], -along[0]]) / length if length > 0.0 else np.array([1.0, 0.0])
        away = away if away[0] >= away[1] else -away
        reach = _REACH_PX
        while any(np.abs(spots[i] + reach * away - other).max() < _LABEL_PX for other in [*taken, *spots[i + 1 :]]):
            reach += _LABEL_PX / 2.0
        taken.append(spots[i] + reach * away)
        line = {"arrowstyle": "-", "color": "#b6bbc2", "linewidth": 0.7, "shrinkA": 6, "shrinkB": 4}
        offset = tuple(reach * away * 72.0 / axes.figure.dpi)
        axes.annotate(
            f"{alpha:g}", (x, y), offset, textcoords="offset points", ha="center", va="center", fontsize=8.5,
            color="#3c4043", arrowprops=line if reach > 2 * _REACH_PX else None,
        )  # fmt: skip


def draw_crops(crops: Sequence[tuple[float, Triple]], path: Path) -> None:
    """One crop as LR, through the networks of `crops` in order of alpha, and as HR, four per row; values are those of
    the crop.
    """
    _, first = crops[0]
    factor = first.hr.shape[0] // first.lr.shape[0]
    panels = [Panel(enlarge_nearest(first.lr, factor), "LR", first.name)]
    panels += [Panel(triple.sr, f"α = {alpha:g}", words_of_psnr(triple)) for alpha, triple in crops]
    panels.append(Panel(first.hr, "HR"))
    lines = [panels[i : i + 4] for i in range(0, len(panels), 4)]
    write_png(path, contact_sheet(lines, "from the PSNR network (α = 0) to the GAN network (α = 1)"))
