"""The guard's arithmetic: against recorded runs that came out well, published logs of lost ones, and closed forms."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping

import pytest

torch = pytest.importorskip("torch")

from upres.training.losses.formulas import GAN_LOSSES, gan_discriminator_loss  # noqa: E402
from upres.training.monitoring.stability import BLIND_LOSS, GuardMemory, StabilityGuard, Verdict, lr_error_255  # noqa: E402
from upres.training.monitoring.validation import Quality  # noqa: E402
from upres.training.recipes import resolve_recipe  # noqa: E402

GAN = dataclasses.replace(resolve_recipe("compact-gan-x4"), checkpoint_every=250, validate_every=250)
WELL = {"discriminator": 0.6, "gan": 0.2, "D(real)": 0.5, "D(fake)": 0.2}
# The hour of docs/log.md, at step 250, 500, ...: LR-PSNR, color shift, and the means of D's loss and of D(real) -
# D(fake) over 250 steps.
HOUR = [
    (48.89, (0.04, -0.02, 0.01), 0.6825, 0.0287), (48.93, (0.06, 0.00, 0.01), 0.6743, 0.0531),
    (49.00, (0.06, -0.01, 0.01), 0.6715, 0.0610), (48.93, (0.06, 0.00, 0.00), 0.6670, 0.0750),
    (48.91, (0.07, 0.00, 0.00), 0.6668, 0.0779), (48.72, (0.07, 0.01, 0.00), 0.6640, 0.0878),
    (48.66, (0.05, 0.01, 0.00), 0.6607, 0.1008), (48.41, (0.06, 0.01, -0.01), 0.6600, 0.1003),
    (48.38, (0.05, 0.01, -0.02), 0.6545, 0.1220), (48.24, (0.06, 0.01, -0.01), 0.6473, 0.1443),
    (48.04, (0.06, 0.01, -0.02), 0.6452, 0.1474), (47.85, (0.08, 0.00, -0.03), 0.6214, 0.2163),
    (47.69, (0.09, 0.00, -0.04), 0.6116, 0.2483), (47.51, (0.08, 0.01, -0.04), 0.6052, 0.2701),
    (47.33, (0.07, 0.02, -0.04), 0.6079, 0.2555), (47.25, (0.07, 0.01, -0.03), 0.6121, 0.2386),
]  # fmt: skip
# A stage one that came out well, every 500 steps: LR-PSNR and color shift.
STAGE_ONE = [
    (49.21, (-0.21, 0.14, 0.52)), (47.17, (-0.45, -0.27, -0.2)), (46.31, (0.3, 0.03, -0.24)),
    (45.44, (0.06, 0.11, -0.19)), (44.95, (0.07, -0.08, 0.39)), (44.02, (-0.31, 0.1, 0.1)),
    (43.26, (0.36, -0.26, -0.13)), (42.32, (0.04, 0.17, 0.03)), (41.75, (0.0, 0.11, 0.15)),
    (40.91, (0.04, -0.03, 0.01)),
]  # fmt: skip


def quality(lr_psnr: float = 48.0, shift: tuple[float, float, float] = (0.1, 0.0, -0.1)) -> Quality:
    return Quality(30.0, 28.0, 0.9, lr_psnr, shift, 1.0, 1.0, 1.0, 1.0)


def balance(loss: float, gap: float) -> dict[str, float]:
    return {"discriminator": loss, "gan": 0.2, "D(real)": 0.3 + gap, "D(fake)": 0.3}


class Run:
    """Validations of made-up figures, 250 steps apart."""

    def __init__(self, acts: bool = False, adversarial: bool = True, checkpoint_every: int = 250) -> None:
        config = GAN if adversarial else resolve_recipe("compact-x4")
        self.said: list[str] = []
        self.stability = StabilityGuard(
            dataclasses.replace(config, checkpoint_every=checkpoint_every), acts, None, self.said.append
        )
        self.done = 0

    def __call__(self, measured: Quality | None = None, terms: Mapping[str, float] = WELL) -> Verdict:
        for _ in range(250):
            self.stability.add(terms)
        self.done += 250
        return self.stability.assess(self.done, quality() if measured is None else measured)


@pytest.mark.parametrize("kind", sorted(GAN_LOSSES))
def test_the_loss_of_a_blind_discriminator_is_the_least_over_equal_logits(kind: str) -> None:
    blind = [
        gan_discriminator_loss(kind, (torch.full((2, 1), c),), (torch.full((2, 1), c),))
        for c in torch.linspace(-3, 3, 601)
    ]
    assert min(map(float, blind)) == pytest.approx(BLIND_LOSS[kind], abs=1e-6)


def test_an_error_of_one_level_is_48_13_db() -> None:
    assert lr_error_255(20.0 * math.log10(255.0)) == pytest.approx(1.0)
    assert lr_error_255(math.inf) == 0.0


def test_the_recorded_hour_of_a_gan_is_well_all_along() -> None:
    run = Run(acts=True)
    for lr_psnr, shift, loss, gap in HOUR:
        assert run(quality(lr_psnr, shift), balance(loss, gap)).words == ()
    assert run.said == [] and run.stability.memory.good == 4000


def test_a_stage_one_that_loses_8_db_of_lr_psnr_while_it_sharpens_is_healthy() -> None:
    run = Run(adversarial=False)
    for lr_psnr, shift in STAGE_ONE:
        assert run(quality(lr_psnr, shift), {"pixel": 0.01}).words == ()


def test_a_start_from_scratch_is_healthy_while_it_improves() -> None:
    run = Run(adversarial=False)
    for lr_psnr, shift in ((27.8, (3.2, -2.7, 5.4)), (35.0, (-1.1, 1.9, 1.8)), (44.0, (0.1, -0.4, 0.2))):
        assert run(quality(lr_psnr, shift), {"pixel": 0.01}).words == ()


@pytest.mark.parametrize(("before", "well", "wrong"), [(49.0, 36.4, 36.1), (40.0, 33.4, 33.1), (28.0, 22.1, 21.9)])
def test_the_limit_of_lr_psnr_is_twice_the_error_and_three_levels_more(
    before: float, well: float, wrong: float
) -> None:
    for reading, expected in ((well, 0), (wrong, 1)):
        run = Run()
        run(quality(before))
        assert len(run(quality(reading)).words) == expected


def test_one_lucky_reading_sets_no_bar() -> None:
    run = Run()
    for reading in (38.0, 38.0, 60.0):
        run(quality(reading))
    assert run(quality(33.0)).words == ()  # 5.7 levels: 2.5 above the 3.2 of 38 dB, but 5.5 above that of 60 dB


@pytest.mark.parametrize("channel", range(3))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_channel_that_drifts_is_named(channel: int, sign: float) -> None:
    run = Run()
    run(quality(shift=(0.3, -0.3, 0.3)))
    shift = [0.0, 0.0, 0.0]
    shift[channel] = sign * 2.2
    assert run(quality(shift=(shift[0], shift[1], shift[2]))).words == ()
    run = Run()
    run(quality(shift=(0.3, -0.3, 0.3)))
    shift[channel] = sign * 2.4
    (words,) = run(quality(shift=(shift[0], shift[1], shift[2]))).words
    assert ("red", "green", "blue")[channel] in words and f"{sign * 2.4:+.1f} of 255" in words


def test_a_slow_drift_is_measured_from_where_it_began() -> None:
    run = Run()
    found = [run(quality(shift=(0.3 * step, 0.0, 0.0))).words for step in range(9)]
    # 0, 0.3, ... 1.8 are within 2 of the least, which was 0
    assert [bool(words) for words in found] == [False] * 7 + [True] * 2


@pytest.mark.parametrize(
    ("loss", "gap", "won"),
    [
        (0.5 * (1.4e-5 + 4.1e-6), 14.4, True),  # BasicSR issue 204, iteration 107,200: PSNR 13.8 dB, lost
        (0.5 * (1.1e-4 + 8.3e-5), 9.2, True),  # mmagic issue 82: "the model doesn't learn much"
        (0.5 * (1.67e-3 + 1.33e-3), 7.0, False),  # BasicSR issue 144
        (0.5 * (0.325 + 0.537), 2.3, False),  # BasicSR issue 160: "It seems OK"
    ],
)
def test_published_logs(loss: float, gap: float, won: bool) -> None:
    run = Run()
    run()
    words = run(terms=balance(loss, gap)).words
    assert bool(words) == won and all("has won" in word for word in words)


def test_a_discriminator_that_goes_blind_is_noticed_only_where_it_could_see() -> None:
    run = Run()
    assert run(terms=balance(0.6931, 0.0002)).words == ()  # it begins there: nothing is wrong yet
    assert run(terms=balance(0.65, 0.15)).words == ()
    assert run(terms=balance(0.6872, 0.0151)).words == ()  # restless, but it sees a tenth of what it saw
    (words,) = run(terms=balance(0.6935, -0.001)).words
    assert "no longer tells real from fake" in words


def test_a_discriminator_that_never_learns_is_told_but_there_is_nothing_to_go_back_to() -> None:
    run = Run(acts=True)
    verdicts = [run(terms=balance(0.6925, 0.002)) for _ in range(9)]
    assert [len(verdict.words) for verdict in verdicts] == [0] * 7 + [1] * 2  # from step 2,000
    assert {verdict.back_to for verdict in verdicts} == {None}
    (words,) = run.said
    assert "has not learned" in words and words.endswith("Training continues")


def test_a_fault_is_told_once_until_it_is_over() -> None:
    run = Run()
    for reading in (48.0, 30.0, 30.0, 48.0, 30.0):
        run(quality(reading))
    assert len(run.said) == 2 and "`guard=True`" in run.said[0] and run.said[0].startswith("guard: step 500:")
    run(quality(30.0, (9.0, 0.0, 0.0)))  # another fault beside it
    assert len(run.said) == 3 and "red" in run.said[2]


def test_what_was_wrong_sets_no_measure() -> None:
    run = Run()
    run(quality(48.0))
    for _ in range(4):
        assert run(quality(30.0)).words
    assert run.stability.memory.good == 250


def test_goes_back_once_to_the_checkpoint_before_the_last_validation_that_was_well() -> None:
    run = Run(acts=True, checkpoint_every=100)
    run()
    at_200 = run.stability.facts()  # a multiple of 100 up to 250
    run()
    assert run.stability.memory.good == 500
    verdict = run(quality(20.0))
    assert verdict.back_to == 500 and "Going back to the good checkpoint of step 500" in run.said[-1]
    assert run.stability.rate_factor == 1.0
    run.stability.goes_back(at_200, 750, 500)
    assert (
        run.stability.rate_factor == 0.5
        and run.stability.memory.went_back == (750, 500)
        and run.stability.memory.good == 200
    )
    assert run(quality(20.0)).back_to is None
    assert run.said[-1].endswith(
        "Training continues: it went back from step 750 to step 500 and has used half the learning rates since"
    )


def test_without_a_good_checkpoint_it_says_so() -> None:
    run = Run(acts=True, checkpoint_every=1000)
    run()
    assert run(quality(20.0)).back_to is None
    assert run.said[-1].endswith("no checkpoint was good yet")


def test_pins_the_good_checkpoint_and_the_one_that_may_become_good() -> None:
    run = Run(acts=True, checkpoint_every=100)
    run()
    assert run.stability.pinned(399) == (200, 300)
    assert Run(acts=False).stability.pinned(399) == ()


def test_the_whole_state_survives_json_in_the_middle_of_an_interval() -> None:
    run, other = Run(acts=True), Run(acts=True)
    for one in (run, other):
        one(terms=balance(0.65, 0.15))
    for number in range(100):
        run.stability.add(balance(0.6 + number / 7, 0.1 + number / 3))
        other.stability.add(balance(0.6 + number / 7, 0.1 + number / 3))
    other.stability = StabilityGuard(GAN, True, json.loads(json.dumps(other.stability.facts())), other.said.append)
    assert other.stability.memory == run.stability.memory
    for _ in range(3):
        assert run(quality(20.0)) == other(quality(20.0))
        assert other.stability.memory == run.stability.memory


def test_a_checkpoint_from_before_there_was_a_guard_starts_it_anew() -> None:
    assert StabilityGuard(GAN, False, {"config": {}}, print).memory == GuardMemory()


def test_a_resumed_run_says_that_it_went_back() -> None:
    said: list[str] = []
    run = Run(acts=True)
    run()
    run.stability.goes_back(run.stability.facts(), 500, 250)
    assert StabilityGuard(GAN, True, run.stability.facts(), said.append).rate_factor == 0.5
    assert said == ["guard: this run went back from step 500 to step 250 and has used half the learning rates since"]


def test_no_validation_pictures_leave_the_balance() -> None:
    stability = StabilityGuard(GAN, False, None, lambda _: None)
    for _ in range(2):
        stability.add(balance(0.6, 0.2))
    assert stability.assess(2, None).words == ()
    stability.add(balance(1e-6, 20.0))
    assert len(stability.assess(3, None).words) == 1
