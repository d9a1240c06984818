"""`upres evaluate --video`: models and finished videos against HR, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from upres.cli.errors import DONE, say
from upres.cli.progress import JobProgress, counted
from upres.cli.streams import put
from upres.errors import UsageError
from upres.system.text import json_text

if TYPE_CHECKING:
    from upres.engines.options import EngineOptions


def evaluate_video(
    hr: Path | None,
    lr: Path | None,
    others: Sequence[str],
    models: Sequence[str],
    scale: int | None,
    ffmpeg: Path | None,
    options: EngineOptions,
    table_format: str,
    json_file: Path | None,
    *,
    choose_engine: bool,
) -> int:
    """Measure, print the table, and return the exit code. Raises as `measure_videos` does, and `UsageError`."""
    from contextlib import ExitStack

    from upres.cli.download import have_models
    from upres.evaluation.evaluate import check_models
    from upres.evaluation.open_models import open_models
    from upres.evaluation.sets import parse_named
    from upres.evaluation.summary import FORMATS
    from upres.evaluation.tables import BICUBIC, REFERENCE
    from upres.evaluation.vmaf import find_ffmpeg
    from upres.images.pairing import check_scale
    from upres.system.files import write_atomic
    from upres.system.packages import need

    need("video", "video")
    from upres.evaluation.video_table import video_table
    from upres.evaluation.videos import measure_videos

    if hr is None:
        raise UsageError("`hr` is missing: name the video to measure against")
    if scale is None:
        raise UsageError("`scale` is missing: name the scale to measure, such as 2")
    check_scale(scale)
    files: dict[str, Path] = {}
    for name, (file, *_) in (parse_named(text, "others") for text in others):
        if name in (BICUBIC, REFERENCE, *files, *models):
            raise UsageError(f"`others` names {name} twice, or a row that is always there")
        files[name] = file
    found = find_ffmpeg(ffmpeg)
    have_models(models)
    with ExitStack() as stack:
        opened = open_models([name for name in models if name != BICUBIC], options, stack, choose_engine=choose_engine)
        upscalers = {name: model.upscaler for name, model in opened.items()}
        check_models(upscalers, scale)
        with JobProgress("measuring", None, counted("frames")) as job:
            evaluation = measure_videos(
                hr,
                lr,
                files,
                upscalers,
                scale=scale,
                ffmpeg=found.path,
                progress=lambda done, total: job.update(done, max(done, total) if total else None),
            )
    if found.path is None:
        reason = f"VMAF was not measured: {found.reason}; install an ffmpeg with libvmaf, or name one by `ffmpeg`"
        evaluation.notes.append(reason)
    put(FORMATS[table_format](video_table(hr.name, evaluation)))
    if json_file is not None:
        write_atomic(json_file, (json_text(evaluation.to_json(), indent=2) + "\n").encode())
    for note in dict.fromkeys(evaluation.notes):
        say(f"note: {note}")
    return DONE
