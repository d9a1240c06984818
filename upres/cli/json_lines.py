"""The lines of `upres upscale --json`: one for each picture as it ends, and one for the whole job."""

from __future__ import annotations

from pathlib import Path

from upres.batch.job import Outcome, Summary, failure_code
from upres.cli.command import as_options
from upres.cli.streams import put
from upres.system.text import json_text


class JsonLines:
    """Prints them to standard output. Raises OSError if that is closed."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def picture(self, outcome: Outcome) -> None:
        """A picture has ended; the fields are those of `batch.status.PictureStatus`, and `notes`."""
        error, target = outcome.error, outcome.target
        if target is not None and self._folder is not None and target.is_relative_to(self._folder):
            target = target.relative_to(self._folder)
        put(
            json_text(
                {
                    "event": "picture",
                    "source": outcome.name,
                    "target": None if target is None else str(target),
                    "state": "done" if error is None else "failed",
                    "model": outcome.model,
                    "pixels": outcome.pixels if error is None else None,
                    "seconds": outcome.seconds if error is None else None,
                    "code": None if error is None else failure_code(error),
                    "reason": None if error is None else as_options(str(error)),
                    "source_sha256": outcome.source_sha256,
                    "result_sha256": outcome.result_sha256,
                    "notes": list(outcome.notes),
                }
            )
        )

    def end(self, summary: Summary, kept: int, reused: int, seconds: float) -> None:
        """The job has ended."""
        put(
            json_text(
                {
                    "event": "end",
                    "done": summary.done,
                    "failed": summary.failed,
                    "left": summary.left,
                    "kept": kept,
                    "taken_over": reused,
                    "pixels": summary.pixels,
                    "seconds": round(seconds, 3),
                    "interrupted": summary.interrupted,
                }
            )
        )
