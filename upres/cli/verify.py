"""`upres verify`: results against their journal, or one result against its own record."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from upres.cli.errors import DEBUG_HELP, DONE, INPUT_FAILED, ISOLATE_HELP, run_verb, say
from upres.cli.streams import put
from upres.errors import UsageError
from upres.system.text import shown


def verify(
    result: Annotated[str, typer.Argument(metavar="OUT|FILE", help="An output folder, or one result; or a URL.")],
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="The picture that the result was made from.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            *("-n", "--model"),
            metavar="FILE",
            help="The model's file, where the result was made with one of your own.",
            rich_help_panel="Model",
        ),
    ] = None,
    isolate: Annotated[bool, typer.Option("--isolate", help=ISOLATE_HELP, rich_help_panel="Model")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Check the results in a folder against its journal, or make one result again from its own record and compare.

    With the same versions, engine and kind of processor the bytes are the same; else pixels differ by one level at
    most. Exit code 3 if not.

    \b
    Examples:
      upres verify large
      upres verify large/photo.png holiday/photo.jpg
    """

    def work() -> int:
        from upres.system.storage import is_url

        if Path(result).is_dir() or (is_url(result) and source is None):
            if source is not None or model is not None:
                raise UsageError("a folder is checked against its journal, without `source` and `model`")
            return _check_folder(result)
        if source is None:
            raise UsageError(f"{result} is a file: name the picture that it was made from too")
        with ExitStack() as stack:
            return _make_again(result, _local(result, stack), _local(source, stack), model)

    run_verb(work, debug, isolate=isolate)


def _local(text: str, stack: ExitStack) -> Path:
    """The file; one at a URL is fetched, and removed by `stack`."""
    from upres.system.storage import Storage, is_url, without_query

    if not is_url(text):
        return Path(text)
    path = Path(stack.enter_context(TemporaryDirectory(prefix="upres-"))) / Path(without_query(text)).name
    path.write_bytes(Storage(text).read()[0])
    return path


def _check_folder(text: str) -> int:
    from upres.batch.place import UrlPlace
    from upres.batch.status import read_status
    from upres.batch.verify import check_folder
    from upres.cli.progress import JobProgress, counted
    from upres.system.storage import home_of, is_url

    folder, place = (home_of(text), UrlPlace(text)) if is_url(text) else (Path(text), None)
    total, faults = read_status(folder).pictures["done"], 0
    with JobProgress("verifying", total, counted("results")) as display:
        for checked in check_folder(folder, place):
            display.advance(1)
            if checked.fault:
                faults += 1
                put(f"{shown(checked.path)}: {checked.fault}")
    if faults:
        say(f"{faults} of {total} results are not as they were written; `upres upscale` makes missing ones again")
    else:
        say(f"{total} results are as they were written")
    return INPUT_FAILED if faults else DONE


def _make_again(name: str, result: Path, source: Path, model: str | None) -> int:
    from upres.batch.verify import make_again
    from upres.cli.engine_options import tell_measurements

    tell_measurements()
    again = make_again(result, source, model)
    if again.same_bytes:
        put(f"{shown(name)}: the same bytes")
    elif again.levels is None:
        put(f"{shown(name)}: the size is another")
    else:
        kind = "within one level" if again.levels <= 1 else f"pixels differ by up to {again.levels} levels"
        put(f"{shown(name)}: {kind}")
    for words in again.circumstances:
        say(f"made with another {words}")
    if not again.good and not again.circumstances:
        say("versions, engine and processor are those that it was made with: the file was changed since")
    return DONE if again.good else INPUT_FAILED
