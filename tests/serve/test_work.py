"""The real worker behind the server: results equal those of `upres upscale`; hostile pictures and limits are told."""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.serve.running import Running, running
from tests.tiny import noise, picture
from upres.images.io import encode_picture, read_picture
from upres.models.add import add

SMALL = {"max_mp": 1.0, "max_mp_out": 2.0, "threads": 1, "queue": 8}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("data"), fake=False, **SMALL) as one:
        yield one


@pytest.fixture(scope="module")
def photo() -> bytes:
    return encode_picture(picture(noise(24, 32), dpi=(300.0, 300.0)), "png")


Command = Callable[..., tuple[str, str]]


def test_the_result_is_that_of_upres_upscale_to_the_byte(
    real: Running, photo: bytes, tmp_path: Path, upres: Command
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(photo)
    upres("upscale", path, "-s", 3, "-n", "compact-x4", "--tta", "--threads", 1, "-o", tmp_path / "out.webp")
    answer = real.post(photo, scale=3, model="compact-x4", tta="true", format="webp")
    assert answer.status_code == 200 and answer.content == (tmp_path / "out.webp").read_bytes()
    assert answer.headers["upres-model"] == "compact-x4"


def test_the_picture_chooses_its_model_as_on_the_command_line(
    real: Running, photo: bytes, tmp_path: Path, upres: Command
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(photo)
    upres("upscale", path, "-s", 2, "--threads", 1, "-o", tmp_path / "out.png")
    name = uuid.uuid4().hex
    real.put(name, photo, scale=2, name="photo.png")
    job = real.wait(name)
    assert real.client.get(f"/v1/jobs/{name}/result").content == (tmp_path / "out.png").read_bytes()
    report = json.loads(upres("inspect", path, "--json", "-s", 2)[0])
    assert (job["model"]["name"], job["model"]["reason"]) == (report["model"]["name"], report["model"]["reason"])
    assert job["size"] == {"width": 64, "height": 48} and job["result"]["name"] == "photo_x2.png"
    assert job["picture"] | {"width": 32, "height": 24, "format": "png"} == job["picture"]


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"hello", "picture", "expected one of"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "picture", "damaged or truncated PNG"),
        (encode_picture(picture(noise(2, 2)), "png")[:-20], "picture", "damaged or truncated PNG"),
        (encode_picture(picture(np.zeros((1001, 1000, 3), np.float32)), "png"), "picture_too_large", "megapixels"),
        (encode_picture(picture(np.zeros((400, 400, 3), np.float32)), "png"), "result_too_large", "megapixels"),
    ],
    ids=["text", "zeros", "cut", "too large", "too large a result"],
)
def test_a_picture_that_cannot_be_done_is_told(real: Running, data: bytes, code: str, words: str) -> None:
    answer = real.post(data)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert words in answer.json()["detail"] and str(real.service.store.folder) not in answer.text


def test_extreme_shapes_are_done(real: Running) -> None:
    for shape in ((1, 1, 3), (3, 2000, 1)):
        data = encode_picture(picture(np.full(shape, 0.5, np.float32)), "png")
        answer = real.post(data, scale=2)
        assert read_picture(answer.content).pixels.shape == (2 * shape[0], 2 * shape[1], shape[2])


def test_what_a_picture_is(real: Running, photo: bytes, tmp_path: Path, upres: Command) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(photo)
    told = json.loads(upres("inspect", path, "--json")[0])
    before = {*real.service.store.pictures.iterdir()}
    answer = real.client.post("/v1/inspect", content=photo).json()
    assert answer["report"] == {name: told[name] for name in answer["report"]}
    assert answer["model"]["name"] == told["model"]["name"]
    assert {*real.service.store.pictures.iterdir()} == before


def test_an_estimate_by_picture_and_by_numbers(real: Running, photo: bytes) -> None:
    asked = real.client.post("/v1/estimate", content=photo, params={"scale": 2, "model": "compact-x2"}).json()
    numbers = {"width": 32, "height": 24, "parameters": {"scale": 2, "model": "compact-x2"}}
    same = real.client.post("/v1/estimate", json=numbers).json()
    assert asked == same | {"queue_seconds": asked["queue_seconds"]} and asked["measured"]
    assert (asked["width"], asked["height"], asked["megapixels"]) == (64, 48, 0.003072)
    assert real.client.post("/v1/estimate", json={"width": 32, "height": 24}).json()["model"]["name"] == "photo-x4"
    for wrong in ({"width": 0, "height": 1}, {"width": 10}, [], {"width": 1, "height": 1, "parameters": {"x": 1}}):
        assert real.client.post("/v1/estimate", json=wrong).status_code == 400


def test_the_models_have_cards(real: Running) -> None:
    answer = real.client.get("/v1/models").json()
    cards = {card["name"]: card for card in answer["models"]}
    assert answer["default"] == "auto" and cards["compact-x4"]["parameters"] > 1000
    assert cards["photo-x4"]["license"] == "Apache-2.0" and cards["photo-x4"]["training_data"]


def test_previews_show_the_whole_or_a_part(real: Running) -> None:
    pixels = np.zeros((40, 80, 3), np.float32)
    pixels[:20, 40:] = (1.0, 0.0, 0.0)
    name = uuid.uuid4().hex
    real.put(name, encode_picture(picture(pixels), "tiff"), scale=2, model="compact-x2")
    real.wait(name)
    path = f"/v1/jobs/{name}/preview"
    whole = real.client.get(path, params={"side": 40})
    assert whole.headers["content-type"] == "image/png"
    assert read_picture(whole.content).pixels.shape == (20, 40, 3)
    part = real.client.get(path, params={"of": "result", "x": 100, "y": 0, "w": 16, "h": 16})
    assert np.allclose(read_picture(part.content).pixels.mean((0, 1)), (1, 0, 0), atol=0.05)
    again = real.client.get(path, params={"side": 40}, headers={"If-None-Match": whole.headers["etag"]})
    assert again.status_code == 304
    for wrong in ({"side": 9}, {"of": "other"}, {"x": 1}, {"x": 0, "y": 0, "w": 0, "h": 1}):
        assert real.client.get(path, params=wrong).status_code == 400
    assert real.client.get(path, params={"x": 900, "y": 0, "w": 1, "h": 1}).status_code == 422


def test_a_running_job_stops_within_a_tile(real: Running) -> None:
    name = uuid.uuid4().hex
    data = encode_picture(picture(noise(300, 400)), "png")
    real.put(name, data, model="photo-x4", tta="true", scale=1)
    real.events(f"/v1/jobs/{name}/events", most=2)
    begun = time.monotonic()
    real.client.delete(f"/v1/jobs/{name}")
    assert real.post(encode_picture(picture(noise(4, 4)), "png"), {"Prefer": "wait=60"}).status_code == 200
    assert time.monotonic() - begun < 20


def test_a_model_of_the_user_is_offered(tmp_path: Path, photo: bytes) -> None:
    from tests.tiny import compact_file

    add(str(compact_file(tmp_path / "mine-x2.safetensors", 2)), name="mine-x2", license="MIT")
    try:
        with running(tmp_path / "data", fake=False, models=("mine-x2",), threads=1) as server:
            assert [card["name"] for card in server.client.get("/v1/models").json()["models"]] == ["mine-x2"]
            answer = server.post(photo, model="MINE-x2")
            assert read_picture(io.BytesIO(answer.content)).pixels.shape == (48, 64, 3)
            assert server.post(photo, model="compact-x4").json()["code"] == "model"
    finally:
        from upres.models.store import read_added, remove

        remove(read_added("mine-x2"))
