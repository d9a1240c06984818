"""The page of videos: one slider between any two columns of a video that holds all versions.

Two players of a browser cannot be held to the same frame; two columns of one video always show the same.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upres.comparison.page import page_version, read_page_file
from upres.comparison.vips import clean
from upres.errors import OutputError
from upres.system.files import output_error, write_atomic
from upres.system.text import shown as shown_text
from upres.web.assets import inlined, read_asset

MOST_BYTES = 64_000_000  # of a video that stands in the page itself
_MODULES = ("video_strings", "video")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; media-src "


@dataclass(frozen=True, slots=True)
class ColumnsVideo:
    """What a page needs to know of its video.

    names: Of the columns, from the left.
    height, width: Of a column.
    whole: (h, w) of the video.
    gap_px: Between two columns.
    times: When each frame is shown, in seconds.
    bicubic: The first column is bicubic interpolation.
    """

    names: tuple[str, ...]
    height: int
    width: int
    whole: tuple[int, int]
    gap_px: int
    times: Sequence[float]
    bicubic: bool = False


def draw_video_page(title: str, shown: ColumnsVideo, video: bytes | str) -> bytes:
    """The page, UTF-8. video: The bytes of an MP4, which the page then holds, or the name of a file beside it."""
    data = {
        "title": clean(title),
        "names": [clean(name) for name in shown.names],
        "height": shown.height,
        "width": shown.width,
        "whole": shown.whole[1],
        "wholeHeight": shown.whole[0],
        "gap": shown.gap_px,
        "times": list(shown.times),
        "bicubic": shown.bicubic,
        "file": video if isinstance(video, str) else None,
        "version": page_version(),
    }
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    script = "\n".join([inlined("divider.js"), *(read_page_file(f"{name}.js") for name in _MODULES)])
    style = read_asset("colors.css") + read_page_file("page.css") + read_asset("views.css")
    head, body = read_page_file("video.html").split("\n<!-- PARTS -->\n")
    policy = _POLICY + ("'self' file:" if isinstance(video, str) else "blob:")
    head = head.replace("{{TITLE}}", html.escape(clean(title))).replace("{{POLICY}}", html.escape(policy))
    parts = [head.replace("{{STYLE}}", style + read_page_file("video.css")), body]
    if isinstance(video, bytes):
        parts.append(f'<script type="text/plain" id="bytes">{base64.b64encode(video).decode()}</script>')
    parts += [
        f'<script type="application/json" id="data">{text}</script>',
        f"<script>\n{read_asset('slider.js')}\n</script>",
        f'<script type="module">\n{script}\n</script>',
        "</body>\n</html>\n",
    ]
    return "\n".join(parts).encode("utf-8")


def write_video_page(page: Path, title: str, shown: ColumnsVideo, video: Path) -> list[Path]:
    """Write the page for `video`, which becomes part of it, or if it is large is moved beside it, with the page's name.

    Returns the files written. Raises `OutputError`.
    """
    beside = page.with_suffix(".mp4")
    try:
        if video.stat().st_size <= MOST_BYTES:
            write_atomic(page, draw_video_page(title, shown, video.read_bytes()))
            return [page]
        if beside.exists():
            raise OutputError(
                f"{shown_text(beside)} exists, where the page's video of {video.stat().st_size:,} bytes would go; "
                "choose another name for the page"
            )
        video.rename(beside)
    except OSError as error:
        raise output_error(page, error) from error
    write_atomic(page, draw_video_page(title, shown, beside.name))
    return [page, beside]
