"""Run the pictures of `upres remote`: a few at a time are on the server, their results are fetched in order."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upres.batch.paths import Destination, InputFile, choose_destination, find_pictures, make_folder
from upres.cli.errors import DONE, exit_code_of, say, words_for
from upres.cli.progress import JobProgress, counted
from upres.cli.streams import put
from upres.errors import InputError, UpresError, UsageError
from upres.images.formats import WRITABLE_FORMATS
from upres.images.picture import NAMED_SUFFIXES, READABLE_SUFFIXES
from upres.serve.client import Client, Job
from upres.system.files import write_atomic
from upres.system.folders import exists
from upres.system.text import shown

_AHEAD = 3  # pictures that wait on the server while one is worked on


@dataclass(slots=True)
class _Sent:
    found: InputFile
    job: Job


class RemoteRun:
    """The pictures of one command.

    url, token: Of the server.
    parameters: Of all pictures.
    overwrite: Replace results that exist.
    detach: Only submit.
    """

    def __init__(
        self, url: str, token: str | None, parameters: dict[str, Any], *, overwrite: bool, detach: bool
    ) -> None:
        self._client, self._parameters = Client(url, token), parameters
        self._overwrite, self._detach = overwrite, detach
        self._code = DONE

    def run(self, inputs: Sequence[str], out: str | None, *, recursive: bool) -> int:
        """Upscale all pictures; returns the exit code, the first one that is not 0."""
        form = self._parameters.get("format")
        destination = choose_destination(inputs, out, form, WRITABLE_FORMATS)
        if destination.stdout and sys.stdout.isatty() and not self._detach:
            raise UsageError("standard output is a terminal; redirect it (> result.png), or name a file with -o")
        self._parameters["format"] = destination.format
        found = find_pictures(
            inputs,
            recursive=recursive,
            suffixes=READABLE_SUFFIXES | NAMED_SUFFIXES,
            keep_out=destination.folder,
            beside=destination.beside,
        ).pictures
        if not found:
            raise InputError(f"{', '.join(inputs)} contains no pictures")
        if destination.folder is not None:
            make_folder(destination.folder)
        with self._client:
            if self._detach:
                self._submit_all(found)
            else:
                self._all(found, destination)
        return self._code

    def _submit_all(self, pictures: list[InputFile]) -> None:
        for found in pictures:
            if (sent := self._send(found)) is not None:
                put(f"{sent.job['id']} {shown(found.name)}")

    def _all(self, pictures: list[InputFile], destination: Destination) -> None:
        left, sent = deque(pictures), deque[_Sent]()
        with JobProgress("upscaling", float(len(pictures)), counted("pictures")) as display:
            done = 0.0
            try:
                while left or sent:
                    while left and len(sent) <= _AHEAD:
                        one = self._send(left.popleft())
                        if one is None:
                            done += 1
                        else:
                            sent.append(one)
                    if sent:
                        self._fetch(sent[0], destination, display, done)
                        sent.popleft()
                        done += 1
                        display.update(done)
            except KeyboardInterrupt:
                for one in sent:
                    self._client.cancel(one.job["id"])
                raise

    def _send(self, found: InputFile) -> _Sent | None:
        """Submit a picture under the id that it has always; None if it was refused, which is told."""
        try:
            data = sys.stdin.buffer.read() if found.path is None else _read(found.path)
            name = "stdin" if found.path is None else found.path.name
            text = json.dumps([hashlib.sha256(data).hexdigest(), self._parameters, name], sort_keys=True)
            id = hashlib.sha256(text.encode()).hexdigest()[:32]
            job = self._client.submit(data, id=id, name=_printable(name), **self._parameters)
            if job["state"] in ("failed", "canceled"):  # of an earlier run: try again
                self._client.cancel(id)
                job = self._client.submit(data, id=id, name=_printable(name), **self._parameters)
            return _Sent(found, job)
        except UsageError:
            raise
        except UpresError as error:
            self._failed(found, error)
            return None

    def _fetch(self, sent: _Sent, destination: Destination, display: JobProgress, done: float) -> None:
        """Follow a job and write its result."""
        found, job = sent.found, sent.job
        try:
            if job["state"] != "done":
                for now in self._client.follow(job["id"]):
                    job = now
                    display.update(done + job.get("progress", 0.0))
            if job["state"] != "done":
                self._client.result(job["id"])  # raises the job's error
            suffix = Path(job["result"]["name"]).stem.removeprefix(Path(job["name"]).stem)
            ending = next(end for end, form in WRITABLE_FORMATS.items() if form == destination.format)
            target = destination.target(found, suffix, ending)
            if target is not None and exists(target) and not self._overwrite:
                display.say(f"kept: {shown(target)} exists (--overwrite replaces it)")
                return
            data = self._client.result(job["id"])
            if target is None:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(target, data)
                size, model = job["size"], job["model"]
                display.say(f"{shown(target)}: {size['width']} x {size['height']}, {model['name']}")
            for note in job["notes"]:
                display.say(f"{shown(found.name)}: {shown(note)}")
        except UpresError as error:
            self._failed(found, error)

    def _failed(self, found: InputFile, error: UpresError) -> None:
        say(f"{shown(found.name)}: {words_for(error).removeprefix('upres: ')}")
        self._code = self._code or exit_code_of(error)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"it cannot be read ({error.strerror or error})") from error


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "_" for letter in name)[:200]
