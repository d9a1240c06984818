"""Which value of a score is the best."""

from __future__ import annotations

from upres.evaluation.scores import DECIMALS, LOWER_IS_BETTER, NEAREST_TO_ONE, Scores, best_of, mean_scores


def test_best_is_the_highest_the_lowest_or_the_nearest_to_one() -> None:
    assert best_of("psnr_y", [28.0, 31.0, 30.0]) == 31.0
    assert best_of("niqe", [6.0, 5.5]) == 5.5
    assert best_of("high_band", [0.2, 1.1, 4.0]) == 1.1


def test_every_score_has_decimals() -> None:
    assert set(DECIMALS) == set(Scores.__dataclass_fields__) >= LOWER_IS_BETTER | NEAREST_TO_ONE


def test_a_mean_exists_where_all_pictures_have_the_score() -> None:
    assert mean_scores([Scores(30.0, niqe=5.0), Scores(31.0)]) == Scores(30.5)
