"""The stability guard: detects at each validation that a run has gone wrong. Pure arithmetic, without networks or
files.

Long adversarial runs go wrong slowly and silently: colors drift, the output departs from its LR picture, the
discriminator wins outright or stops learning. `faults` names what is wrong, `StabilityGuard` remembers and decides. Its
memory, `GuardMemory`, is part of every checkpoint, so that a resumed run judges, warns and goes back exactly as an
uninterrupted one, on every rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

from upres.training.config import TrainConfig
from upres.training.monitoring.validation import Quality

GAN_TERMS = ("discriminator", "gan", "D(real)", "D(fake)")
# of a discriminator that returns the same for all pictures: the minimum of `gan_discriminator_loss` over equal logits
BLIND_LOSS = {
    "relativistic": math.log(2.0),
    "standard": 2.0 * math.log(2.0),
    "least_squares": 0.25,
    "hinge": 2.0,
}
ONLY_TOLD = ("idle",)  # faults that no earlier checkpoint would fix


@dataclass(frozen=True)
class Limits:
    """Limits of a healthy run, set so that none of our good runs exceeds them and a lost one does.

    LR-PSNR is converted to an error of 255 * 10^(-LR-PSNR / 20) 8-bit levels. Wrong: more than `lr_error_times` the
    best of this run and more than `lr_error_255` above it. No limit in dB would do: a healthy stage one of the compact
    network fell from 49.2 to 41.0 dB (0.9 to 2.3 levels), an hour of `esrgan-x4` from 49.0 to 47.3, and a run on
    degraded pictures may start at 28 dB (10 levels). So 49 dB may fall to 36, about that of bicubic, and 28 to 22.
    "Best" is the median of the three best, so that no outlier sets it.

    Color: a channel's mean is off by more than `color_shift_255` beyond its smallest shift in this run. Healthy runs
    stayed within 0.52; 2 of 255 in all channels of a middle gray are 0.8 of CIELAB's delta E: detected before it is
    visible.

    Balance, from means over all steps since the last validation. `won`: D's loss is below this share of a blind one's
    (relativistic: 0.0014, logits of real and fake some 6.6 apart). Healthy: 0.61 to 0.69 here; logs of ESRGAN in
    BasicSR's issues go down to 0.0015 (144), the lost run in its issue 204 has 1e-5 and less. `learnt`: below this
    share D can tell real from fake. `blind`: a D that could is above this share again, with D(real) - D(fake) below
    `blind_gap` of its maximum. `idle_steps`: by then D should have learned; ours needed 500.
    """

    lr_error_times: float = 2.0
    lr_error_255: float = 3.0
    color_shift_255: float = 2.0
    won: float = 0.002
    learnt: float = 0.98
    blind: float = 0.995
    blind_gap: float = 0.1
    idle_steps: int = 2000


LIMITS = Limits()


@dataclass(frozen=True)
class GuardMemory:
    """The guard's state, JSON data once it is a dict.

    steps, sums: steps since the last validation, and the sums of GAN_TERMS over them.
    lr_errors: the three smallest errors against LR of healthy validations, in levels.
    least_shift: the smallest color shift of each channel.
    widest_gap: the largest D(real) - D(fake).
    learnt: whether D has learned to tell real from fake.
    good: step of the checkpoint to go back to; 0: none.
    told: faults of the last validation.
    went_back: from which step to which; empty: not yet.
    """

    steps: int = 0
    sums: Mapping[str, float] = field(default_factory=dict[str, float])
    lr_errors: tuple[float, ...] = ()
    least_shift: tuple[float, ...] = ()
    widest_gap: float = 0.0
    learnt: bool = False
    good: int = 0
    told: tuple[str, ...] = ()
    went_back: tuple[int, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The result of one validation: means since the last one, a sentence for each fault, and the step to go back to, if
    any.
    """

    means: Mapping[str, float]
    words: tuple[str, ...]
    back_to: int | None = None


def lr_error_255(lr_psnr: float) -> float:
    """The root mean square error of a PSNR, in 8-bit levels: 255 * 10^(-PSNR / 20)."""
    return 255.0 * 10.0 ** (-lr_psnr / 20.0)


def faults(
    memory: GuardMemory,
    step: int,
    means: Mapping[str, float],
    quality: Quality | None,
    blind_loss: float | None,
    limits: Limits = LIMITS,
) -> dict[str, str]:
    """The faults at the validation after `step` adversarial updates, a sentence by kind; empty for a healthy run.

    `means` of GAN_TERMS over the steps since the last validation; `blind_loss` from BLIND_LOSS, None without a
    discriminator.
    """
    found: dict[str, str] = {}
    if quality is not None and memory.lr_errors:
        error, best = lr_error_255(quality.lr_psnr), memory.lr_errors[len(memory.lr_errors) // 2]
        if error > max(limits.lr_error_times * best, limits.lr_error_255 + best):
            found["lr-psnr"] = (
                f"LR-PSNR is {quality.lr_psnr:.1f} dB: the output departs from its LR picture by {error:.1f} of 255, "
                f"the best of this run was {best:.1f}"
            )
    if quality is not None and memory.least_shift:
        for name, shift, least in zip(
            ("red", "green", "blue"), quality.color_shift_255, memory.least_shift, strict=True
        ):
            if abs(shift) > least + limits.color_shift_255 and "colour" not in found:
                found["colour"] = (
                    f"{name} is off by {shift:+.1f} of 255 on average, the best of this run was {least:.1f}"
                )
    if blind_loss is None or not memory.steps:
        return found
    loss, gap = means["discriminator"], means["D(real)"] - means["D(fake)"]
    told = f"(mean loss {loss:.4g}, at chance level {blind_loss:.2f}; D(real) - D(fake) {gap:.3g})"
    if loss < limits.won * blind_loss:
        found["won"] = f"the discriminator has won {told}"
    elif memory.learnt and loss > limits.blind * blind_loss and gap < limits.blind_gap * memory.widest_gap:
        found["blind"] = f"the discriminator no longer tells real from fake {told}"
    elif not memory.learnt and loss > limits.learnt * blind_loss and step >= limits.idle_steps:
        found["idle"] = (
            f"the discriminator has not learned to tell real from fake {told}: try a higher discriminator_learning_rate"
        )
    return found


def remember(
    memory: GuardMemory,
    means: Mapping[str, float],
    quality: Quality | None,
    blind_loss: float | None,
    limits: Limits = LIMITS,
) -> GuardMemory:
    """`memory` with the values of a healthy validation, against which later ones are judged."""
    if quality is not None:
        shifts = tuple(map(abs, quality.color_shift_255))
        memory = replace(
            memory,
            lr_errors=tuple(sorted((*memory.lr_errors, lr_error_255(quality.lr_psnr)))[:3]),
            least_shift=tuple(map(min, shifts, memory.least_shift)) if memory.least_shift else shifts,
        )
    if blind_loss is None or not memory.steps:
        return memory
    gap, learnt = means["D(real)"] - means["D(fake)"], means["discriminator"] <= limits.learnt * blind_loss
    return replace(memory, widest_gap=max(memory.widest_gap, gap), learnt=memory.learnt or learnt)


class StabilityGuard:
    """Watches one run.

    config: the run's settings.
    acts: whether to go back, once, when something is wrong; else it only warns.
    facts: of the checkpoint that is resumed, if any.
    say: receives messages.
    limits: None: `LIMITS`.
    """

    def __init__(
        self,
        config: TrainConfig,
        acts: bool,
        facts: Mapping[str, object] | None,
        say: Callable[[str], None],
        limits: Limits | None = None,
    ) -> None:
        self._blind_loss = BLIND_LOSS[config.gan_loss] if config.adversarial else None
        self._checkpoint_every = config.checkpoint_every
        self._pixel_steps = config.pixel_steps
        self._acts = acts
        self._say = say
        self._limits = LIMITS if limits is None else limits
        self.memory = _memory_of(facts)
        if self.memory.went_back:
            say(f"guard: this run {self._went_back()}")

    @property
    def rate_factor(self) -> float:
        """The factor on all learning rates."""
        return 0.5 if self.memory.went_back else 1.0

    def facts(self) -> dict[str, object]:
        """What the next checkpoint stores, for `StabilityGuard` to be restored from."""
        return {"health": asdict(self.memory)}

    def pinned(self, step: int) -> tuple[int, ...]:
        """Steps of the checkpoints to keep: the good one, and the one the next validation may declare good."""
        if not self._acts or self.memory.went_back:
            return ()
        return (self.memory.good, step // self._checkpoint_every * self._checkpoint_every)

    def add(self, terms: Mapping[str, float]) -> None:
        """Add the terms of one step, the same on every rank. Steps with the pixel loss alone do not count."""
        if self._blind_loss is not None and "discriminator" not in terms:
            return
        sums = {name: self.memory.sums.get(name, 0.0) + terms[name] for name in GAN_TERMS if name in terms}
        self.memory = replace(self.memory, steps=self.memory.steps + 1, sums=sums)

    def assess(self, step: int, quality: Quality | None) -> Verdict:
        """Judge the validation after `step` updates; warns once of each lasting fault.

        If `back_to` is set, the caller loads that checkpoint and calls `goes_back`. Good is the newest scheduled
        checkpoint, at a multiple of checkpoint_every, up to a healthy validation; never one saved because the run was
        stopped, which an uninterrupted run lacks.
        """
        memory = self.memory
        means = {name: total / memory.steps for name, total in memory.sums.items()}
        found = faults(memory, step - self._pixel_steps, means, quality, self._blind_loss, self._limits)
        serious = any(kind not in ONLY_TOLD for kind in found)
        back = memory.good if serious and self._acts and memory.good and not memory.went_back else None
        if back is not None or any(kind not in memory.told for kind in found):
            self._say(f"guard: step {step}: {'; '.join(found.values())}. {self._what_follows(serious, back)}")
        if not serious:
            memory = remember(memory, means, quality, self._blind_loss, self._limits)
            memory = replace(memory, good=step // self._checkpoint_every * self._checkpoint_every)
        self.memory = replace(memory, steps=0, sums={}, told=tuple(found))
        return Verdict(means, tuple(found.values()), back)

    def goes_back(self, facts: Mapping[str, object], step: int, to: int) -> None:
        """Record the return from the validation after `step` updates to the checkpoint of `to`, with its `facts`."""
        self.memory = replace(_memory_of(facts), went_back=(step, to))

    def _went_back(self) -> str:
        step, to = self.memory.went_back
        return f"went back from step {step} to step {to} and has used half the learning rates since"

    def _what_follows(self, serious: bool, back: int | None) -> str:
        if back is not None:
            return f"Going back to the good checkpoint of step {back}, with half the learning rates from there"
        if not serious:
            return "Training continues"
        if not self._acts:
            return (
                "Training continues; started with `guard=True` it would go back to the last good checkpoint, once, and "
                "halve the learning rates"
            )
        return (
            f"Training continues: it {self._went_back()}"
            if self.memory.went_back
            else "Training continues: no checkpoint was good yet"
        )


def _memory_of(facts: Mapping[str, object] | None) -> GuardMemory:
    """The memory in a checkpoint's facts; empty for a new run, or one older than the guard."""
    stored = cast("Mapping[str, Any]", (facts or {}).get("health") or {})
    values: dict[str, Any] = {
        name: tuple(cast("list[Any]", value)) if isinstance(value, list) else value for name, value in stored.items()
    }
    return GuardMemory(**values)
