"""`upres evaluate`: find the sets, load the models, measure them, print a table."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from upres.cli.engine_options import ComparedEngineOption, DeviceOption, Precision, PrecisionOption, ThreadsOption
from upres.cli.errors import DEBUG_HELP, ISOLATE_HELP, run_verb
from upres.cli.streams import put
from upres.errors import OutputError, UsageError
from upres.system.text import json_text

_PICTURES, _MODELS, _FIGURES, _RESULT = "Pictures", "Models", "Figures", "Result"


class Backbone(enum.StrEnum):
    """The networks of LPIPS."""

    alex = "alex"
    vgg = "vgg"
    squeeze = "squeeze"


class Format(enum.StrEnum):
    """Formats of the printed table."""

    text = "text"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"


def evaluate(
    scale: Annotated[
        int | None,
        typer.Option("--scale", "-s", metavar="N", help="Scale to measure.", rich_help_panel=_PICTURES),
    ] = None,
    hr: Annotated[
        Path | None,
        typer.Option(
            "--hr", metavar="DIR", help="Folder of HR pictures, without subfolders.", rich_help_panel=_PICTURES
        ),
    ] = None,
    lr: Annotated[
        Path | None,
        typer.Option(
            "--lr",
            metavar="DIR",
            help="Folder of LR pictures, named like HR, or NAMEx4. Default: cubic resize of HR. Without --hr only "
            "measures that need no HR are taken.",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    video: Annotated[
        bool,
        typer.Option(
            "--video",
            help="--hr, --lr and --sr name videos: PSNR, SSIM, flicker, and VMAF where ffmpeg has libvmaf.",
            rich_help_panel=_PICTURES,
        ),
    ] = False,
    ffmpeg: Annotated[
        Path | None,
        typer.Option(
            "--ffmpeg",
            metavar="FILE",
            help="An ffmpeg with libvmaf, for --video. Default: the one in the search path.",
            rich_help_panel=_FIGURES,
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=DIR",
            help="A set by name, instead of --hr; may be repeated. NAME=HR,LR has LR of its own.",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            *("-n", "--model"),
            metavar="NAME|FILE",
            help="Model name or file; may be repeated. Bicubic is always measured. A run folder stands for its best "
            "model, RUN@STEP for that of a step, 'RUN@*' for all that were kept.",
            rich_help_panel=_MODELS,
        ),
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--sr",
            metavar="NAME=DIR",
            help="Results of another program for the pictures of the only set; may be repeated.",
            rich_help_panel=_MODELS,
        ),
    ] = None,
    join: Annotated[
        list[Path] | None,
        typer.Option(
            "--join",
            metavar="FILE",
            help="Add the rows of an earlier --json; may be repeated. Sets must be the same.",
            rich_help_panel=_MODELS,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="NAME",
            help="Also print the differences from this model, paired by picture.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    table_format: Annotated[
        Format, typer.Option("--format", help="Format of the printed table.", rich_help_panel=_RESULT)
    ] = Format.text,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Also plot quality against speed and size, and perception against distortion (.png, .svg).",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Also write the results and the protocol to this file.",
            rich_help_panel=_RESULT,
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
    ms_ssim: Annotated[
        bool,
        typer.Option(
            "--ms-ssim", help="Also measure MS-SSIM (pictures of 176 pixels or more).", rich_help_panel=_FIGURES
        ),
    ] = False,
    high_band: Annotated[
        bool,
        typer.Option(
            "--high-band",
            help="Also measure the spectral energy above LR's band: 1 is as much as HR has.",
            rich_help_panel=_FIGURES,
        ),
    ] = False,
    lpips: Annotated[
        Backbone | None,
        typer.Option(
            "--lpips",
            help="Also measure LPIPS in this network; its weights are downloaded once.",
            rich_help_panel=_FIGURES,
        ),
    ] = None,
    dists: Annotated[
        bool,
        typer.Option(
            "--dists", help="Also measure DISTS; VGG-16 (553 MB) is downloaded once.", rich_help_panel=_FIGURES
        ),
    ] = False,
    backbones: Annotated[
        Path | None,
        typer.Option(
            "--backbones",
            metavar="DIR",
            help="Folder with the published files of --lpips and --dists, instead of downloads.",
            rich_help_panel=_FIGURES,
        ),
    ] = None,
    engine: ComparedEngineOption = None,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = Precision.fp32,
    threads: ThreadsOption = 0,
    isolate: Annotated[bool, typer.Option("--isolate", help=ISOLATE_HELP, rich_help_panel=_PICTURES)] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Measure models as papers do: PSNR and SSIM on Y and RGB, border = scale, with bicubic, means and intervals.

    \b
    Examples:
      upres evaluate --hr Set5 --scale 4 -n compact-x4
      upres evaluate --set Set5=Set5 --set Set14=Set14 -s 4 -n compact-x4 -n mine.pth --against compact-x4
      upres evaluate --video --hr clip.mp4 -s 2 -n compact-x2 --sr other=their-x2.mp4
    """

    def work() -> int:

        from upres.cli.evaluate_job import find_picture_sets, load_distances, measure_sets, tell
        from upres.cli.evaluate_video import evaluate_video
        from upres.engines.options import EngineOptions
        from upres.evaluation.measures import Measures
        from upres.evaluation.plot import check_plot, draw_plot
        from upres.evaluation.report import join_reports, read_report
        from upres.evaluation.summary import FORMATS, differences, summary
        from upres.evaluation.tables import format_table
        from upres.metrics.niqe import fetch_parameters
        from upres.system.files import write_atomic

        for option, file in (("--json", json_file), ("--plot", plot)):
            if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
                raise OutputError(f"{option} expects a file in a folder that exists, got {file}")
        if plot is not None:
            check_plot(plot.name)
        if ffmpeg is not None and not video:
            raise UsageError("`ffmpeg` is for videos; set `video` too")
        if video:
            pictures_only = (sets, join, against, plot, niqe_parameters, lpips, backbones)
            if any(pictures_only) or any((round_luma, niqe, lr_psnr, ms_ssim, high_band, dists)):
                raise UsageError("`video` goes with hr, lr, others, model, scale, format, json and the engine only")
            options = EngineOptions("auto" if engine is None else engine.value, device, precision.value, threads)
            return evaluate_video(
                hr, lr, others or (), models or (), scale, ffmpeg, options, table_format.value, json_file,
                choose_engine=engine is None,
            )  # fmt: skip
        reports = [read_report(path) for path in join or ()]
        if hr is not None or lr is not None or sets or not reports:
            if scale is None:
                raise UsageError("`scale` is missing: name the scale to measure, such as 4")
            found = find_picture_sets(scale, hr, lr, sets or (), others or ())
            parameters = fetch_parameters(niqe_parameters) if niqe or niqe_parameters is not None else None
            blind = hr is None and not sets  # LR alone: there is nothing else to measure by default
            distances = load_distances(None if lpips is None else lpips.value, dists, backbones)
            measures = Measures(scale, round_luma, parameters, lr_psnr or blind, ms_ssim, high_band, *distances)
            options = EngineOptions("auto" if engine is None else engine.value, device, precision.value, threads)
            reports.insert(0, measure_sets(found, models or (), scale, measures, options, choose_engine=engine is None))
        report = join_reports(reports)
        table = summary(report)
        paired = None if against is None else differences(report, against)
        write = FORMATS[table_format.value]
        if len(report.sets) == 1 and table_format is Format.text:
            put(format_table(next(iter(report.sets.values()))) + "\n")
        put(write(table))
        if paired is not None:
            put("\n" + write(paired))
        if json_file is not None:
            text = json_text(report.to_json(), indent=2)
            write_atomic(json_file, (text + "\n").encode())
        if plot is not None:
            write_atomic(plot, draw_plot(report, plot.name))
        return tell(report)

    run_verb(work, debug, isolate=isolate)
