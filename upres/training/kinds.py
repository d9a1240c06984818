"""The kinds of values that settings take: ranges that msgspec checks, with the words of a refusal."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=1, description="a whole number of 1 or more")]
Natural = Annotated[int, Meta(ge=0, description="a whole number of 0 or more")]
Weight = Annotated[float, Meta(ge=0.0, le=1e30, description="a finite number of 0 or more")]
Share = Annotated[float, Meta(ge=0.0, le=1.0, description="a number in [0, 1]")]
Below1 = Annotated[float, Meta(ge=0.0, lt=1.0, description="a number in [0, 1)")]
Rate = Annotated[float, Meta(gt=0.0, lt=1.0, description="a number between 0 and 1")]
Norm = Annotated[float, Meta(gt=0.0, description="a number above 0 (inf switches clipping off)")]
PatchSide = Annotated[int, Meta(ge=8, description="a whole number of 8 or more")]
Factors = Annotated[
    tuple[Annotated[float, Meta(gt=0.0, le=1.0)], ...], Meta(min_length=1, description="numbers in (0, 1]")
]
Fractions = Annotated[
    tuple[Annotated[float, Meta(gt=0.0, lt=1.0)], ...], Meta(description="fractions of the steps, in (0, 1)")
]
Betas = Annotated[tuple[Below1, Below1], Meta(description="two numbers in [0, 1)")]
