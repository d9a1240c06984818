"""The plans of an `Upscaler`: of a picture that is whole in memory, and by rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from upres.errors import InputError
from upres.upscaling.checked_network import CheckedNetwork
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize
from upres.upscaling.plan import Extras, Plan, make_plan
from upres.upscaling.tiled_run import TURNS

if TYPE_CHECKING:
    from upres.upscaling.row_plan import RowJob

# By rows, larger tiles are hardly faster: they read less twice, but small ones stay in the caches, and memory is for
# other programs too. The second amount is for pictures so wide that the first leaves tiles that read too much.
USUAL_BYTES = (1000 << 20, 1800 << 20)
_MOST_WORK = 1.8  # times the pixels of the picture


@dataclass(frozen=True, slots=True)
class PictureSize:
    """An input: its size, channels of color (1 or 3), whether its alpha varies, bits per channel (8 or 16), and
    further bands.
    """

    height: int
    width: int
    channels: int = 3
    has_alpha: bool = False
    depth: int = 8
    bands: int = 0


def plan_whole(
    networks: Sequence[CheckedNetwork],
    options: UpscaleOptions,
    given: PictureSize,
    size: OutputSize,
    budget_bytes: int,
) -> Plan:
    """Plan a picture that is whole in memory. Raises `InputError` if it does not fit into `budget_bytes`."""
    first, *then = (network.cost for network in networks)
    return make_plan(
        first.graph,
        given.height,
        given.width,
        channels=given.channels,
        has_alpha=given.has_alpha,
        depth=given.depth,
        size=size,
        budget_bytes=budget_bytes,
        workspace_factor=first.workspace_factor,
        tile_px=options.tile_px,
        exact=options.engine_options.exact,
        grid_px=first.grid_px,
        device_bytes=first.device_bytes,
        max_tile_px=first.max_tile_px,
        workers=first.workers,
        fixed_bytes=first.fixed_bytes,
        most_rows=first.most_rows,
        then=tuple(then),
        bands=given.bands,
        extras=Extras(TURNS if options.tta else 1, options.wrap, options.color_lock or options.blend < 1.0),
    )


def plan_rows(networks: Sequence[CheckedNetwork], options: UpscaleOptions, job: RowJob, budget_bytes: int) -> Plan:
    """Plan a picture by rows: within `USUAL_BYTES` if it fits well and the options set no limit, else `budget_bytes`.

    Raises `InputError` as `make_row_plan` does.
    """
    from upres.upscaling.row_plan import make_row_plan

    chain = tuple(network.cost for network in networks)
    exact = options.engine_options.exact
    for usual in USUAL_BYTES if options.memory_bytes is None else ():
        try:
            plan = make_row_plan(chain, job, min(usual, budget_bytes), tile_px=options.tile_px, exact=exact)
        except InputError:  # it needs more
            continue
        if all(step.tiling.work <= _MOST_WORK for step in plan.passes):
            return plan
    return make_row_plan(chain, job, budget_bytes, tile_px=options.tile_px, exact=exact)


def whole_option(options: UpscaleOptions) -> str:
    """The option, as in messages, for which a picture must be whole in memory; empty if none is set."""
    found = {
        "true_size": options.true_size,
        "tta": options.tta,
        "wrap": options.wrap,
        "color_lock": options.color_lock,
        "blend": options.blend < 1.0,
    }
    return next((f"`{name}`" for name, needed in found.items() if needed), "")
