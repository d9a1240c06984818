"""What a result says of how it was made: written into XMP, read again, compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import compact_file, noise, picture
from upres.batch.record import difference, label, make_record, read_record, with_record
from upres.images.io import Picture, read_picture, write_picture
from upres.models.expression import parse

RECORD = make_record({"model": "a>b", "tta": "", "factor": "2"}, 8, 9, b"a picture")
CAMERA = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="a camera"/></rdf:RDF>'
    b"</x:xmpmeta>"
)


def written(path: Path, xmp: bytes | None, side: tuple[int, int] = (8, 9)) -> Path:
    source = picture(noise(*side))
    write_picture(Picture(source.pixels, xmp=xmp), path)
    return path


def test_the_size_stands_for_the_options_that_gave_it() -> None:
    assert {name: RECORD[name] for name in ("model", "tta", "size")} == {"model": "a>b", "tta": "", "size": "9 x 8"}
    assert len(RECORD) == 4


def test_a_picture_is_known_by_its_bytes(tmp_path: Path) -> None:
    """By the size, the beginning and the end: not by the name, and not by whether it came from a file."""
    data = bytes(100_000) + b"end"
    (tmp_path / "a.png").write_bytes(data)
    known = make_record({}, 1, 1, data)
    assert make_record({}, 1, 1, tmp_path / "a.png") == known
    others = (data[:-1], b"x" + data[1:], data[:-3] + b"END", bytes(1) + data, b"")
    assert len({known["input"], *(make_record({}, 1, 1, other)["input"] for other in others)}) == 6


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "avif"])
@pytest.mark.parametrize("xmp", [None, CAMERA], ids=["alone", "beside a camera's"])
def test_every_format_keeps_it(tmp_path: Path, ending: str, xmp: bytes | None) -> None:
    path = written(tmp_path / f"a.{ending}", with_record(xmp, RECORD))
    assert read_record(path) == RECORD
    if xmp is not None:
        assert b'dc:source="a camera"' in (read_picture(path).xmp or b"")


def test_a_later_record_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    once = with_record(CAMERA, make_record({"model": "old"}, 1, 1, b""))
    assert with_record(once, RECORD) == with_record(CAMERA, RECORD)
    as_element = CAMERA.replace(b"</rdf:RDF>", b"<upres:made>{}</upres:made></rdf:RDF>")
    assert with_record(as_element, RECORD) == with_record(CAMERA, RECORD)


@pytest.mark.parametrize(
    "made",
    [
        None,
        CAMERA,
        with_record(None, make_record({}, 4, 4, b"")),  # the picture was cropped since
        with_record(None, RECORD).replace(b"model", b"&bad;"[:3]).replace(b"{", b"["),
        b"xmp",
    ],
    ids=["no XMP", "another's", "of another size", "torn", "no XMP at all"],
)
def test_what_says_nothing_is_not_known(tmp_path: Path, made: bytes | None) -> None:
    assert read_record(written(tmp_path / "a.png", made)) is None


def test_what_is_no_picture_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"mine")
    assert read_record(tmp_path / "a.png") is None


def test_xmp_that_cannot_be_read_stays_as_it_is() -> None:
    assert with_record(b"xmp", RECORD) == b"xmp"


def test_models_by_name_and_files_by_their_bytes(tmp_path: Path) -> None:
    for name in ("1", "2", "moved"):
        (tmp_path / name).mkdir()
    one, other = (str(compact_file(tmp_path / f"{seed}" / "m.safetensors", 2, seed=seed)) for seed in (1, 2))
    moved = Path(one).rename(tmp_path / "moved" / "m.safetensors")
    found = label(parse(str(moved)))
    assert found.startswith("m.safetensors@") and str(tmp_path) not in found
    assert label(parse(f"compact-x4:0.5,{other}:0.5>compact-x2")).startswith("compact-x4:0.5,m.safetensors@")
    assert label(parse(other)) != found
    Path(one).write_bytes(moved.read_bytes())
    assert label(parse(one)) == found


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({"model": "a"}, {"model": "a"}, ""),
        ({"model": "a"}, {"model": "b"}, "made with `model=a`; `model=b` was not used"),
        (
            {"model": "a"},
            {"model": "b", "tta": ""},
            "made with `model=a`, without `tta`; `model=b` and `tta=True` were not used",
        ),
        ({"blend": "0.5"}, {}, "made with `blend=0.5`; the request has other settings"),
        ({"input": "1"}, {}, ""),
        ({}, {"input": "2"}, ""),
        ({"input": "1", "size": "9 x 8"}, {"input": "2", "size": "18 x 16"}, "made from another picture"),
        (
            {"model": "a", "input": "1"},
            {"model": "b", "input": "2"},
            "made from another picture, with `model=a`; `model=b` was not used",
        ),
        ({"size": "9 x 8"}, {"size": "18 x 16"}, "made with a size of 9 x 8; a size of 18 x 16 was not used"),
    ],
)
def test_the_difference_in_words(before: dict[str, str], now: dict[str, str], words: str) -> None:
    assert difference(before, now) == words
