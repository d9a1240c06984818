"""`upres video`: build a `VideoRequest`, run it, report the result."""

from __future__ import annotations

from typing import Annotated

import typer

from upres.cli.engine_options import (
    DeviceOption,
    Engine,
    EngineOption,
    MemoryOption,
    NiceOption,
    Precision,
    PrecisionOption,
    ThreadsOption,
    plain,
)
from upres.cli.errors import DEBUG_HELP, debug_enabled, run_verb
from upres.cli.size_options import LOOK_PANEL, RESULT_PANEL, BlendOption, HeightOption, WidthOption
from upres.errors import UsageError

_RESULT, _MODEL, _LOOK, _PART = RESULT_PANEL, "Model", LOOK_PANEL, "Part and files"


def video(
    source: Annotated[
        str,
        typer.Argument(metavar="VIDEO", help="The video; pictures (a folder, or frames/%05d.png); - is y4m on stdin."),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            *("-o", "--out"),
            metavar="FILE",
            help="Output .mp4, .mov, .mkv or .webm; frames/%05d.png; - is y4m on stdout; .html of a --preview. "
            "Default: NAME_x2 beside it.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    factor: Annotated[
        float | None,
        typer.Option(
            *("--scale", "-s"),
            metavar="FACTOR",
            help="Scale factor, such as 2 or 1.5; 1 cleans at the same size. Default: 2.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    width: WidthOption = None,
    height: HeightOption = None,
    codec: Annotated[
        str | None,
        typer.Option(
            "--codec",
            metavar="NAME",
            help="h264, hevc, av1, vp9, ffv1 or prores. Default: h264 for 8 bits, hevc for more.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(
            "--crf",
            metavar="N",
            help="Constant quality, 0 is best. Default: 16 for h264, 18 hevc, 20 vp9, 24 av1.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    pix_fmt: Annotated[
        str | None,
        typer.Option(
            "--pix-fmt",
            metavar="NAME",
            help="Format of pixels, such as yuv420p10le. Default: the source's, or the nearest of the codec.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            *("-n", "--model"),
            metavar="NAME|FILE",
            help="Model name or file, blend (a:0.7,b:0.3) or chain ('a>b'). Default: auto, what fits the video.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    denoise: Annotated[
        float | None,
        typer.Option(
            "--denoise",
            metavar="0..1",
            help="Denoising strength, by a blend of -n with its twin that keeps noise.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    blend: BlendOption = 1.0,
    color_lock: Annotated[
        bool,
        typer.Option("--color-lock", help="Keep the colors of the source over large areas.", rich_help_panel=_LOOK),
    ] = False,
    steady: Annotated[
        float,
        typer.Option(
            "--steady",
            metavar="0..1",
            help="Less flicker: largest weight of the frame before, where the source does not change. Default: off.",
            rich_help_panel=_LOOK,
        ),
    ] = 0.0,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="TIME", help="Begin here: seconds or h:mm:ss.", rich_help_panel=_PART),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--end", metavar="TIME", help="End here: seconds or h:mm:ss.", rich_help_panel=_PART),
    ] = None,
    preview: Annotated[
        str | None,
        typer.Option(
            "--preview",
            metavar="SECONDS",
            help="Make so many seconds, from --start or the middle: bicubic, -n and --against side by side.",
            rich_help_panel=_PART,
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="NAME|FILE",
            help="Another model of a --preview; may be repeated.",
            rich_help_panel=_PART,
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate",
            metavar="FPS",
            help="Frames a second of pictures, such as 24 or 30000/1001. Default: 25.",
            rich_help_panel=_PART,
        ),
    ] = None,
    segment_frames: Annotated[
        int,
        typer.Option(
            "--segment",
            metavar="FRAMES",
            help="Frames that are finished together: a crash costs no more than these.",
            rich_help_panel=_PART,
        ),
    ] = 120,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace a result, and forget an unfinished one.", rich_help_panel=_PART),
    ] = False,
    engine: EngineOption = Engine.auto,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.auto,
    threads: ThreadsOption = 0,
    nice: NiceOption = False,
    memory_bytes: MemoryOption = None,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Upscale a video. Every frame keeps its time; sound, subtitles, chapters and other tracks are copied untouched.

    Run the same command again after a crash or Ctrl-C: it goes on where it stopped.

    \b
    Examples:
      upres video clip.mp4
      upres video film.mkv -o film-4k.mkv -s 2 -n photo-x4 --codec hevc --crf 20
      upres video film.mkv --preview 10 -n compact-x2 --against photo-x4
    """
    given = dict(locals())  # by the parameter names of the library

    def work() -> int:
        from upres.system.packages import need
        from upres.system.text import parse_bytes
        from upres.upscaling.choose_model import AUTO
        from upres.upscaling.options import OPTION_FIELDS, UpscaleOptions
        from upres.upscaling.output_size import OutputSize

        if "" in (source, out):
            raise UsageError("the video or -o is an empty string (an unset variable?); name a file")
        need("video", "video")
        given["memory_bytes"] = None if memory_bytes is None else parse_bytes(memory_bytes)
        from upres.cli.video_job import run_request
        from upres.video.request import VideoRequest, parse_rate, parse_time

        request = VideoRequest(
            source,
            out=out,
            size=OutputSize(factor, width, height),
            model=None if model == AUTO else model,
            options=UpscaleOptions().replace(**{name: plain(given[name]) for name in OPTION_FIELDS if name in given}),
            codec=codec,
            crf=crf,
            pix_fmt=pix_fmt,
            start_s=None if start is None else parse_time(start, "start"),
            end_s=None if end is None else parse_time(end, "end"),
            segment_frames=segment_frames,
            preview_s=None if preview is None else parse_time(preview, "preview"),
            against=tuple(against or ()),
            rate=None if rate is None else parse_rate(rate),
            steady=steady,
            overwrite=overwrite,
        )
        if nice:
            from upres.system.priority import lower_priority

            lower_priority()
        return run_request(request, debug or debug_enabled())

    run_verb(work, debug)
