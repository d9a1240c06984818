"""The OpenAPI document tells of every route, and the answers are what it says."""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.serve.running import Running, running
from tests.tiny import noise, picture
from upres.images.io import encode_picture
from upres.serve.app import api_routes
from upres.serve.docs_page import docs_html
from upres.serve.openapi import openapi_document
from upres.serve.parameters import Parameters
from upres.serve.problems import STATUS

DOCUMENT = openapi_document()


def test_every_route_is_described() -> None:
    described = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    routes = {
        (method, route.path)  # type: ignore[attr-defined]
        for route in api_routes()
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
    }
    assert routes - described == {("GET", "/openapi.json"), ("GET", "/docs")}
    assert described <= routes


def test_every_parameter_is_described() -> None:
    told = {one["name"] for one in DOCUMENT["paths"]["/v1/upscale"]["post"]["parameters"] if one["in"] == "query"}
    assert told == {*Parameters.__struct_fields__, "source", "url", "max_wait_s"}


def test_references_lead_somewhere() -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                found: Any = DOCUMENT
                for step in node["$ref"].removeprefix("#/").split("/"):
                    found = found[step]
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(DOCUMENT)


def test_the_page_of_the_document_has_no_script(server: Running) -> None:
    page = server.client.get("/docs").text
    assert page == docs_html(DOCUMENT) and "<script" not in page and " on" not in re.sub(r">[^<]*<", "><", page)
    assert all(path in page for path in DOCUMENT["paths"])
    assert server.client.get("/openapi.json").json() == DOCUMENT


def test_the_document_lists_every_code() -> None:
    assert DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == sorted(STATUS)


@pytest.mark.extras
@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_answers_are_what_the_document_says(tmp_path: Path, mode: str) -> None:
    """schemathesis calls every operation with what the document allows, and with what it does not."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    calm = settings(
        max_examples=20,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    data = encode_picture(picture(noise(4, 4)), "png")
    tried: list[str] = []
    with running(tmp_path, fake=False, threads=1, queue=50, max_mp=1.0, max_mp_out=1.0) as server:
        name = str(uuid.uuid4())
        server.put(name, data, scale=2)
        server.wait(name)
        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.path in ("/v1/events", "/v1/jobs/{id}/events"):  # streams do not end
                continue

            @calm
            @given(case=operation.as_strategy(generation_mode=GenerationMode[mode]))
            def call(case: Any) -> None:
                # A picture of random bytes is no picture, and sizes exclude each other, which no schema says.
                case.call_and_validate(base_url=server.url, timeout=30, excluded_checks=[positive_data_acceptance])

            with suppress(Unsatisfiable):  # what takes nothing cannot be asked wrongly
                call()
                tried.append(operation.label)
    assert len(tried) >= 10
