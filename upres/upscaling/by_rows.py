"""Enlarge a picture from the top: bands of levels, equal to the bit to those of `enlarge`, are made one by one.

What needs the whole picture (rotations, seamless borders, color lock, blend) stays with `enlarge`. Transparency and
turned pictures need the whole input, which is then in memory; the output is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from upres.images.icc import Levels
from upres.images.io import Picture, resized
from upres.images.levels import levels_to_write, levels_type
from upres.images.read_rows import PictureRows
from upres.images.rows import Rows, StreamedRows, WholeRows, resized_bands
from upres.upscaling.alpha import bleed, clamp_rows, is_constant, neighbor_limits
from upres.upscaling.checked_network import CheckedNetwork
from upres.upscaling.enlarge import bits_note, is_translucent
from upres.upscaling.levels import bits_in_use, bits_up_to, restore, stretched
from upres.upscaling.plan import Plan
from upres.upscaling.row_pass import Finish, run_rows
from upres.upscaling.tiled_run import Array, Meter


def enlarge_rows(
    source: Picture | PictureRows,
    networks: Sequence[CheckedNetwork],
    plan: Plan,
    format: str,
    meter: Meter,
) -> tuple[Picture, Iterator[Levels]]:
    """The result without its pixels, which are zeros, and its bands from the top, as `write_rows` takes them.

    source: The picture, in memory or decoded by rows.
    networks: The chain.
    plan: By rows.
    format: To write.
    meter: Of the progress.
    """
    whole = source if isinstance(source, Picture) else None
    picture = source.frame if isinstance(source, PictureRows) else source
    bits = bits_in_use(picture) if isinstance(source, Picture) else bits_up_to(picture, source.highest)
    pixels = np.broadcast_to(np.float32(0.0), (plan.height, plan.width, picture.pixels.shape[2]))
    alpha = None if picture.alpha is None else pixels[:, :, 0]
    frame = resized(picture, pixels, alpha)
    if bits is not None:
        frame = replace(frame, notes=(*frame.notes, bits_note(bits)))
    stages = _Stages(networks, plan, format, meter, frame, bits)
    if whole is None or whole.alpha is None:
        rows: Rows
        if isinstance(source, PictureRows):
            rows = source.rows(None if bits is None else lambda band: stretched(band, bits))
        else:
            rows = WholeRows(source.pixels if bits is None else stretched(source.pixels, bits))
        return frame, stages.colors(rows)
    return frame, stages.colors_and_alpha(whole)


class _Stages:
    """The networks and the resize, one after the other."""

    def __init__(
        self,
        networks: Sequence[CheckedNetwork],
        plan: Plan,
        format: str,
        meter: Meter,
        frame: Picture,
        bits: int | None,
    ) -> None:
        self._networks, self._plan, self._format, self._meter = networks, plan, format, meter
        self._frame, self._bits = frame, bits
        last = plan.passes[-1] if plan.passes else None
        scale = networks[last.place].graph.scale if last is not None else 1
        self._is_resized = last is None or (last.height * scale, last.width * scale) != (plan.height, plan.width)

    def colors(self, rows: Rows) -> Iterator[Levels]:
        """Levels of an opaque picture."""
        *before, last = self._plan.passes or (None,)
        if self._is_resized or last is None:
            for band in self._floats(rows):
                yield self._levels(band, None)
            return
        source = rows
        for step in before:
            assert step is not None
            source = self._stream(source, step.place, run_rows(self._networks[step.place], source, step, self._meter))
        dtype, channels = levels_type(self._frame, self._format)
        finish = Finish(lambda band: self._levels(band, None), dtype, channels)
        yield from run_rows(self._networks[last.place], source, last, self._meter, finish)

    def colors_and_alpha(self, picture: Picture) -> Iterator[Levels]:
        """Levels of a picture with alpha."""
        assert picture.alpha is not None
        pixels = picture.pixels if self._bits is None else stretched(picture.pixels, self._bits)
        translucent = is_translucent(picture)
        if translucent:
            pixels = bleed(pixels, picture.alpha, wrap=False)
        height, width = self._plan.height, self._plan.width
        limits = neighbor_limits(picture.alpha, wrap=False) if translucent else None
        edges: Rows | None = None
        if translucent:
            edges = StreamedRows((height, width, 1), self._floats(WholeRows(picture.alpha[:, :, None])))
        level = None if is_constant(picture.alpha) is False else picture.alpha.flat[0]
        top = 0
        for band in self._floats(WholeRows(pixels)):
            bottom = top + len(band)
            if edges is None or limits is None:
                alpha = np.full(band.shape[:2], level, np.float32)
            else:
                alpha = np.array(edges.read(top, bottom)[:, :, 0])
                if height < picture.alpha.shape[0]:  # reduced: an output pixel averages more than 3 x 3
                    alpha = np.clip(alpha, 0.0, 1.0)
                else:
                    clamp_rows(alpha, limits, top, height)
            yield self._levels(band, alpha)
            top = bottom

    def _floats(self, rows: Rows) -> Iterator[Array]:
        """All passes and the final resize."""
        bands: Iterator[Array] | None = None
        for step in self._plan.passes:
            bands = run_rows(self._networks[step.place], rows, step, self._meter)
            if step is not self._plan.passes[-1] or self._is_resized:
                rows = self._stream(rows, step.place, bands)
        return (
            resized_bands(rows, (self._plan.height, self._plan.width)) if self._is_resized or bands is None else bands
        )

    def _stream(self, rows: Rows, place: int, bands: Iterator[Array]) -> Rows:
        height, width, channels = rows.shape
        scale = self._networks[place].graph.scale
        return StreamedRows((height * scale, width * scale, channels), bands)

    def _levels(self, band: Array, alpha: Array | None) -> Levels:
        """The levels to write."""
        if self._bits is not None:
            band = np.array(band)  # results of tiles may be kept elsewhere
            restore(band, self._bits)
        return levels_to_write(replace(self._frame, pixels=band, alpha=alpha), self._format)
