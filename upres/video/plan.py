"""Plan a video before any frame is upscaled: model, size, encoder, disk space, and what an earlier run has left."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from av.video.frame import VideoFrame

from upres.batch.record import label, make_record
from upres.errors import OutputError, UsageError
from upres.images.io import Picture
from upres.models.expression import parse
from upres.models.load import load_model
from upres.system.folders import exists, is_folder
from upres.system.text import shown, words_for_bytes
from upres.upscaling.choose_model import ModelChoice, choose_model
from upres.upscaling.upscaler import Upscaler
from upres.video.encoder import CONTAINERS, ENCODERS, Encoding, fitting_size
from upres.video.encoding import choose_codec, choose_layout, encoding_of, lost_notes
from upres.video.journal import Journal, open_journal
from upres.video.mux import Window, copied_tracks
from upres.video.reader import FrameReader
from upres.video.request import VideoRequest
from upres.video.source import Video, examine
from upres.video.yuv import Coding, to_rgb

_KEPT_OPTIONS = ("denoise", "denoise_with")  # blended into the networks already
_BYTES_POWER = 0.75  # bytes of a video grow so with its pixels at equal quality: a rule of thumb of encoders' guides


@dataclass(slots=True)
class VideoJob:
    """A planned video.

    request: What was asked.
    video: The source.
    first: Its first frame.
    upscaler: Its model.
    encoding: How the result is encoded.
    coding: How its colors are coded.
    target: The file to write.
    window: The part of the source.
    journal: What is done already.
    frames: About how many frames the result has; 0 if unknown.
    disk_bytes: About what the result takes; 0 if unknown.
    tracks: Of the source, to copy.
    notes: For the user.
    choice: The model and the reason for it; None if the request names one.
    """

    request: VideoRequest
    video: Video
    first: VideoFrame
    upscaler: Upscaler
    encoding: Encoding
    coding: Coding
    target: Path
    window: Window
    journal: Journal
    frames: int
    disk_bytes: int
    tracks: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list[str])
    choice: ModelChoice | None = None

    @property
    def start_pts(self) -> int | None:
        """The first time stamp of the part, in units of the source; time 0 is where the file's is."""
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
    video, first = examine(request.source)
    window = Window(request.start_s, request.end_s)
    notes: list[str] = []
    model, choice = _model(request, video)
    networks = load_model(parse(model))
    notes += networks.notes
    native = networks.scale
    height, width = request.target_size.resolve(video.height, video.width, native=native)
    target = _target(request, video, native)
    codec = choose_codec(request, video, target.suffix.lower())
    layout = choose_layout(request.pix_fmt, video, codec, notes)
    fitted = fitting_size(height, width, layout)
    if fitted != (height, width):
        notes.append(f"{width} x {height} became {fitted[1]} x {fitted[0]}: {layout.name} needs whole chroma samples")
    coding, encoding = encoding_of(request, video, codec, layout, fitted)
    _check_target(request, target)
    tracks, left_out = copied_tracks(video, encoding, target.suffix.lower())
    notes += left_out
    options = request.options.replace(
        **dict.fromkeys(_KEPT_OPTIONS),
        expected_px=max(1, video.frames) * video.height * video.width,
        picture_px=video.height * video.width,
    )
    upscaler = Upscaler(networks, options)
    engine = upscaler.runner
    settings = request.settings(label(parse(model))) | {
        "size": f"{fitted[1]} x {fitted[0]}",
        "codec": codec,
        "pix_fmt": layout.name,
        "engine": f"{engine.name} {engine.precision} {engine.device}",
        "input": make_record({}, *fitted, Path(request.source))["input"],
    }
    try:
        journal = open_journal(target, settings, anew=request.overwrite)
    except BaseException:
        upscaler.close()
        raise
    frames = _frames(video, window)
    share = frames / video.frames if video.frames else 1.0
    grown = (fitted[0] * fitted[1] / (video.height * video.width)) ** _BYTES_POWER
    disk = round(video.bytes * share * grown) if ENCODERS[codec].crf is not None else 0
    notes += video.notes + lost_notes(first)
    return VideoJob(
        request,
        video,
        first,
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
    )


def free_bytes(folder: Path) -> int:
    """Free space where a result goes."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def disk_note(job: VideoJob) -> str | None:
    """A warning if the disk may be too small: segments and the result lie there together at the end."""
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
    start = float(window.start_s or 0)
    end = min(video.seconds, float(window.end_s) if window.end_s is not None else video.seconds)
    return max(0, round(video.frames * (end - start) / video.seconds))


def _model(request: VideoRequest, video: Video) -> tuple[str, ModelChoice | None]:
    """The model as an expression, and why it was chosen where the request names none."""
    if request.model is not None or request.options.denoise is not None:
        from upres.batch.request import Request

        return str(Request((), model=request.model, options=request.options).composition()), None
    from upres.inspection.inspect import inspect_decoded

    middle = video.start + round(video.seconds / 2 / float(video.time_base))
    frame = next(iter(FrameReader(video, start_pts=middle)), None) or next(iter(FrameReader(video)))
    pixels, _ = to_rgb(frame.planes, frame.coding)
    factor = request.target_size.factor_for(video.height, video.width) or 1.0
    choice = choose_model(inspect_decoded(Picture(pixels)), factor)
    return choice.name, choice


def _target(request: VideoRequest, video: Video, native: int) -> Path:
    if request.out is not None:
        target = Path(request.out)
        if is_folder(target) or request.out.endswith("/"):
            target = target / f"{Path(request.source).stem}{_ending(video)}"
    else:
        suffix = request.target_size.suffix(video.height, video.width, native=native)
        source = Path(request.source)
        target = source.with_name(f"{source.stem}{suffix}{_ending(video)}")
    if target.suffix.lower() not in CONTAINERS:
        raise UsageError(
            f"`out={shown(target)}`: cannot write {target.suffix or 'a file without a suffix'}; use "
            f"{', '.join(CONTAINERS)}"
        )
    return target


def _ending(video: Video) -> str:
    """The source's own ending where it can be written; Matroska else, which holds every track."""
    suffix = Path(video.path).suffix.lower()
    return suffix if suffix in CONTAINERS else ".mkv"


def _check_target(request: VideoRequest, target: Path) -> None:
    if exists(target) and request.source != "-" and target.resolve() == Path(request.source).resolve():
        raise UsageError(f"the result would overwrite the source {shown(request.source)}; choose another `out`")
    if is_folder(target):
        raise UsageError(f"`out={shown(target)}` is a folder; name a file in it")
    if exists(target) and not request.overwrite:
        raise OutputError(f"{shown(target)} exists; choose another `out`, or replace it with `overwrite=True`")
