"""A request to upscale a video, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from fractions import Fraction

from upres.batch.request import Request
from upres.errors import UsageError
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize

DEFAULT_FACTOR = 2.0
SEGMENT_FRAMES = 120


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """What `upres video` is asked to do. Raises `UsageError` for a value out of range."""

    source: str  # a video, or "-" (y4m on standard input), a folder of pictures, or a pattern (frames/%05d.png)
    out: str | None = (
        None  # the file to write, "-" (y4m on standard output), or a pattern; None: beside the source, as NAME_x2.mp4
    )
    size: OutputSize = field(default_factory=OutputSize)  # of the result; nothing set: twice the size of the source
    model: str | None = None  # a name, a file or an expression; None: the bundled model that fits a frame
    options: UpscaleOptions = field(default_factory=UpscaleOptions)  # how to upscale
    codec: str | None = None  # "h264", "hevc", ...; None: by the file's ending and the depth of the source
    crf: int | None = None  # constant quality, 0 is best; None: the default of the codec
    pix_fmt: str | None = None  # as FFmpeg calls it; None: the nearest to the source's that the codec takes
    start_s: Fraction | None = None  # beginning of the part to make, in seconds; None: of the video
    end_s: Fraction | None = None  # its end; None: of the video
    segment_frames: int = SEGMENT_FRAMES  # frames in a segment: what a crash can cost
    rate: Fraction | None = None  # frames a second of numbered pictures; None: 25
    preview_s: Fraction | None = None  # make so many seconds, side by side: bicubic, the model and those of `against`
    against: tuple[str, ...] = ()  # more models of a preview; none: the one that is named beside an automatic choice
    steady: float = 0.0  # largest weight of the frame before, moved along the motion, in [0, 1): less flicker; 0 is off
    overwrite: bool = False  # replace a result, and forget an unfinished job

    def __post_init__(self) -> None:
        if self.start_s is not None and self.start_s < 0:
            raise UsageError(f"`start` must not be negative, got {float(self.start_s):g} s")
        if self.end_s is not None and self.end_s <= (self.start_s or 0):
            raise UsageError(f"`end` must be after the start, got {float(self.end_s):g} s")
        if self.preview_s is not None and not 0 < self.preview_s <= 600:
            raise UsageError(f"`preview` must be in (0, 600] seconds, got {float(self.preview_s):g}")
        if self.preview_s is not None and self.end_s is not None:
            raise UsageError("`preview` says how long it is; leave `end` out")
        if self.against and self.preview_s is None:
            raise UsageError("`against` names models of a preview; set `preview` too")
        if not 0.0 <= self.steady < 1.0:
            raise UsageError(f"`steady` must be in [0, 1), such as 0.5, got {self.steady:g}")
        if self.steady and self.preview_s is not None:
            raise UsageError("`steady` has no effect on a preview; leave one of them out")
        if self.rate is not None and not 0 < self.rate <= 1000:
            raise UsageError(f"`rate` must be in (0, 1000], got {float(self.rate):g}")
        if not 1 <= self.segment_frames <= 100_000:
            raise UsageError(f"`segment_frames` must be between 1 and 100,000 frames, got {self.segment_frames:,}")

    @property
    def target_size(self) -> OutputSize:
        """The size asked for, or twice the size."""
        asked = any(getattr(self.size, one.name) is not None for one in fields(self.size))
        return self.size if asked else OutputSize(factor=DEFAULT_FACTOR)

    def settings(self, model: str) -> dict[str, str]:
        """What the pixels depend on, by parameter, with this model."""
        request = Request((self.source,), size=self.target_size, model=model, options=self.options)
        own = {
            "crf": self.crf,
            "start": self.start_s,
            "end": self.end_s,
            "segment_frames": self.segment_frames,
            "rate": self.rate,
            "steady": self.steady or None,
        }
        return request.settings() | {name: str(value) for name, value in own.items() if value is not None}


def parse_time(text: str, name: str) -> Fraction:
    """`"90"`, `"1:30"`, `"0:01:30.5"` -> seconds. Raises `UsageError`, which names the parameter, for anything else."""
    parts = text.strip().split(":")
    try:
        if not 1 <= len(parts) <= 3 or not all(part and part[0].isdecimal() for part in parts):
            raise ValueError
        seconds = Fraction(0)
        for part in parts[:-1]:
            seconds = (seconds + int(part)) * 60
        return seconds + Fraction(parts[-1] if "/" not in parts[-1] else "x")
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"`{name}` must be seconds or h:mm:ss, such as 90 or 1:30.5, got {text!r}") from None


def parse_rate(text: str) -> Fraction:
    """`"24"`, `"23.976"`, `"30000/1001"` -> frames a second. Raises `UsageError` for anything else."""
    try:
        return Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"`rate` must be frames a second, such as 24 or 30000/1001, got {text!r}") from None
