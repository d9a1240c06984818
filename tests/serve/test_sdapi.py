"""The doors of other servers, with payloads as their clients send them."""

from __future__ import annotations

import base64
from typing import Any

from tests.serve.running import Running

PICTURE = base64.b64encode(b'{"x": 1}').decode()
# As the web UI's own API documents it, with all fields.
SINGLE: dict[str, Any] = {
    "resize_mode": 0,
    "show_extras_results": True,
    "gfpgan_visibility": 0,
    "codeformer_visibility": 0,
    "codeformer_weight": 0,
    "upscaling_resize": 2,
    "upscaling_resize_w": 512,
    "upscaling_resize_h": 512,
    "upscaling_crop": True,
    "upscaler_1": "compact-x4",
    "upscaler_2": "None",
    "extras_upscaler_2_visibility": 0,
    "upscale_first": False,
    "image": f"data:image/png;base64,{PICTURE}",
}


def test_one_picture(server: Running) -> None:
    for image in (SINGLE["image"], PICTURE):
        answer = server.client.post("/sdapi/v1/extra-single-image", json=SINGLE | {"image": image})
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"html_info": "<p>compact-x4: done</p>", "image": PICTURE}
    assert server.client.get("/v1/jobs").json()["jobs"] == []


def test_the_least_that_a_client_sends(server: Running) -> None:
    answer = server.client.post("/sdapi/v1/extra-single-image", json={"image": PICTURE})
    assert answer.status_code == 200
    box = {"image": PICTURE, "resize_mode": 1, "upscaling_resize_w": 100, "upscaling_crop": False}
    assert server.client.post("/sdapi/v1/extra-single-image", json=box).status_code == 200


def test_several_pictures_keep_their_order(server: Running) -> None:
    pictures = [base64.b64encode(b'{"n": %d}' % number).decode() for number in range(3)]
    given = {**SINGLE, "imageList": [{"data": data, "name": f"{place}.png"} for place, data in enumerate(pictures)]}
    del given["image"]
    answer = server.client.post("/sdapi/v1/extra-batch-images", json=given).json()
    assert answer["images"] == pictures and answer["html_info"].count("<p>") == 3
    assert server.client.post("/sdapi/v1/extra-batch-images", json={"imageList": []}).status_code == 400


def test_the_upscalers_are_listed(server: Running) -> None:
    rows = server.client.get("/sdapi/v1/upscalers").json()
    assert rows[0]["name"] == "None" and {"compact-x4", "photo-x4"} <= {row["name"] for row in rows}
    assert set(rows[1]) == {"name", "model_name", "model_path", "model_url", "scale"}


def test_what_is_not_offered_is_refused(server: Running) -> None:
    for more in (
        {"gfpgan_visibility": 0.5},
        {"upscaler_2": "photo-x4", "extras_upscaler_2_visibility": 0.5},
        {"resize_mode": 1},
        {"upscaler_1": "R-ESRGAN 4x+"},
        {"image": "***"},
        {"upscaling_resize": 0},
    ):
        answer = server.client.post("/sdapi/v1/extra-single-image", json=SINGLE | more)
        assert answer.status_code in (400, 422), more
    assert server.client.post("/sdapi/v1/extra-single-image", content=b"{").status_code == 400


def test_a_body_of_base64_is_bounded(server: Running) -> None:
    answer = server.client.post("/sdapi/v1/extra-single-image", json={"image": "A" * 2_000_000})
    assert answer.status_code == 413
