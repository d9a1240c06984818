"""How often a network runs to reach a size."""

from __future__ import annotations

MAX_PASSES = 2
PLAIN_STRETCH = 1.15  # a cubic resize covers this much beyond the network's scale as well as a second pass does


def count_passes(
    height: int, width: int, target: tuple[int, int], scale: int, *, clean: bool = False
) -> tuple[int, tuple[str, ...]]:
    """How often a network of `scale` runs on (height, width) to reach `target` (h, w), and notes for the user.

    clean: The network also runs if the target is as large as the picture: its result, reduced, is a cleaned picture.
    """
    ratio = max(target[0] / height, target[1] / width)
    if scale == 1:
        resized = "the model does not enlarge; its result was resized by cubic interpolation"
        return 1, () if target == (height, width) else (resized,)
    if target[0] <= height and target[1] <= width and not (clean and target == (height, width)):
        return 0, ("the output is not larger than the input: cubic interpolation was used, and no network",)
    if ratio <= scale * PLAIN_STRETCH or (target[0] <= height * scale and target[1] <= width * scale):
        return 1, ()
    notes = [f"more than x{scale}: the network ran twice and its result was resized to fit"]
    if (target[0], target[1]) == (height * scale**2, width * scale**2):
        notes = [f"the x{scale} network ran twice to reach x{scale**2}"]
    if ratio > scale**2 * PLAIN_STRETCH:
        notes = [f"more than x{scale**2}: the network ran twice; the rest is cubic interpolation, which adds no detail"]
    return MAX_PASSES, tuple(notes)
