"""Reports as JSON, and joined."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from upres.errors import InputError
from upres.evaluation.costs import Costs, ModelFacts
from upres.evaluation.measures import Measures
from upres.evaluation.report import Report, join_reports, read_report
from upres.evaluation.scores import Scores
from upres.evaluation.tables import Evaluation


def report(model: str = "m", *, border: int = 4, hash: str = "aa", bicubic: float = 26.0, files: str = "ab") -> Report:
    protocol = Measures(border).protocol(4, truth=True, lr_given=False)
    scores = {
        "bicubic": {file: Scores(28.0, 0.8, bicubic, 0.7) for file in files},
        model: {file: Scores(math.inf, 0.9, 27.0 + index, 0.75) for index, file in enumerate(files)},
    }
    evaluation = Evaluation(protocol, scores, {"bad": "broken"}, costs={model: Costs(2.0, 1.0, 3e6)})
    return Report("1", {"s": evaluation}, {model: ModelFacts((hash,), 10, 2.5)})


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(report().to_json(), allow_nan=False))
    assert read_report(path).to_json() == report().to_json()
    assert read_report(path).sets["s"].scores == report().sets["s"].scores


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "is not a report"),
        ("{", "is not a report"),
        ('{"protocol": {}, "models": {}}', "a report of format 1, expected 2"),
        ('{"format": 2, "upres": "1", "models": {}, "sets": {"a": {"protocol": {}, "models": {}}}}', "is not a report"),
        ('{"format": 2, "upres": "1", "models": {}, "sets": {}, "more": 1}', "is not a report"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError, match=words):
        read_report(tmp_path / "r.json")


def test_a_missing_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the report"):
        read_report(tmp_path / "none.json")


def test_rows_of_the_same_set_are_joined() -> None:
    joined = join_reports([report("one"), report("two")])
    assert joined.models == ["bicubic", "one", "two"] and list(joined.facts) == ["one", "two"]
    assert list(joined.sets["s"].costs) == ["two", "one"]


def test_what_is_not_the_same_is_refused() -> None:
    for other, words in [
        (report("two", border=2), "different protocols"),
        (report("two", files="ac"), "different pictures in the reports, such as b"),
        (report("two", bicubic=26.1), "another picture a in each report"),
        (report("one", hash="bb"), "the model one has other files"),
    ]:
        with pytest.raises(InputError, match=words):
            join_reports([report("one"), other])
