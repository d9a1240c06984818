"""Plan a video before any frame is upscaled: model, size, encoder, disk space, and what an earlier run has left."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from upres.batch.record import label
from upres.batch.request import Request
from upres.errors import OutputError, UsageError
from upres.inspection.inspect import inspect_decoded
from upres.models.expression import parse
from upres.models.load import load_model
from upres.system.folders import exists, is_folder
from upres.system.text import shown, words_for_bytes
from upres.upscaling.choose_model import ModelChoice, choose_model
from upres.upscaling.upscaler import Upscaler
from upres.video.encoder import CONTAINERS, Encoding
from upres.video.encoding import choose_codec, choose_layout, encoding_of, lost_notes
from upres.video.journal import Journal, open_journal
from upres.video.mux import Window
from upres.video.opened import STDIO, OpenedSource, open_source
from upres.video.preview import (
    BICUBIC,
    PAGE_CODEC,
    PAGE_FORMAT,
    hidden_video,
    open_rivals,
    page_notes,
    page_of,
    preview_encoding,
    preview_window,
)
from upres.video.request import VideoRequest
from upres.video.source import Video
from upres.video.streams import Sink, fitted_size, is_stream, open_stream
from upres.video.tracks import copied_tracks
from upres.video.yuv import Coding

_KEPT_OPTIONS = ("denoise", "denoise_with")  # blended into the networks already
_BYTES_POWER = 0.75  # bytes of a video grow so with its pixels at equal quality: a rule of thumb of encoders' guides


@dataclass(slots=True)
class VideoJob:
    """A planned video.

    request: What was asked.
    source: The video, opened.
    upscaler: Its model.
    encoding: How the result is encoded.
    coding: How its colors are coded.
    target: The file to write; None: frames go to `sink`.
    window: The part of the source.
    journal: What is done already.
    frames: About how many frames the result has; 0 if unknown.
    disk_bytes: About what the result takes; 0 if unknown.
    tracks: Of the source, to copy.
    notes: For the user.
    choice: The model and the reason for it; None if the request names one.
    sink: Takes the frames of y4m and of pictures; such a job cannot be resumed.
    column: (h, w) of one upscaled frame, which in a preview is a part of the result.
    rivals: The other models of a preview.
    page: The page to make of a preview, whose video `target` then is.
    labels: Of the columns of a preview.
    """

    request: VideoRequest
    source: OpenedSource
    upscaler: Upscaler
    encoding: Encoding
    coding: Coding
    target: Path | None
    window: Window
    journal: Journal
    frames: int
    disk_bytes: int
    tracks: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list[str])
    choice: ModelChoice | None = None
    sink: Sink | None = None
    column: tuple[int, int] = (0, 0)
    rivals: tuple[Upscaler, ...] = ()
    page: Path | None = None
    labels: tuple[str, ...] = ()

    @property
    def video(self) -> Video:
        """The source."""
        return self.source.video

    @property
    def name(self) -> str:
        """Of the result."""
        return str(self.target) if self.target is not None else self.request.out or STDIO

    @property
    def start_pts(self) -> int | None:
        """The first time stamp of the part, in units of the source."""
        start = self.window.start_s
        return None if start is None else _ceil(start / self.video.time_base)

    @property
    def end_pts(self) -> int | None:
        end = self.window.end_s
        return None if end is None else _ceil(end / self.video.time_base)


def prepare(request: VideoRequest) -> VideoJob:
    """Plan a video. Nothing is written but the folder of the unfinished job.

    Raises `InputError` for a source that cannot be read, `UsageError`, `ModelError`, `EngineError`, and `OutputError`
    if the result exists, or its file cannot hold all tracks of the source.
    """
    request.options.engine_options.check_installed()
    source = open_source(request.source, request.rate)
    video = source.video
    window = _window(request, video)
    notes: list[str] = []
    model, choice = _model(request, source)
    networks = load_model(parse(model))
    notes += networks.notes
    native = networks.scale
    if request.preview_s is not None:
        window = preview_window(window, request.preview_s, video)
    size = request.target_size.resolve(video.height, video.width, native=native)
    page = page_of(request)
    target = None if is_stream(request) else _target(request, video, native) if page is None else hidden_video(page)
    if target is None:
        coding, encoding, sink = open_stream(request, video, size, notes)
        tracks: tuple[int, ...] = ()
    else:
        codec = choose_codec(request, video, target.suffix.lower()) if page is None else PAGE_CODEC
        layout = choose_layout(request.pix_fmt if page is None else PAGE_FORMAT, video, codec, notes)
        coding, encoding = encoding_of(request, video, codec, layout, fitted_size(size, layout, notes))
        sink = None
        _check_target(request, target if page is None else page)
        if page is None:
            tracks, left_out = copied_tracks(video, encoding, target.suffix.lower())
        else:
            tracks, left_out = (), page_notes(video)
        notes += left_out
    frames = _frames(video, window)
    options = request.options.replace(
        **dict.fromkeys(_KEPT_OPTIONS),
        expected_px=max(1, frames) * video.height * video.width,
        picture_px=video.height * video.width,
    )
    column, others = (encoding.height, encoding.width), _others(request, choice)
    if request.preview_s is not None:
        encoding = preview_encoding(encoding, 1 + len(others))
    rivals = open_rivals(others, options)
    upscaler = Upscaler(networks, options)
    engine = upscaler.runner
    settings = request.settings(label(parse(model))) | {
        "size": f"{encoding.width} x {encoding.height}",
        "codec": encoding.codec,
        "pix_fmt": encoding.layout.name,
        "engine": f"{engine.name} {engine.precision} {engine.device}",
        "input": source.digest,
    }
    if request.preview_s is not None:
        settings["preview"] = ", ".join((BICUBIC, *(label(parse(name)) for name in (model, *others))))
        if page is None:
            notes.append(f"from left to right: {', '.join((BICUBIC, model, *others))}")
    try:
        if target is None:
            journal = Journal(Path(), settings)
        else:  # what comes from a pipe cannot be read again
            journal = open_journal(target, settings, anew=request.overwrite or request.source == STDIO)
    except BaseException:
        upscaler.close()
        raise
    share = frames / video.frames if video.frames else 1.0
    grown = (encoding.height * encoding.width / (video.height * video.width)) ** _BYTES_POWER
    measured = target is not None and encoding.crf is not None and not source.files
    disk = round(video.bytes * share * grown) if measured else 0
    notes += video.notes + (lost_notes(source.first) if source.first is not None else ())
    return VideoJob(
        request,
        source,
        upscaler,
        encoding,
        coding,
        target,
        window,
        journal,
        frames,
        disk,
        tracks,
        notes,
        choice,
        sink,
        column,
        rivals,
        page,
        (BICUBIC, model, *others) if request.preview_s is not None else (),
    )


def _window(request: VideoRequest, video: Video) -> Window:
    """The part asked for, in the times of the file: a recording may begin at any time."""
    first = video.start * video.time_base
    start, end = request.start_s, request.end_s
    return Window(None if start is None else first + start, None if end is None else first + end)


def _others(request: VideoRequest, choice: ModelChoice | None) -> tuple[str, ...]:
    """The models of a preview beside the first."""
    if request.preview_s is None or request.against:
        return request.against
    return (choice.other,) if choice is not None and choice.other else ()


def free_bytes(folder: Path) -> int:
    """Free space where a result goes."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def disk_note(job: VideoJob) -> str | None:
    """A warning if the disk may be too small: segments and the result lie there together at the end."""
    if job.target is None:
        return None
    free, needed = free_bytes(job.target.parent), 2 * job.disk_bytes
    if needed <= free:
        return None
    return (
        f"the result may take about {words_for_bytes(job.disk_bytes, unit=1000)}, and twice that while it is put "
        f"together; {words_for_bytes(free, unit=1000)} are free. If the disk fills up, free some space and run the "
        "same command again: finished parts are kept"
    )


def _ceil(value: Fraction) -> int:
    return -((-value.numerator) // value.denominator)


def _frames(video: Video, window: Window) -> int:
    if window == Window() or not video.seconds:
        return video.frames
    first = float(video.start * video.time_base)
    start = 0.0 if window.start_s is None else float(window.start_s) - first
    end = video.seconds if window.end_s is None else min(video.seconds, float(window.end_s) - first)
    return max(0, round(video.frames * (end - start) / video.seconds))


def _model(request: VideoRequest, source: OpenedSource) -> tuple[str, ModelChoice | None]:
    """The model as an expression, and why it was chosen where the request names none."""
    if request.model is not None or request.options.denoise is not None:
        return str(Request((), model=request.model, options=request.options).composition()), None
    factor = request.target_size.factor_for(source.video.height, source.video.width) or 1.0
    choice = choose_model(inspect_decoded(source.sample()), factor)
    return choice.name, choice


def _target(request: VideoRequest, video: Video, native: int) -> Path:
    if request.out is not None:
        target = Path(request.out)
        if is_folder(target) or request.out.endswith("/"):
            target = target / f"{Path(request.source).stem}{_ending(video)}"
    else:
        suffix = request.target_size.suffix(video.height, video.width, native=native)
        suffix += "_preview" if request.preview_s is not None else ""
        if request.source == STDIO:
            raise UsageError("a video from standard input needs a name for its result: `out=NAME.mp4`")
        source = Path(request.source)
        stem = source.stem.split("%")[0].rstrip("_-.") or source.parent.name
        target = source.with_name(f"{stem}{suffix}{_ending(video)}")
    if target.suffix.lower() not in CONTAINERS:
        raise UsageError(
            f"`out={shown(target)}`: cannot write {target.suffix or 'a file without a suffix'}; use "
            f"{', '.join(CONTAINERS)}"
        )
    return target


def _ending(video: Video) -> str:
    """The source's own ending where it can be written; Matroska else, which holds every track."""
    if video.alone:
        return ".mp4"
    suffix = Path(video.path).suffix.lower()
    return suffix if suffix in CONTAINERS else ".mkv"


def _check_target(request: VideoRequest, target: Path) -> None:
    if exists(target) and request.source != "-" and target.resolve() == Path(request.source).resolve():
        raise UsageError(f"the result would overwrite the source {shown(request.source)}; choose another `out`")
    if is_folder(target):
        raise UsageError(f"`out={shown(target)}` is a folder; name a file in it")
    if exists(target) and not request.overwrite:
        raise OutputError(f"{shown(target)} exists; choose another `out`, or replace it with `overwrite=True`")
