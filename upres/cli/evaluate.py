"""`upres evaluate`: find the pairs, load the models, measure them, print a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.engine_options import SPEED_PANEL, DeviceOption, Engine, Precision, PrecisionOption
from upres.cli.errors import DEBUG_HELP, DONE, INPUT_FAILED, run_verb, say
from upres.cli.progress import JobProgress, counted
from upres.errors import OutputError

if TYPE_CHECKING:
    from upres.engines.options import EngineOptions
    from upres.evaluation.tables import Evaluation
    from upres.images.pairing import FilePair

_PICTURES, _FIGURES = "Pictures", "Models and figures"


def evaluate(
    hr: Annotated[
        Path,
        typer.Option(
            "--hr", metavar="DIR", help="Folder of HR pictures, without subfolders.", rich_help_panel=_PICTURES
        ),
    ],
    scale: Annotated[
        int, typer.Option("--scale", "-s", metavar="N", help="Scale to measure.", rich_help_panel=_PICTURES)
    ],
    lr: Annotated[
        Path | None,
        typer.Option(
            "--lr",
            metavar="DIR",
            help="Folder of LR pictures, named like HR, or NAMEx4. Default: cubic resize of HR.",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            *("-n", "--model"),
            metavar="NAME|FILE",
            help="Model name or file; may be repeated. Bicubic is always measured.",
            rich_help_panel=_FIGURES,
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Also write the results and the protocol to this file.",
            rich_help_panel=_FIGURES,
        ),
    ] = None,
    round_luma: Annotated[
        bool,
        typer.Option(
            "--round-luma",
            help="Round Y to whole levels, as older papers do (Set5 bicubic x4: SSIM .8102 instead of .8113).",
            rich_help_panel=_FIGURES,
        ),
    ] = False,
    niqe: Annotated[
        bool,
        typer.Option(
            "--niqe",
            help="Also measure NIQE, for HR too; its parameters (12 kB) are downloaded once.",
            rich_help_panel=_FIGURES,
        ),
    ] = False,
    niqe_parameters: Annotated[
        Path | None,
        typer.Option(
            "--niqe-parameters",
            metavar="FILE",
            help="Measure NIQE with the parameters in this file (.npz).",
            rich_help_panel=_FIGURES,
        ),
    ] = None,
    lr_psnr: Annotated[
        bool,
        typer.Option(
            "--lr-psnr",
            help="Also measure the PSNR of LR and the downscaled SR: is it still the same picture?",
            rich_help_panel=_FIGURES,
        ),
    ] = False,
    engine: Annotated[
        Engine | None,
        typer.Option(
            "--engine",
            help="Inference engine. Default: ncnn on all machines, for comparable results.",
            rich_help_panel=SPEED_PANEL,
        ),
    ] = None,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = Precision.fp32,
    threads: Annotated[
        int,
        typer.Option(
            "--threads", min=0, metavar="N", help="Threads for networks; 0: one per core.", rich_help_panel=SPEED_PANEL
        ),
    ] = 0,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Measure models as papers do: PSNR and SSIM on Y and RGB, border = scale, with bicubic, per picture and mean.

    \b
    Examples:
      upres evaluate --hr Set5 --scale 4 -n compact-x4
      upres evaluate --hr HR --lr LR_x4 --scale 4 -n mine.pth --json figures.json
    """

    def work() -> int:
        import json
        from functools import partial

        from upres.engines.options import EngineOptions
        from upres.evaluation.evaluate import evaluate as measure_pairs
        from upres.evaluation.tables import format_table
        from upres.images.pairing import check_scale, check_sizes, find_pairs
        from upres.metrics.niqe import fetch_parameters
        from upres.system.files import write_atomic

        check_scale(scale)
        if json_file is not None and (json_file.is_dir() or not json_file.absolute().parent.is_dir()):
            raise OutputError(f"--json expects a file in a folder that exists, got {json_file}")
        pairs = find_pairs(hr, lr, scale)
        check_sizes(pairs, scale)  # reads headers only, before models are opened or files downloaded
        parameters = fetch_parameters(niqe_parameters) if niqe or niqe_parameters is not None else None
        measure = partial(measure_pairs, scale=scale, round_luma=round_luma, niqe=parameters, lr_psnr=lr_psnr)
        options = EngineOptions("auto" if engine is None else engine.value, device, precision.value, threads)
        result = _measure(measure, pairs, models or (), scale, options, choose_engine=engine is None)
        print(format_table(result), flush=True)
        if json_file is not None:
            text = json.dumps(result.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
            write_atomic(json_file, (text + "\n").encode())
        for note in dict.fromkeys(result.notes):
            say(f"note: {note}")
        if result.failed:
            say(f"{len(result.failed)} of {len(pairs)} pictures failed and are left out of all rows:")
            for name, reason in result.failed.items():
                say(f"  {reason}" if name in reason else f"  {name}: {reason}")
        return INPUT_FAILED if result.failed else DONE

    run_verb(work, debug)


def _measure(
    measure: Callable[..., Evaluation],
    pairs: list[FilePair],
    names: Sequence[str],
    scale: int,
    options: EngineOptions,
    *,
    choose_engine: bool,
) -> Evaluation:
    """Call `measure(pairs, upscalers, progress=...)` with the named models opened.

    choose_engine: Use ncnn, so that results do not depend on the machine.
    """
    from contextlib import ExitStack

    from upres.cli.download import have_models
    from upres.evaluation.evaluate import BICUBIC, check_models
    from upres.evaluation.open_models import open_upscalers

    named = [name for name in names if name != BICUBIC]  # always measured
    have_models(named)
    with ExitStack() as stack:
        upscalers = open_upscalers(named, options, stack, choose_engine=choose_engine)
        check_models(upscalers, scale)
        with JobProgress("measuring", len(pairs), counted("pictures")) as job:
            return measure(pairs, upscalers, progress=job.update)
