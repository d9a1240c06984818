"""`upres compare` of finished videos: a page with a slider that shows the same frame of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upres.cli.errors import DONE, say
from upres.cli.progress import JobProgress, counted
from upres.cli.streams import put
from upres.errors import OutputError, UsageError

SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".ts",
        ".m2ts",
        ".mts",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".ogv",
        ".mxf",
        ".y4m",
        ".nut",
        ".ivf",
        ".3gp",
    ]
)


def are_videos(paths: Sequence[Path]) -> bool:
    """Whether all are files of video, by their names. Raises `UsageError` for videos among pictures."""
    videos = [path for path in paths if path.suffix.lower() in SUFFIXES and not path.is_dir()]
    if videos and len(videos) < len(paths):
        raise UsageError(f"{videos[0]} is a video and others are pictures; compare either videos or pictures")
    return bool(videos)


def compare_videos(paths: Sequence[Path], page: Path) -> int:
    """Write the page, and beside it the video if that is large. Returns the exit code.

    Raises `UsageError` for a single video, `InputError` and `OutputError` as `join_columns` does.
    """
    from upres.system.packages import need

    if len(paths) < 2:
        raise UsageError("name two videos or more; models are compared on one by upres video --preview 10 -o page.html")
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"`page` must end in .html, got {page}")
    if page.is_dir() or not page.absolute().parent.is_dir():
        raise OutputError(f"{page} cannot be written: expected a file in a folder that exists")
    need("video", "video")
    from upres.comparison.video_page import ColumnsVideo, write_video_page
    from upres.video.columns import join_columns
    from upres.video.opened import open_source
    from upres.video.preview import GAP_PX

    for path in paths:
        if not path.is_file():
            raise UsageError(f"{path} does not exist; check the name")
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    total = open_source(str(paths[0]), None).video.frames
    hidden = page.with_name(f".{page.name}.{_token()}.mp4")
    try:
        with JobProgress("comparing", float(total) or None, counted("frames")) as job:
            columns = join_columns(
                [str(path) for path in paths], hidden, lambda done: job.update(done, _total(done, total))
            )
        shown = ColumnsVideo(tuple(names), columns.height, columns.width, columns.whole, GAP_PX, columns.times)
        written = write_video_page(page, " / ".join(names), shown, hidden)
    finally:
        hidden.unlink(missing_ok=True)
    for note in dict.fromkeys(columns.notes):
        say(f"note: {note}")
    for path in written:
        put(str(path))
    return DONE


def _total(done: float, total: int) -> float | None:
    return max(done, float(total)) if total else None


def _token() -> str:
    import secrets

    return secrets.token_hex(4)
