"""The schemas of the OpenAPI document: parameters, jobs, problems, cards."""

from __future__ import annotations

from typing import Any

from upres.serve.parameters import FORMATS
from upres.serve.problems import STATUS

Node = dict[str, Any]

ID_PATTERN = "^[A-Za-z0-9_-]{8,64}$"
TEXT: Node = {"type": "string"}
NUMBER: Node = {"type": "number"}
COUNT: Node = {"type": "integer", "minimum": 0}
SIDE: Node = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
PICTURE: Node = {"required": False, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}


def nullable(schema: Node) -> Node:
    """`schema`, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def an_object(required: str, **properties: Node) -> Node:
    """An object with these properties, of which those named in `required` are always there."""
    return {"type": "object", "required": required.split(), "properties": properties}


def query(name: str, description: str, schema: Node) -> Node:
    """An optional parameter of the query."""
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


# Of an upscale, as parameters of the query; `Parameters` checks them.
UPSCALE = [
    query("model", "A model, a blend or a chain; without it the picture decides.", {**TEXT, "maxLength": 300}),
    query("scale", "Factor of the sides.", {**NUMBER, "exclusiveMinimum": 0, "maximum": 64}),
    query("width", "Width of the result; with height: a box.", SIDE),
    query("height", "Height of the result.", SIDE),
    query("long_side", "Longer side of the result.", SIDE),
    query("megapixels", "Size of the result in megapixels.", {**NUMBER, "exclusiveMinimum": 0, "maximum": 1e6}),
    query("format", "Format of the result.", {**TEXT, "enum": list(FORMATS)}),
    query("quality", "Quality of JPEG, WebP and AVIF.", {"type": "integer", "minimum": 1, "maximum": 100}),
    query("png_level", "Compression of PNG.", {"type": "integer", "minimum": 0, "maximum": 9}),
    query("denoise", "Denoising strength of a model that has a twin.", {**NUMBER, "minimum": 0, "maximum": 1}),
    query("tta", "Average over eight rotations and flips.", {"type": "boolean"}),
    query("blend", "1 is the network alone, 0 a cubic resize.", {**NUMBER, "minimum": 0, "maximum": 1}),
    query("color_lock", "Keep the colors of large areas.", {"type": "boolean"}),
    query("wrap", "Treat the picture as a seamless texture.", {"type": "boolean"}),
    query("name", "File name of the picture.", {**TEXT, "maxLength": 200}),
    query("group", "Marks what belongs together.", {**TEXT, "maxLength": 64}),
    query(
        "source",
        "Id of an earlier job whose picture is used; the body is empty.",
        {**TEXT, "pattern": "^[A-Za-z0-9_-]{8,64}$"},
    ),
    query("url", "Address of the picture, where the server allows it.", TEXT),
    query("max_wait_s", "Refuse at once what would take longer.", {**NUMBER, "minimum": 0}),
]
ID: Node = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "Chosen by the client: 8 to 64 letters, digits, hyphens or underscores.",
    "schema": {**TEXT, "pattern": ID_PATTERN},
}
AFTER = query("after", "Replay what came after this event.", {"type": "integer", "minimum": 0, "maximum": 2**53})

PROBLEM = an_object(
    "type title status code detail",
    type=TEXT,
    title=TEXT,
    status={"type": "integer", "minimum": 400, "maximum": 599},
    code={**TEXT, "enum": sorted(STATUS)},
    detail=TEXT,
    request_id=TEXT,
    retry_after_s=NUMBER,
)
MODEL = an_object("name reason other", name=TEXT, reason=nullable(TEXT), other=TEXT)
JOB = an_object(
    "id state name group created_at started_at ended_at attempt request picture model size place progress eta_s result "
    "notes error links",
    id=TEXT,
    state={**TEXT, "enum": ["queued", "running", "done", "failed", "canceled"]},
    name=TEXT,
    group=TEXT,
    created_at=NUMBER,
    started_at=nullable(NUMBER),
    ended_at=nullable(NUMBER),
    attempt=COUNT,
    request={"type": "object"},
    picture=an_object("sha256 bytes", sha256=TEXT, bytes=COUNT, width=COUNT, height=COUNT, format=TEXT),
    model=nullable(MODEL),
    size=nullable(an_object("width height", width=COUNT, height=COUNT)),
    place=nullable(COUNT),
    progress={**NUMBER, "minimum": 0, "maximum": 1},
    eta_s=nullable(NUMBER),
    result=nullable(
        an_object("bytes sha256 type name seconds", bytes=COUNT, sha256=TEXT, type=TEXT, name=TEXT, seconds=NUMBER)
    ),
    notes={"type": "array", "items": TEXT},
    error=nullable({"$ref": "#/components/schemas/Problem"}),
    links={"type": "object"},
)
CARD = an_object(
    "name aliases family scale license bytes state purpose training_data page parameters macs_per_pixel "
    "seconds_per_megapixel",
    name=TEXT,
    aliases={"type": "array", "items": TEXT},
    family=TEXT,
    scale={"type": "integer", "minimum": 1},
    license=TEXT,
    bytes=nullable(COUNT),
    state={**TEXT, "enum": ["house", "here", "added"]},
    purpose=TEXT,
    training_data=TEXT,
    page=TEXT,
    parameters=nullable(COUNT),
    macs_per_pixel=nullable(NUMBER),
    seconds_per_megapixel=nullable(NUMBER),
)
ESTIMATE = an_object(
    "seconds measured queue_seconds queue megapixels width height model memory_bytes",
    seconds=NUMBER,
    measured={"type": "boolean"},
    queue_seconds=NUMBER,
    queue=COUNT,
    megapixels=NUMBER,
    width=COUNT,
    height=COUNT,
    model=MODEL,
    memory_bytes=COUNT,
)
