"""Bodies of requests: a picture raw or in a form goes to a file as it arrives; JSON is read whole. All are bounded."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from upres.errors import UpresError
from upres.serve.parameters import Call, read_call
from upres.serve.problems import Problem, problem_of
from upres.serve.settings import Settings
from upres.serve.store import Store
from upres.system.files import output_error
from upres.system.text import parse_json

_FORM_BYTES = 64 << 10  # of a form, beside its picture
_CHUNK = 1 << 20
_PICTURE_FIELDS = ("picture", "image", "file")


@dataclass(slots=True)
class Upload:
    """A picture that has arrived. `fields` are those of its form."""

    path: Path
    sha256: str
    bytes: int
    fields: dict[str, str] = field(default_factory=dict[str, str])


def check_length(request: Request, most: int) -> None:
    """Refuse a body that says it is too large, before any of it is read. Raises `Problem`."""
    text = request.headers.get("content-length", "0")
    if not text.isdecimal():
        raise Problem("bad_request", "Content-Length must be a whole number")
    if int(text) > most:
        raise _too_large(most)


def _too_large(most: int) -> Problem:
    return Problem("body_too_large", f"the body is larger than the {most / 1e6:g} MB that this server takes")


def _limited(receive: Receive, most: int) -> Receive:
    """`receive`, which raises `Problem` once more than `most` bytes of body have come."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise _too_large(most)
        return message

    return limited


@asynccontextmanager
async def reading(request: Request, settings: Settings, most: int) -> AsyncGenerator[Request]:
    """The request with a body of at most `most` bytes, which must arrive in time. Raises `Problem`."""
    check_length(request, most)
    try:
        async with asyncio.timeout(settings.body_seconds):
            yield Request(request.scope, _limited(request.receive, most))
    except TimeoutError:
        raise Problem("body_timeout", f"the body took longer than {settings.body_seconds:g} s") from None


async def read_json(request: Request, settings: Settings, most: int) -> Any:
    """The value of a JSON body. Raises `Problem`."""
    async with reading(request, settings, most) as limited:
        body = await limited.body()
    try:
        return parse_json(body)
    except ValueError as error:
        raise Problem("bad_request", f"the body is not JSON ({error})") from error


async def read_picture_body(request: Request, settings: Settings, store: Store) -> Upload | None:
    """The picture in a body, in a file of the store's `incoming`; None for an empty body. Raises `Problem`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":  # curl calls a picture a form by itself
        raise Problem("bad_request", f"expected a picture as the body, or a multipart form, got {kind}")
    form = kind == "multipart/form-data"
    most = settings.max_bytes + (_FORM_BYTES if form else 0)
    path = store.incoming_path()
    try:
        async with reading(request, settings, most) as limited:
            upload = await (_from_form(limited, path) if form else _from_stream(limited, path))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    if upload.bytes == 0:
        path.unlink(missing_ok=True)
        if upload.fields:
            return Upload(path, "", 0, upload.fields)
        return None
    return upload


async def _from_stream(request: Request, path: Path) -> Upload:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("xb") as file:
            async for chunk in request.stream():
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
    except OSError as error:
        raise problem_of(output_error(path, error)) from error
    return Upload(path, digest.hexdigest(), size)


async def _from_form(request: Request, path: Path) -> Upload:
    try:
        form = await request.form(max_files=1, max_fields=50, max_part_size=_FORM_BYTES)
    except HTTPException as error:
        raise Problem("bad_request", f"the form cannot be read ({error.detail})") from error
    digest, size, fields = hashlib.sha256(), 0, dict[str, str]()
    try:
        with path.open("xb") as target:
            for name, value in form.multi_items():
                if not isinstance(value, UploadFile):
                    fields[name] = value
                    continue
                if name not in _PICTURE_FIELDS:
                    raise Problem("bad_request", f"the form has a file {name!r}, expected one called picture")
                fields.setdefault("name", (value.filename or "")[:200])
                while chunk := await value.read(_CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                    target.write(chunk)
    except OSError as error:
        raise problem_of(output_error(path, error)) from error
    finally:
        await form.close()
    return Upload(path, digest.hexdigest(), size, fields)


def call_of(request: Request, upload: Upload | None) -> Call:
    """The parameters in the query string and in the form. Raises `Problem`."""
    given: dict[str, str] = {}
    for name, value in (*request.query_params.multi_items(), *(upload.fields if upload else {}).items()):
        if name in given and name != "name":
            raise Problem("bad_request", f"{name} is given twice", parameter=name)
        given.setdefault(name, value)
    try:
        return read_call(given)
    except UpresError as error:
        raise problem_of(error) from error


def owner_of(request: Request) -> str:
    """The owner that the access rules found."""
    return cast(str, request.state.owner)
