"""A client of `upres serve`: submit pictures, follow them, fetch results. Needs no package of the extra `serve`."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from upres.errors import EngineError, InputError, ModelError, OutOfMemoryError, OutputError, UpresError, UsageError
from upres.system.files import write_atomic

_AGAIN_S = 1.0
_PATIENCE_S = 120.0  # for a server that is away, as while it restarts
_ERRORS: dict[str, type[UpresError]] = {
    "picture": InputError,
    "picture_too_large": InputError,
    "body_too_large": InputError,
    "result_too_large": InputError,
    "model": ModelError,
    "bad_request": UsageError,
    "unauthorized": UsageError,
    "conflict": UsageError,
    "out_of_memory": OutOfMemoryError,
}
Job = dict[str, Any]


class Client:
    """Calls one server.

    url: Such as "http://gpu-box:8321".
    token: The secret, where the server wants one.
    patience_s: How long a server may be away, or its queue full, before a call gives up.

    Methods raise the error of the library that the server's answer stands for (`InputError` for a picture that cannot
    be read, `ModelError`, `UsageError`, ...), and `OutputError` for a server that cannot be reached.
    """

    def __init__(self, url: str, token: str | None = None, *, patience_s: float = _PATIENCE_S) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"`url` must begin with http:// or https://, got {url!r}")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.url, self._patience_s = url.rstrip("/"), patience_s
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=httpx.Timeout(60.0, connect=10.0))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def limits(self) -> dict[str, Any]:
        """What the server takes."""
        return self._call("GET", "/v1/limits").json()

    def models(self) -> list[dict[str, Any]]:
        """The cards of its models."""
        return self._call("GET", "/v1/models").json()["models"]

    def estimate(self, picture: bytes, **parameters: Any) -> dict[str, Any]:
        """How long a picture would take, and the queue before it."""
        return self._call("POST", "/v1/estimate", params=_query(parameters), content=picture).json()

    def submit(self, picture: bytes, *, id: str | None = None, **parameters: Any) -> Job:
        """Have a picture upscaled. The same id with the same picture and parameters is the same job: submitting again
        after a lost answer changes nothing.

        picture: The bytes of its file.
        id: 8 to 64 letters, digits, hyphens or underscores; None: a new one.
        parameters: `model`, `scale`, `width`, `format`, ...: docs/serve.md has all.
        """
        path = f"/v1/jobs/{id or uuid.uuid4()}"
        return self._call("PUT", path, params=_query(parameters), content=picture).json()

    def job(self, id: str) -> Job:
        """A job as it is now."""
        return self._call("GET", f"/v1/jobs/{id}").json()

    def cancel(self, id: str) -> None:
        """Stop a job, or remove one that has ended."""
        self._call("DELETE", f"/v1/jobs/{id}")

    def follow(self, id: str) -> Iterator[Job]:
        """The job each time it changes, until it has ended; goes on after a lost connection, or a restart."""
        last, away_since = "0", None
        while True:
            try:
                for number, job in self._stream(id, last):
                    last, away_since = number or last, None
                    yield job
                    if job.get("state") in ("done", "failed", "canceled"):
                        return
            except httpx.TransportError as error:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > self._patience_s:
                    raise self._away(error) from error
                time.sleep(_AGAIN_S)
                continue
            job = self.job(id)  # the stream ended before the job did, or had nothing more to say
            yield job
            if job["state"] in ("done", "failed", "canceled"):
                return

    def _stream(self, id: str, after: str) -> Iterator[tuple[str, Job]]:
        headers = {"Last-Event-ID": after}
        with self._http.stream("GET", f"/v1/jobs/{id}/events", headers=headers) as response:
            if response.status_code >= 400:
                response.read()
                raise error_of(response)
            number = ""
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    number = value
                elif name == "data":
                    yield number, json.loads(value)

    def result(self, id: str) -> bytes:
        """The file that a job made. Raises the error of one that failed."""
        return self._call("GET", f"/v1/jobs/{id}/result").content

    def save(self, id: str, path: Path) -> None:
        """Write the result of a job to a file, atomically."""
        write_atomic(path, self.result(id))

    def upscale(self, picture: bytes, *, progress: Callable[[Job], None] | None = None, **parameters: Any) -> bytes:
        """Submit, follow and fetch. `progress` is called with the job each time it changes."""
        id = self.submit(picture, **parameters)["id"]
        try:
            for job in self.follow(id):
                if progress is not None:
                    progress(job)
        except KeyboardInterrupt:
            self.cancel(id)
            raise
        return self.result(id)

    def _call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The answer; asks again while the server is away or its queue is full. Every call may be repeated."""
        until = time.monotonic() + self._patience_s
        while True:
            try:
                response = self._http.request(method, path, **more)
            except httpx.TransportError as error:
                if time.monotonic() > until:
                    raise self._away(error) from error
                time.sleep(_AGAIN_S)
                continue
            if response.status_code < 400:
                return response
            wait_s = float(response.headers.get("retry-after", 0))
            if not wait_s or code_of(response) == "wait_too_long" or time.monotonic() + wait_s > until:
                raise error_of(response)
            time.sleep(wait_s)

    def _away(self, error: Exception) -> OutputError:
        return OutputError(f"{self.url} cannot be reached ({error}); check the address, or start `upres serve` there")


def _query(parameters: dict[str, Any]) -> dict[str, str]:
    texts = {name: f"{value}" for name, value in parameters.items() if value is not None}
    return {name: text.lower() if text in ("True", "False") else text for name, text in texts.items()}


def code_of(response: httpx.Response) -> str:
    """The code of a problem; "" where the answer is none, as from a proxy."""
    try:
        return str(response.json()["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def error_of(response: httpx.Response) -> UpresError:
    """The error that an answer stands for."""
    code = code_of(response)
    if not code:
        return OutputError(f"{response.url} answers {response.status_code}; is it `upres serve`?")
    return _ERRORS.get(code, EngineError)(response.json()["detail"])
