"""What a run shows while it trains: TensorBoard, Weights & Biases on request, fixed crops as LR | SR | HR, and curves.

Only rank 0 writes. Nothing here changes a weight or synchronizes with a GPU.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from upres.metrics.psnr_ssim import psnr
from upres.training.data.images import Levels, Pair
from upres.training.monitoring.contact_sheet import Panel, contact_sheet, enlarge_nearest, missing_to_plot, write_png
from upres.training.monitoring.curves import CURVE, plot_curves
from upres.training.monitoring.thread_errors import told_once
from upres.training.monitoring.validation import Quality, enlarge
from upres.training.monitoring.weights_and_biases import WandbLog
from upres.training.run import Run

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_ILLEGAL = re.compile(r"[^-/\w.]+")  # in TensorBoard's names


@dataclass(frozen=True)
class Triple:
    """One crop: `lr` `h w c`, `sr` and `hr` `h*scale w*scale c`, all uint8 or all uint16."""

    name: str
    lr: Levels
    sr: Levels
    hr: Levels


class TrainingMonitor:
    """Writes the TensorBoard log, `crops/` and `curves.png` to the run's folder, on rank 0; a context manager.

    run: the run.
    first: completed steps; later entries in the log, of a process that broke off, are hidden.
    crops: how many crops to show, chosen from the held-out pairs and the same throughout the run and its resumptions.
    crop_px: their side.

    Without TensorBoard or the plotting libraries, training goes on, and one message says what is not written.
    """

    def __init__(self, run: Run, first: int, *, crops: int = 4, crop_px: int = 128) -> None:
        self._folder = run.folder
        self._pairs = run.held_out
        self._places: list[tuple[int, int, int]] = []
        self._crop_px = crop_px
        self._writer: SummaryWriter | None = None
        self._wandb: WandbLog | None = None
        self._plots = False
        self._quiet = ExitStack()
        if run.ranks.rank > 0:
            return
        if find_spec("tensorboard") is None:
            run.say(
                "tensorboard is not installed: no scalars are logged (validation.jsonl is written). pip install "
                "tensorboard"
            )
        else:
            from torch.utils.tensorboard import SummaryWriter

            self._quiet.enter_context(told_once())
            try:
                self._writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=first + 1)
            except BaseException:
                self._quiet.close()
                raise
        if run.config.wandb:
            self._wandb = WandbLog(run)
        missing = missing_to_plot()
        self._plots = not missing
        if missing:
            run.say(
                f"{' and '.join(missing)} not installed: no crops and curves are drawn. pip install {' '.join(missing)}"
            )
        else:
            self._places = choose_crops(run.held_out, crops, crop_px)

    def __enter__(self) -> TrainingMonitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
            if self._wandb is not None:
                self._wandb.close()
        finally:
            self._quiet.close()

    def back_to(self, step: int) -> None:
        """The run returns to `step`: hide what was logged after it."""
        if self._writer is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer.close()
            self._writer = SummaryWriter(str(self._folder / "tensorboard"), purge_step=step + 1)

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Log values by name, such as "loss/pixel"; None is skipped."""
        known = {_ILLEGAL.sub("_", name): value for name, value in values.items() if value is not None}
        if self._writer is not None:
            for name, value in known.items():
                self._writer.add_scalar(name, value, step)
        if self._wandb is not None and known:
            self._wandb.scalars(step, known)

    def step(
        self, step: int, terms: Mapping[str, float], learning_rate: float, milliseconds: Mapping[str, float]
    ) -> None:
        """Log a step.

        "D(real)" and "D(fake)" are the discriminator's outputs; any other term without a group is a loss.
        """
        named = {re.sub(r"^D\((\w+)\)$", r"discriminator/\1", name): value for name, value in terms.items()}
        self.scalars(step, {name if "/" in name else f"loss/{name}": value for name, value in named.items()})
        self.scalars(
            step,
            {"learning_rate": learning_rate, **{f"milliseconds/{name}": value for name, value in milliseconds.items()}},
        )

    def validation(self, step: int, quality: Quality | None, net: nn.Module) -> None:
        """Log a validation, draw the crops with `net`, and plot the curves so far."""
        if quality is None:
            return
        self.scalars(step, {f"validation/{name}": value for name, value in flat(quality).items()})
        self.crops(step, cut(net, self._pairs, self._places, self._crop_px))
        if self._plots and (self._folder / CURVE).exists():
            plot_curves(self._folder)

    def crops(self, step: int, triples: Sequence[Triple]) -> None:
        """Draw `crops/step_000001000.png`, and log it to TensorBoard."""
        if not self._plots or not triples:
            return
        sheet = contact_sheet([_row(triple) for triple in triples], f"step {step:,}")
        write_png(self._folder / "crops" / f"step_{step:09d}.png", sheet)
        if self._writer is not None:
            self._writer.add_image("validation/crops", sheet, step, dataformats="HWC")
        if self._wandb is not None:
            self._wandb.image(step, "validation/crops", sheet)


def flat(quality: Quality) -> dict[str, float | None]:
    """The values by name, with the color shift of each channel."""
    figures = dict(vars(quality))
    shift: tuple[float, float, float] = figures.pop("color_shift_255")
    return figures | {
        f"color_shift_255/{name}": value for name, value in zip(("red", "green", "blue"), shift, strict=True)
    }


def _row(triple: Triple) -> list[Panel]:
    factor = triple.hr.shape[0] // triple.lr.shape[0]
    return [
        Panel(enlarge_nearest(triple.lr, factor), "LR", triple.name),
        Panel(triple.sr, "SR", words_of_psnr(triple)),
        Panel(triple.hr, "HR"),
    ]


def words_of_psnr(triple: Triple) -> str:
    """PSNR of a crop, on Y, or for gray pictures on their own pixels."""
    color = triple.hr.shape[2] == 3
    return f"{psnr(triple.sr, triple.hr, border=0, luma=color):.2f} dB" + (" (Y)" if color else "")


def choose_crops(pairs: Sequence[Pair], count: int, crop_px: int) -> list[tuple[int, int, int]]:
    """The most textured crop of each of `count` pictures spread over `pairs`: (index of the pair, y, x), in HR pixels
    on the LR grid.

    Texture is the mean of sqrt(|gradient of green or gray|); the root favors many fine edges over one hard edge between
    flat areas. With fewer pictures than crops, a picture gives several that do not overlap, as far as it has room.
    `crop_px` is rounded down to a multiple of the scale; smaller pictures are shown whole.
    """
    shared = min(count, len(pairs))
    chosen = [len(pairs) * i // shared for i in range(shared)] if shared else []
    places: list[tuple[int, int, int]] = []
    for order, index in enumerate(chosen):
        wanted = count // shared + (order < count % shared)
        places += [(index, y, x) for y, x in _textured(pairs[index], wanted, crop_px)]
    return places


def _textured(pair: Pair, count: int, crop_px: int) -> list[tuple[int, int]]:
    scale = pair.hr.shape[0] // pair.stored_lr.shape[0]
    height, width = (min(crop_px // scale * scale, side) for side in pair.hr.shape[:2])
    green = pair.hr[:, :, pair.hr.shape[2] // 2].astype(np.float64)
    down, right = np.diff(green, axis=0, append=green[-1:]), np.diff(green, axis=1, append=green[:, -1:])
    total = np.zeros((green.shape[0] + 1, green.shape[1] + 1))
    total[1:, 1:] = np.sqrt(np.hypot(down, right)).cumsum(axis=0).cumsum(axis=1)
    score = (total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width])[
        ::scale, ::scale
    ]
    rows, columns = (np.arange(side) * scale for side in score.shape)
    places: list[tuple[int, int]] = []
    while len(places) < count and np.isfinite(score).any():
        y, x = (int(i) * scale for i in np.unravel_index(np.argmax(score), score.shape))
        places.append((y, x))
        overlap = (np.abs(rows - y) < height)[:, None] & (np.abs(columns - x) < width)
        score = np.where(overlap, -np.inf, score)
    return places


def cut(net: nn.Module, pairs: Sequence[Pair], places: Sequence[tuple[int, int, int]], crop_px: int) -> list[Triple]:
    """The crops at `places`, from `choose_crops`.

    `net` runs on whole pictures, so that crops have their true surroundings.
    """
    enlarged: dict[int, Levels] = {}
    triples: list[Triple] = []
    for index, y, x in places:
        pair = pairs[index]
        if index not in enlarged:
            enlarged[index] = enlarge(net, pair.stored_lr)
        scale = pair.hr.shape[0] // pair.stored_lr.shape[0]
        side = crop_px // scale * scale
        small = pair.stored_lr[y // scale : (y + side) // scale, x // scale : (x + side) // scale]
        triples.append(
            Triple(pair.name, small, enlarged[index][y : y + side, x : x + side], pair.hr[y : y + side, x : x + side])
        )
    return triples
