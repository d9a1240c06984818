"""`upres compare`: run models on the same pictures, write a contact sheet and a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.engine_options import ComparedEngineOption, DeviceOption, Precision, PrecisionOption, ThreadsOption
from upres.cli.errors import DEBUG_HELP, DONE, INPUT_FAILED, ISOLATE_HELP, run_verb, say
from upres.cli.progress import JobProgress, counted
from upres.cli.streams import put
from upres.errors import InputError, ModelError, OutputError, UpresError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from upres.comparison.compare import PictureFiles
    from upres.comparison.page import Page
    from upres.comparison.sheet import ContactSheet
    from upres.upscaling.upscaler import Upscaler

_PICTURES, _RESULT = "Pictures and models", "Result"
_NAMED = 8  # failures named in one message


def compare(
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PICTURE", help="LR pictures or folders of them (none: LR is made from --hr); or videos."
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            *("-n", "--model"),
            metavar="NAME,...",
            help="Models, by names or files with commas between them; may be repeated.",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    hr: Annotated[
        Path | None,
        typer.Option(
            "--hr",
            metavar="DIR",
            help="Folder of HR pictures named like LR: shown too, with PSNR and SSIM.",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            *("-o", "--out"),
            metavar="FILE",
            help="The contact sheet, .png or .pdf.",
            rich_help_panel=_RESULT,
        ),
    ] = Path("comparison.png"),
    page: Annotated[
        Path | None,
        typer.Option(
            "--page",
            metavar="FILE",
            help="The page, .html. Default: beside the sheet.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    no_page: Annotated[bool, typer.Option("--no-page", help="Write the sheet only.", rich_help_panel=_RESULT)] = False,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="X,Y,W,H",
            help="Crop of the sheet, in pixels of SR. Default: where the models differ most.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    paper: Annotated[
        bool,
        typer.Option(
            "--paper",
            help="A sheet for a paper: black on white, names only. -o FILE.pdf keeps text as text.",
            rich_help_panel=_RESULT,
        ),
    ] = False,
    invented: Annotated[
        bool,
        typer.Option(
            "--invented",
            help="Add a map for each model: how much of each place the LR picture does not vouch for.",
            rich_help_panel=_RESULT,
        ),
    ] = False,
    engine: ComparedEngineOption = None,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = Precision.fp32,
    threads: ThreadsOption = 0,
    isolate: Annotated[bool, typer.Option("--isolate", help=ISOLATE_HELP, rich_help_panel=_PICTURES)] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Compare models on pictures: a contact sheet of crops, and a page with slider, magnifier, flicker and difference.

    Of two or more finished videos a page is made whose slider always shows the same frame of both.

    \b
    Examples:
      upres compare photo.jpg -n compact-x4,photo-x4
      upres compare --hr Set5/HR -n compact-x4,compact-gan-x4 --paper -o figure.pdf --no-page
      upres compare one.mp4 two.mp4 --page videos.html
    """

    def work() -> int:
        from contextlib import ExitStack

        from upres.cli.compare_videos import are_videos, compare_videos
        from upres.cli.download import have_models
        from upres.comparison.compare import check_scales, find_picture_files
        from upres.comparison.crops import parse_box
        from upres.comparison.names import split_names
        from upres.engines.options import EngineOptions
        from upres.evaluation.open_models import open_models

        if are_videos(pictures or ()):
            if models or hr is not None or no_page or at is not None or paper or invented:
                raise UsageError(
                    "of videos only a page is made: no other option than `page` goes with them; models are compared on "
                    "a video by upres video --preview 10 -o page.html"
                )
            return compare_videos(pictures or (), page or out.with_suffix(".html"))
        names = split_names(models or ())
        box = None if at is None else parse_box(at)
        page_file = None if no_page else page or out.with_suffix(".html")
        _check_outputs(out, page_file)
        have_models(name for name in names if not Path(name).is_dir())
        options = EngineOptions("auto" if engine is None else engine.value, device, precision.value, threads)
        with ExitStack() as stack:
            opened = open_models(names, options, stack, choose_engine=engine is None)
            upscalers = {name: model.upscaler for name, model in opened.items()}
            scale = check_scales(upscalers)
            files = find_picture_files(pictures or (), hr, scale)
            from upres.comparison.names import short_names
            from upres.comparison.page import Page
            from upres.comparison.sheet import ContactSheet

            labels = short_names(names)
            title = f"x{scale}: " + ", ".join(labels.values())
            sheet = ContactSheet(title, labels, paper=paper, at=box)
            built = None if page_file is None else Page(title, labels, scale, len(files))
            failed, notes = _compare_all(files, upscalers, scale, sheet, built, invented)
        _write(out, page_file, sheet, built)
        for note in dict.fromkeys(notes):
            say(f"note: {note}")
        if failed:
            say(f"{len(failed)} of {len(files)} pictures failed and are left out:")
            for name, reason in failed.items():
                say(f"  {reason}" if name in reason else f"  {name}: {reason}")
        return INPUT_FAILED if failed else DONE

    run_verb(work, debug, isolate=isolate)


def _check_outputs(out: Path, page: Path | None) -> None:
    if out.suffix.lower() not in (".png", ".pdf"):
        raise UsageError(f"`out` must end in .png or .pdf, got {out}")
    if page is not None and page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"`page` must end in .html, got {page}")
    for path in filter(None, (out, page)):
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise OutputError(f"{path} cannot be written: expected a file in a folder that exists")


def _compare_all(
    files: Sequence[PictureFiles],
    upscalers: Mapping[str, Upscaler],
    scale: int,
    sheet: ContactSheet,
    page: Page | None,
    invented: bool,
) -> tuple[dict[str, str], list[str]]:
    """Add every picture to the sheet and the page. Returns the reasons of those that failed, and notes."""
    from upres.comparison.compare import compare_picture

    failed: dict[str, str] = {}
    notes: list[str] = []
    with JobProgress("comparing", len(files), counted("pictures")) as job:
        for done, one in enumerate(files, 1):
            try:
                compared = compare_picture(one, upscalers, scale, invented=invented)
                sheet.add(compared)
                if page is not None:
                    page.add(compared)
                notes += compared.notes
            except ModelError:
                raise
            except (UpresError, MemoryError) as error:
                failed[one.name] = str(error) or "not enough free memory"
            job.update(done)
    if len(failed) == len(files):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(failed.items())[:_NAMED])
        raise InputError(f"none of the {len(files)} pictures could be compared: {reasons}")
    return failed, notes


def _write(out: Path, page_file: Path | None, sheet: ContactSheet, page: Page | None) -> None:
    from upres.comparison.sheet_pdf import draw_pdf
    from upres.comparison.sheet_png import draw_sheet
    from upres.images.convert import from_array
    from upres.images.io import write_picture
    from upres.system.files import write_atomic

    if out.suffix.lower() == ".pdf":
        write_atomic(out, draw_pdf(sheet.finish()))
    else:
        write_picture(from_array(draw_sheet(sheet.finish())), out)
    put(str(out))
    if page_file is not None and page is not None:
        write_atomic(page_file, page.finish())
        put(str(page_file))
