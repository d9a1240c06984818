"""Choose how a result is encoded: codec, format of pixels, and tags of color, each as near to the source as can be."""

from __future__ import annotations

from collections.abc import Sequence

from av.sidedata.sidedata import Type as SideData
from av.video.frame import VideoFrame

from upres.errors import UsageError, nearest
from upres.video.encoder import ENCODERS, Encoding, best_layout, encoder_name, formats_of
from upres.video.frames import CODES, FULL, Layout, layout_of
from upres.video.request import VideoRequest
from upres.video.source import Video, side_data, told_matrix
from upres.video.yuv import Coding

_LIMITED = 1
UNCODED = "none"  # in place of a codec: y4m and pictures
_LOST = {
    SideData.A53_CC: "closed captions inside the pictures (CEA-608, CEA-708)",
    SideData.DOVI_RPU_BUFFER: "Dolby Vision's metadata",
    SideData.DOVI_METADATA: "Dolby Vision's metadata",
    SideData.DYNAMIC_HDR_PLUS: "HDR10+ metadata",
    SideData.FILM_GRAIN_PARAMS: "parameters of film grain",
}


def choose_codec(request: VideoRequest, video: Video, ending: str) -> str:
    """The codec asked for, or the usual one of a file with this ending. Raises `UsageError`."""
    if request.codec is not None:
        name = encoder_name(request.codec)
    elif ending == ".webm":
        name = "vp9" if video.coding.depth == 8 else "av1"
    elif video.coding.alpha and ending in ENCODERS["ffv1"].endings:
        name = "ffv1"
    else:
        name = "h264" if video.coding.depth == 8 else "hevc"
    encoder = ENCODERS[name]
    if ending not in encoder.endings:
        raise UsageError(f"{name} does not go into a {ending} file; name a file in {', '.join(encoder.endings)}")
    if request.crf is not None:
        if encoder.crf is None:
            raise UsageError(f"`crf` has no effect on {name}; leave it out")
        if not 0 <= request.crf <= encoder.crf[1]:
            raise UsageError(f"`crf` of {name} must be between 0 and {encoder.crf[1]}, got {request.crf}")
    return name


def choose_layout(asked: str | None, video: Video, codec: str, notes: list[str]) -> Layout:
    """The format of pixels asked for, or the nearest to the source's; what is lost is added to `notes`.

    Raises `UsageError` for a format that the codec does not take.
    """
    return layout_among(asked, video, formats_of(codec), codec, notes)


def layout_among(asked: str | None, video: Video, names: Sequence[str], codec: str, notes: list[str]) -> Layout:
    """As `choose_layout`, among these formats of pixels, which are those of `codec`."""
    if asked is not None:
        if asked not in names:
            raise UsageError(
                f"`pix_fmt={asked!r}` is none of {codec}{nearest(asked, names)}; choose one of {', '.join(names)}"
            )
        layout = layout_of(asked)
    else:
        best = best_layout(video.layout, names)
        if best is None:
            raise UsageError(f"{codec} takes no format of pixels that upres writes; choose another `codec`")
        layout = best
    if layout.depth < video.layout.depth:
        notes.append(f"{video.layout.depth} bits became {layout.depth}: {codec} in {layout.name} holds no more")
    if video.layout.alpha and not layout.alpha:
        notes.append(f"the transparency of the video was left out: {codec} in {layout.name} has none (ffv1 does)")
    if layout.kind == "gray" and video.layout.kind != "gray":
        notes.append("the colors of the video were left out: the format of pixels is gray")
    return layout


def encoding_of(
    request: VideoRequest, video: Video, codec: str, layout: Layout, size: tuple[int, int]
) -> tuple[Coding, Encoding]:
    """How colors are coded and frames encoded, with the source's own tags. `size` is (h, w)."""
    source = video.coding
    primaries, transfer, matrix, color_range = video.tags
    if layout.kind == "rgb":
        coding = Coding("rgb", True, layout.depth, alpha=layout.alpha)
        matrix, color_range = CODES["rgb"], FULL
    elif layout.kind == "gray":
        coding = Coding("gray", source.full, layout.depth, alpha=layout.alpha)
        color_range = FULL if source.full else color_range
    elif video.layout.kind == "yuv":
        coding = Coding(source.matrix, source.full, layout.depth, layout.step, source.siting, layout.alpha)
        matrix = told_matrix(video, size[0])
        color_range = FULL if source.full else color_range
    else:  # RGB or gray becomes YUV
        coding = Coding("bt709", False, layout.depth, layout.step, "left", layout.alpha)
        matrix, color_range = CODES["bt709"], _LIMITED
    crf = ENCODERS[codec].crf if codec in ENCODERS else None
    encoding = Encoding(
        codec,
        layout,
        *size,
        None if crf is None else crf[0] if request.crf is None else request.crf,
        video.time_base,
        video.rate,
        (primaries, transfer, matrix, color_range),
        coding.siting,
        video.aspect,
        video.hdr,
        request.segment_frames,
        request.options.engine_options.threads,
    )
    return coding, encoding


def lost_notes(first: VideoFrame) -> tuple[str, ...]:
    """What frames carry beside their pixels and upres does not carry on."""
    kinds = side_data(first)
    lost = dict.fromkeys(words for kind, words in _LOST.items() if kind in kinds)
    return tuple(f"{words} of the source are not in the result" for words in lost)
