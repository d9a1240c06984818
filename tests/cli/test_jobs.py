from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path


def test_the_report_in_words_as_json_and_as_a_table(
    tmp_path: Path, photo: Path, model: Path, upres: Callable[..., tuple[str, str]]
) -> None:
    bad, out = tmp_path / "bad\x1b.png", tmp_path / "out"
    bad.touch()
    lines, _ = upres("upscale", photo, bad, "-n", model, "-o", out, "--json", code=3)
    failed, made, end = map(json.loads, lines.splitlines())
    assert (failed["state"], failed["code"], failed["source"]) == ("failed", 3, str(bad))
    assert (made["state"], made["target"], made["pixels"]) == ("done", "photo.png", 2400)
    assert (end["event"], end["done"], end["failed"], end["left"]) == ("end", 1, 1, 0)

    words, _ = upres("jobs", out)
    assert words.startswith(f"{out}: 2 pictures: 1 done, 1 failed\n") and "\\x1b.png is empty" in words
    whole, *pictures = map(json.loads, upres("jobs", out, "--json")[0].splitlines())
    assert (whole["event"], whole["pictures"], whole["left_s"]) == ("job", {"done": 1, "failed": 1}, 0)
    same = ("source", "target", "pixels", "model", "source_sha256", "result_sha256")
    assert pictures[0] | {name: made[name] for name in same} | {"model": pictures[0]["model"]} == pictures[0]
    table = list(csv.DictReader(upres("jobs", out, "--csv")[0].splitlines()))
    assert [row["state"] for row in table] == ["done", "failed"]
    assert table[0]["result_sha256"] == made["result_sha256"]


def test_what_is_refused(tmp_path: Path, photo: Path, model: Path, upres: Callable[..., tuple[str, str]]) -> None:
    _, words = upres("jobs", tmp_path, code=3)
    assert "has no journal of a job; name the output folder of `upres upscale`" in words
    _, words = upres("jobs", tmp_path, "--json", "--csv", code=2)
    assert "--json and --csv exclude each other" in words
    _, words = upres("upscale", photo, "-n", model, "-o", "-", "--json", code=2)
    assert "--json prints to standard output, where the picture goes" in words
    _, words = upres("upscale", photo, "-n", model, "--shard", "1/2", code=2)
    assert "--shard needs an output folder: -o FOLDER/" in words
