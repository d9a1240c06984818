"""What does not fit a Struct is refused by the path of its key, with the nearest name and the value that was found."""

from __future__ import annotations

from typing import Annotated

import pytest
from msgspec import Meta, Struct

from upres.errors import UsageError
from upres.system.structs import check_fields, convert


def even(value: int) -> str:
    return "" if value % 2 == 0 else f"must be even, got {value}"


class Circle(Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="circle"):
    radius: Annotated[float, Meta(gt=0.0, description="a length above 0")]
    parts: Annotated[int, even] | None = None

    def __post_init__(self) -> None:
        check_fields(self)


class Square(Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="square"):
    side: float
    filled: bool = False


class Border(Struct, frozen=True, forbid_unknown_fields=True):
    width: int
    circle: Circle | None = None


class Sheet(Struct, frozen=True, forbid_unknown_fields=True):
    shapes: tuple[Circle | Square, ...]
    border: Border | None = None


def test_what_fits_is_converted() -> None:
    sheet = convert(
        {"shapes": [{"op": "circle", "radius": 2}, {"op": "square", "side": 1.5}], "border": {"width": 1}},
        Sheet,
        "a.toml",
    )
    assert sheet == Sheet((Circle(2.0), Square(1.5)), Border(1))
    assert convert({"width": "3"}, Border, "a line", strict=False) == Border(3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "a.toml: shapes is missing"),
        ([], "a.toml: expected a table, got []"),
        ({"shape": []}, "a.toml: unknown key 'shape', did you mean 'shapes'?; there are shapes, border"),
        (
            {"shapes": [{"op": "circel"}]},
            "a.toml, shapes 1: unknown op 'circel', did you mean 'circle'?; there are circle, square",
        ),
        ({"shapes": [{}]}, "a.toml, shapes 1: op is missing; there are circle, square"),
        ({"shapes": [{"op": "circle"}]}, "a.toml, shapes 1 (circle): radius is missing: expected a length above 0"),
        (
            {"shapes": [{"op": "square", "side": 1}, {"op": "circle", "radius": -1}]},
            "a.toml, shapes 2 (circle): radius must be a length above 0, got -1",
        ),
        (
            {"shapes": [{"op": "circle", "radius": 1, "parts": 3}]},
            "a.toml, shapes 1 (circle): parts must be even, got 3",
        ),
        (
            {"shapes": [{"op": "circle", "radius": 1, "parts": 2.5}]},
            "a.toml, shapes 1 (circle): parts must be a whole number, got 2.5",
        ),
        (
            {"shapes": [{"op": "square", "sid": 1}]},
            "a.toml, shapes 1 (square): unknown key 'sid', did you mean 'side'?; there are side, filled",
        ),
        (
            {"shapes": [{"op": "square", "side": 1, "filled": 1}]},
            "a.toml, shapes 1 (square): filled must be true or false, got 1",
        ),
        ({"shapes": [3]}, "a.toml: shapes must be a table, got [3]"),
        ({"shapes": [], "border": {"width": "1"}}, "a.toml: border.width must be a whole number, got '1'"),
        (
            {"shapes": [], "border": {"with": 1}},
            "a.toml: border: unknown key 'with', did you mean 'width'?; there are width, circle",
        ),
        (
            {"shapes": [], "border": {"width": 1, "circle": {"op": "circle", "radius": 0}}},
            "a.toml: border.circle.radius must be a length above 0, got 0",
        ),
        (
            {"shapes": [], "border": {"width": 1, "circle": {"op": "circle", "radius": 1, "parts": 1}}},
            "a.toml: border.circle.parts must be even, got 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_its_path(data: object, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        convert(data, Sheet, "a.toml")
    assert str(caught.value) == words
