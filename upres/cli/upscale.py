"""`upres upscale`: build a `Request`, run its jobs, report the results."""

from __future__ import annotations

from typing import Annotated

import typer

from upres.cli import collection_options as more
from upres.cli.engine_options import (
    SPEED_PANEL,
    DeviceOption,
    Engine,
    EngineOption,
    MemoryOption,
    NiceOption,
    Precision,
    PrecisionOption,
    plain,
)
from upres.cli.errors import DEBUG_HELP, ISOLATE_HELP, debug_enabled, run_verb
from upres.cli.process import importing
from upres.cli.size_options import (
    LOOK_PANEL,
    RESULT_PANEL,
    BlendOption,
    Chroma,
    HeightOption,
    LongSideOption,
    MegapixelsOption,
    WidthOption,
)
from upres.cli.values import format_name, parse_pixels, parse_tile
from upres.errors import UsageError

_RESULT, _MODEL, _LOOK, _SPEED, _FILES = RESULT_PANEL, "Model", LOOK_PANEL, SPEED_PANEL, "Files"


def upscale(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Pictures, folders, .zip, .cbz, .epub, .tar, .pdf; - is standard input."),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            *("-o", "--out"),
            metavar="OUT",
            help="Output file, folder (created if needed), or - for stdout. Default: NAME_x4.png beside each input.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    factor: Annotated[
        float | None,
        typer.Option(
            *("--scale", "-s"),
            metavar="FACTOR",
            help="Scale factor, such as 4 or 2.5; 1 cleans a picture at its own size. Default: the scale of the model.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    width: WidthOption = None,
    height: HeightOption = None,
    long_side: LongSideOption = None,
    megapixels: MegapixelsOption = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="png, jpeg, webp, tiff, avif, heic, jxl, jp2, exr, ... Default: by the suffix of -o, or png.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(
            "--quality",
            min=1,
            max=100,
            metavar="1-100",
            help="Quality of JPEG, WebP, AVIF, HEIC and JPEG XL. Default: of a JPEG from a JPEG that of the source.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    chroma: Annotated[
        Chroma | None,
        typer.Option(
            "--chroma",
            help="Resolution of color in a JPEG: 444 full, 420 half. Default: that of the source.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    target_kb: Annotated[
        int | None,
        typer.Option(
            "--target-size",
            min=1,
            metavar="KB",
            help="The highest quality, up to --quality, whose file has at most so many kilobytes (1,000 bytes).",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    png_level: Annotated[
        int | None,
        typer.Option(
            "--png-level",
            min=0,
            max=9,
            metavar="0-9",
            help="PNG compression level: 0 is fastest, 9 smallest.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            *("-n", "--model"),
            metavar="NAME|FILE",
            help="Model name or file, blend (a:0.7,b:0.3) or chain ('a>b'). Default: auto, what fits each picture.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    denoise: Annotated[
        float | None,
        typer.Option(
            "--denoise",
            metavar="0..1",
            help="Denoising strength, by a blend of -n with its twin that keeps noise: 1 removes most noise.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    denoise_with: Annotated[
        str | None,
        typer.Option(
            "--denoise-with",
            metavar="FILE",
            help="The twin that keeps noise, for models other than realesr-general-x4v3.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    tta: Annotated[
        bool,
        typer.Option(
            "--tta", help="Average over eight rotations and flips; takes 8 times as long.", rich_help_panel=_LOOK
        ),
    ] = False,
    blend: BlendOption = 1.0,
    color_lock: Annotated[
        bool,
        typer.Option(
            "--color-lock",
            help="Keep the colors of the input over large areas; GAN models shift them.",
            rich_help_panel=_LOOK,
        ),
    ] = False,
    wrap: Annotated[
        bool, typer.Option("--wrap", help="Treat the picture as a seamless texture.", rich_help_panel=_LOOK)
    ] = False,
    allow_generative: Annotated[
        bool,
        typer.Option(
            "--allow-generative",
            help="Let models that invent detail run on measured data (GeoTIFF, DICOM, NIfTI).",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    true_size: Annotated[
        bool,
        typer.Option(
            "--true-size",
            help="First reduce pictures that hold less detail than their pixels say: soft scans, enlarged pictures.",
            rich_help_panel=_LOOK,
        ),
    ] = False,
    engine: EngineOption = Engine.auto,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.auto,
    threads: Annotated[
        int,
        typer.Option(
            "--threads",
            min=0,
            metavar="N",
            help="Threads for networks and codecs; 0: one per core.",
            rich_help_panel=_SPEED,
        ),
    ] = 0,
    nice: NiceOption = False,
    memory_bytes: MemoryOption = None,
    tile_px: Annotated[
        str,
        typer.Option(
            "--tile",
            metavar="auto|PX",
            help="Tile size in input pixels; auto: by the free memory.",
            rich_help_panel=_SPEED,
        ),
    ] = "auto",
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="Make tiled results equal to untiled ones to the bit (slower).", rich_help_panel=_SPEED
        ),
    ] = False,
    recursive: Annotated[
        bool,
        typer.Option(
            "-r", "--recursive", help="Include subfolders; the output has the same tree.", rich_help_panel=_FILES
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace existing results, which are kept otherwise.", rich_help_panel=_FILES),
    ] = False,
    invented: more.InventedOption = None,
    books: more.BooksOption = False,
    shard: more.ShardOption = None,
    retry_failed: more.RetryOption = False,
    processes: more.ProcessesOption = 1,
    ray: more.RayOption = None,
    no_provenance: more.NoProvenanceOption = False,
    sidecar: more.SidecarOption = False,
    c2pa: more.C2paOption = None,
    as_json: more.JsonOption = False,
    max_pixels: Annotated[
        str,
        typer.Option(
            "--max-pixels",
            metavar="N",
            help="Largest allowed output, in pixels; 500M is 500 megapixels.",
            rich_help_panel=_FILES,
        ),
    ] = "1000M",
    isolate: Annotated[bool, typer.Option("--isolate", help=ISOLATE_HELP, rich_help_panel=_FILES)] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Upscale pictures. Without -o, results are written beside the inputs as NAME_x4.png.

    Existing results are kept unless --overwrite is given; inputs are never overwritten. Run the same command again to
    resume a job.

    \b
    Examples:
      upres upscale photo.jpg
      upres upscale holiday -r -s 2 -o large
    """
    given = dict(locals())  # by the parameter names of the library

    def work() -> int:
        with importing():
            from upres.batch.job import Encoding
            from upres.batch.request import CollectionOptions, Request
            from upres.cli.upscale_job import run_request
            from upres.system.memory import of_process
            from upres.system.text import parse_bytes
            from upres.upscaling.choose_model import AUTO
            from upres.upscaling.options import OPTION_FIELDS, UpscaleOptions
            from upres.upscaling.output_size import OutputSize

        if "" in inputs or out == "":
            raise UsageError("an input or -o is an empty string (an unset variable?); name a picture, a folder or -")
        given["tile_px"] = parse_tile(tile_px)
        given["memory_bytes"] = None if memory_bytes is None else of_process(parse_bytes(memory_bytes))
        request = Request(
            inputs=tuple(inputs),
            out=out,
            size=OutputSize(factor, width, height, long_side, megapixels),
            model=None if model == AUTO else model,
            options=UpscaleOptions().replace(**{name: plain(given[name]) for name in OPTION_FIELDS if name in given}),
            format=format_name(format),
            max_pixels=parse_pixels(max_pixels),
            overwrite=overwrite,
            recursive=recursive,
            books=books,
            allow_generative=allow_generative,
        )
        if nice:
            from upres.system.priority import lower_priority

            lower_priority()
        encoding = Encoding(
            quality,
            png_level,
            target_kb,
            None if chroma is None else chroma.value,
            provenance=not no_provenance,
            sidecar=sidecar,
            c2pa=c2pa,
            invented=invented,
        )
        debugging = debug or debug_enabled()
        collection = CollectionOptions(shard, retry_failed, processes, ray)
        return run_request(request, encoding, collection, as_json, debugging)

    run_verb(work, debug, isolate=isolate)
