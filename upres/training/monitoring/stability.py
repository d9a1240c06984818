"""The stability guard: is a run still well? Asked at every validation; pure arithmetic, without networks or files.

Long adversarial runs go wrong slowly and without a word: colors drift, the picture no longer agrees with its LR picture, the discriminator
wins outright or goes blind. `faults` names what is wrong, `StabilityGuard` keeps what it must remember and decides. All that it remembers
is in `GuardMemory`, which goes into every checkpoint: a resumed run judges, warns and goes back exactly as if never stopped, and so does
every rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

from upres.training.config import TrainConfig
from upres.training.monitoring.validation import Quality

GAN_TERMS = ("discriminator", "gan", "D(real)", "D(fake)")
BLIND_LOSS = {  # of a discriminator that says the same to all pictures: the least of `gan_discriminator_loss` over equal logits
    "relativistic": math.log(2.0),
    "standard": 2.0 * math.log(2.0),
    "least_squares": 0.25,
    "hinge": 2.0,
}
ONLY_TOLD = ("idle",)  # a fault for which no earlier checkpoint is better


@dataclass(frozen=True)
class Limits:
    """What counts as wrong. Set so that no run of ours that came out well is told off, and a lost one is.

    LR-PSNR is read as its error, 255 * 10^(-LR-PSNR / 20) levels of 8 bits. Wrong: more than `lr_error_times` the best of this run and
    more than `lr_error_255` above it. In dB alone no limit is right: a healthy stage one of the compact network fell from 49.2 to 41.0 dB
    (0.9 to 2.3 levels), the hour of `esrgan-x4` from 49.0 to 47.3, and a run on degraded pictures may stand at 28 dB (10 levels) from the
    start. So 49 dB may fall to 36, about that of bicubic, and 28 to 22. "Best" is the median of the three best: no lucky reading sets it.

    Color: the mean of a channel is off by more than `color_shift_255` beyond its least shift in this run. Healthy runs stayed within 0.52;
    2 of 255 in all channels of a middle gray are 0.8 of CIELAB's delta E: wrong before it can be seen.

    Balance, of means over all steps since the last validation. `won`: D's loss is below this share of a blind one's (relativistic: 0.0014,
    real and made some 6.6 logits apart). Healthy: 0.61 to 0.69 here; logs of ESRGAN in BasicSR's issues go down to 0.0015 (144), the lost
    run in its issue 204 has 1e-5 and less. `learnt`: below this share D can tell real from made. `blind`: one that could is above this
    share again, and D(real) - D(fake) below `blind_gap` of its widest. `idle_steps`: by then D should have learned; ours needed 500.
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
    """What is remembered, JSON data once it is a dict.

    sums: of GAN_TERMS over the `steps` since the last validation. Of validations that were well: lr_errors (the three least, in levels),
    least_shift (a channel), widest_gap, learnt, and good: the step of the checkpoint to go back to, 0 for none. told: the faults of the
    last validation. went_back: from which step to which, once a run.
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
    """Of one validation: the means since the one before, a sentence for each fault (none: healthy), and the step to go back to."""

    means: Mapping[str, float]
    words: tuple[str, ...]
    back_to: int | None = None


def lr_error_255(lr_psnr: float) -> float:
    """The root mean square error behind a PSNR, in levels of 8 bits: 255 * 10^(-PSNR / 20)."""
    return 255.0 * 10.0 ** (-lr_psnr / 20.0)


def faults(
    memory: GuardMemory, step: int, means: Mapping[str, float], quality: Quality | None, blind_loss: float | None, limits: Limits = LIMITS
) -> dict[str, str]:
    """What is wrong at the validation after `step` adversarial updates, a sentence by kind; empty where the run is well.

    `means` of GAN_TERMS over the steps since the last validation; `blind_loss` of BLIND_LOSS, None without a discriminator.
    """
    found: dict[str, str] = {}
    if quality is not None and memory.lr_errors:
        error, best = lr_error_255(quality.lr_psnr), memory.lr_errors[len(memory.lr_errors) // 2]
        if error > max(limits.lr_error_times * best, limits.lr_error_255 + best):
            found["lr-psnr"] = (
                f"LR-PSNR is {quality.lr_psnr:.1f} dB: the result departs from its LR picture by {error:.1f} of 255, "
                f"where this run had {best:.1f}"
            )
    if quality is not None and memory.least_shift:
        for name, shift, least in zip(("red", "green", "blue"), quality.color_shift_255, memory.least_shift, strict=True):
            if abs(shift) > least + limits.color_shift_255 and "colour" not in found:
                found["colour"] = f"{name} is off by {shift:+.1f} of 255 on average, where this run had {least:.1f}"
    if blind_loss is None or not memory.steps:
        return found
    loss, gap = means["discriminator"], means["D(real)"] - means["D(fake)"]
    told = f"(its mean loss is {loss:.4g}, {blind_loss:.2f} would be blind; D(real) - D(fake) is {gap:.3g})"
    if loss < limits.won * blind_loss:
        found["won"] = f"the discriminator has won {told}"
    elif memory.learnt and loss > limits.blind * blind_loss and gap < limits.blind_gap * memory.widest_gap:
        found["blind"] = f"the discriminator no longer tells real from made {told}"
    elif not memory.learnt and loss > limits.learnt * blind_loss and step >= limits.idle_steps:
        found["idle"] = f"the discriminator has not learned to tell real from made {told}: try a higher discriminator_learning_rate"
    return found


def remember(
    memory: GuardMemory, means: Mapping[str, float], quality: Quality | None, blind_loss: float | None, limits: Limits = LIMITS
) -> GuardMemory:
    """What a validation that is well adds to what a run is measured by."""
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
    """Watches one run. `acts`: goes back when something is wrong, once; else it only warns. `facts` of the checkpoint that is resumed."""

    def __init__(
        self, config: TrainConfig, acts: bool, facts: Mapping[str, object] | None, say: Callable[[str], None], limits: Limits | None = None
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
        """What all learning rates are multiplied with."""
        return 0.5 if self.memory.went_back else 1.0

    def facts(self) -> dict[str, object]:
        """For the next checkpoint: what `StabilityGuard` is made again from."""
        return {"health": asdict(self.memory)}

    def pinned(self, step: int) -> tuple[int, ...]:
        """Checkpoints that must not be dropped after `step` updates: the good one, and the one that the next validation may call good."""
        if not self._acts or self.memory.went_back:
            return ()
        return (self.memory.good, step // self._checkpoint_every * self._checkpoint_every)

    def add(self, terms: Mapping[str, float]) -> None:
        """The figures of one step, the same on every rank. Steps on pixels alone say nothing of the balance."""
        if self._blind_loss is not None and "discriminator" not in terms:
            return
        sums = {name: self.memory.sums.get(name, 0.0) + terms[name] for name in GAN_TERMS if name in terms}
        self.memory = replace(self.memory, steps=self.memory.steps + 1, sums=sums)

    def assess(self, step: int, quality: Quality | None) -> Verdict:
        """At the validation after `step` updates; warns of a fault once while it lasts.

        Where `back_to` is a step it is the caller's to load its checkpoint and to call `goes_back`. Good is the newest checkpoint of the
        schedule, a multiple of checkpoint_every, up to a validation that is well; never one that was saved because the run was stopped,
        which a run that is not stopped does not have.
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
        """From the validation after `step` updates to the checkpoint of `to`, whose facts these are."""
        self.memory = replace(_memory_of(facts), went_back=(step, to))

    def _went_back(self) -> str:
        step, to = self.memory.went_back
        return f"went back from step {step} to step {to} and has half the learning rates since"

    def _what_follows(self, serious: bool, back: int | None) -> str:
        if back is not None:
            return f"Going back to the good checkpoint of step {back}, with half the learning rates from there"
        if not serious:
            return "Training goes on"
        if not self._acts:
            return "Training goes on; begun with --guard it would go back to the last good checkpoint with half the learning rate, once"
        return f"Training goes on: it {self._went_back()}" if self.memory.went_back else "Training goes on: no checkpoint was good yet"


def _memory_of(facts: Mapping[str, object] | None) -> GuardMemory:
    """Of the facts of a checkpoint; empty without one, and for one that was written before there was a guard."""
    stored = cast("Mapping[str, Any]", (facts or {}).get("health") or {})
    values: dict[str, Any] = {name: tuple(cast("list[Any]", value)) if isinstance(value, list) else value for name, value in stored.items()}
    return GuardMemory(**values)
