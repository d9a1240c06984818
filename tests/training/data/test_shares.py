"""However many ranks there are, each sample of a batch is drawn once, in the same micro-batch."""

from __future__ import annotations

from itertools import chain

import pytest

from upres.training.config import TrainConfig
from upres.training.data.shares import share_of


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_no_sample_is_lost_or_drawn_twice(accumulate: int) -> None:
    config = TrainConfig("", 2, batch=24, accumulate=accumulate)
    part = 24 // accumulate
    for ranks in (1, 2, 4):
        shares = [share_of(config, rank, ranks) for rank in range(ranks)]
        assert sorted(chain.from_iterable(shares)) == list(range(24))
        for i in range(accumulate):
            own = part // ranks
            together = list(chain.from_iterable(share[i * own : (i + 1) * own] for share in shares))
            assert together == list(range(i * part, (i + 1) * part))
