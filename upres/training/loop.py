"""Stage one, read once from top to bottom: pictures in, a plain network out.

A run's folder holds `config.json` (what was resolved), `checkpoints/`, `tensorboard/`, `validation.jsonl` and, after every validation,
`model.safetensors`: the averaged weights merged into the plain network; `best.safetensors` is the one that validated best.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
import copy
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from upres.errors import DataError, EngineError, InputError
from upres.files import write_atomic
from upres.metrics import psnr
from upres.training.checkpoint import Checkpoint, latest_checkpoint, list_checkpoints, save_checkpoint
from upres.training.data import Pair, draw_batch, draw_weights, find_pictures, load_pairs, make_pair, read_rgb
from upres.training.ema import start_ema, update_ema
from upres.training.losses import LOSSES
from upres.training.nets import Compact
from upres.training.recipes import TrainConfig
from upres.weights import read_weights, write_safetensors

_HELD_OUT = 5  # pictures kept for validation where no folder is given
_VALIDATION_PX = 512  # HR side, at most, of a held-out picture: its centre is used
# These may change between a run and its resumption: none touches the weights.
_FREE_FIELDS = ("validate_every", "checkpoint_every", "keep_checkpoints")


@dataclass(frozen=True)
class Progress:
    """What is told after a step; `psnr_y` only where one was measured, `data_s` is the time that step waited for its batch."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    data_s: float
    step_s: float
    psnr_y: float | None = None


def learning_rate_at(config: TrainConfig, step: int) -> float:
    """The learning rate of update number `step` (counted from 0): linear warm-up, then cosine, or halved at each milestone."""
    if config.schedule == "cosine":
        share = 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
        rate = config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * share
    else:
        rate = config.learning_rate * 0.5 ** sum(step >= fraction * config.steps for fraction in config.milestones)
    return rate * min(1.0, (step + 1) / max(1, config.warmup_steps))


def train(
    config: TrainConfig,
    data: Path,
    out: Path,
    *,
    validation: Path | None = None,
    resume: bool = False,
    init: Path | None = None,
    report: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train as `config` says on the pictures of `data`; returns the path of the merged plain network.

    `init` is a plain network of the same shape to begin with. `resume` continues from the newest whole checkpoint of `out`, bit for bit as
    if never stopped (same machine, same thread count). When `should_stop` says so after a step, a checkpoint is saved and
    KeyboardInterrupt raised. Raises `DataError` for unusable data or a run folder of another configuration, `OutputError` when the disk is
    full.
    """
    say = say or (lambda _: None)
    checkpoints = out / "checkpoints"
    start = latest_checkpoint(checkpoints) if resume else None
    if start is None and list_checkpoints(checkpoints):
        raise DataError(f"{out} holds a run already: add --resume to continue it, or choose another --out")
    if start is None and resume:
        say(f"{out} holds no run to resume: a new one is begun")
    out.mkdir(parents=True, exist_ok=True)
    if config.threads:
        torch.set_num_threads(config.threads)

    # Data: everything in memory; the batch of a step is a pure function of (seed, step).
    paths = find_pictures(data)
    validation_paths = find_pictures(validation, "--validation") if validation else _hold_out(paths)
    training_paths = paths if validation else [p for p in paths if p not in validation_paths]
    pairs, left_out = load_pairs(training_paths, scale=config.scale, patch_px=config.patch_px, hr_scales=config.hr_scales)
    weights = draw_weights(pairs)
    validation_pairs: list[Pair] = []
    for path in validation_paths:
        try:
            image = read_rgb(path)
        except InputError as error:
            left_out.append(str(error))
        else:
            validation_pairs.append(make_pair(path.name, image if validation else _centre(image), config.scale))
    for words in left_out:
        say(f"left out: {words}")
    names = len({pair.name for pair in pairs})
    megapixels = sum(pair.hr.size for pair in pairs) / 3e6
    say(f"{names} pictures to train on, {megapixels:.1f} MP with reduced copies; {len(validation_pairs)} to validate on")

    # State: network, average, optimizer; all of it goes into a checkpoint.
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        net = Compact(width=config.width, depth=config.depth, scale=config.scale, branched=config.branched)
    if init is not None:
        net.load_plain({name: torch.from_numpy(array) for name, array in read_weights(init).items()})
    net = cast(Compact, net.to(memory_format=torch.channels_last))  # pyright: ignore[reportCallIssue]
    ema = start_ema(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.learning_rate, betas=config.betas)
    facts = {"config": dataclasses.asdict(config), "data": _fingerprint(pairs)}
    if start is not None:
        _check_same_run(start, facts, out)
        _restore(start, net, ema, optimizer)
        say(f"continuing after step {start.step}")
    first = 0 if start is None else start.step
    write_atomic(out / "config.json", json.dumps(dataclasses.asdict(config), indent=2).encode())

    def draw(step: int) -> tuple[Tensor, Tensor]:
        lr, hr = draw_batch(
            pairs, weights, scale=config.scale, patch_px=config.patch_px, batch=config.batch, seed=config.seed, step=step,
            color_augment=config.color_augment,
        )
        return _to_tensor(lr), _to_tensor(hr)

    model_path = out / "model.safetensors"
    curve = out / "validation.jsonl"
    seen = [json.loads(line)["psnr_y"] for line in curve.read_text().splitlines()] if first and curve.exists() else []
    best = max(seen, default=-math.inf)
    with ThreadPoolExecutor(1) as pool, SummaryWriter(str(out / "tensorboard"), purge_step=first) as writer:
        pending = pool.submit(draw, first)
        for step in range(first, config.steps):
            begun = time.perf_counter()
            lr, hr = pending.result()
            data_s = time.perf_counter() - begun
            pending = pool.submit(draw, step + 1)

            rate = learning_rate_at(config, step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = pixel_step(config, net, optimizer, lr, hr, step)
            update_ema(ema, net, config.ema_decay, step)
            value = float(loss)
            if not math.isfinite(value):
                raise EngineError(f"the loss of step {step + 1} is {value}: resume with a lower learning_rate (now {rate:g})")

            done = step + 1
            quality = None
            if done % config.validate_every == 0 or done == config.steps:
                averaged = averaged_net(net, ema)
                write_model(model_path, averaged, config, done)
                if validation_pairs:
                    quality = validate(averaged, validation_pairs)
                    writer.add_scalar("validation/psnr_y", quality, done)
                    if quality > best:
                        best = quality
                        write_model(out / "best.safetensors", averaged, config, done)
                    with curve.open("a") as file:
                        file.write(json.dumps({"step": done, "psnr_y": quality, "loss": value, "time": time.time()}) + "\n")
            stopping = should_stop() and done < config.steps
            if stopping or done % config.checkpoint_every == 0 or done == config.steps:
                save_checkpoint(checkpoints, Checkpoint(done, _state(net, ema, optimizer), facts), keep=config.keep_checkpoints)
            step_s = time.perf_counter() - begun
            writer.add_scalar("train/loss", value, done)
            writer.add_scalar("train/learning_rate", rate, done)
            writer.add_scalar("time/data_ms", 1e3 * data_s, done)
            writer.add_scalar("time/step_ms", 1e3 * step_s, done)
            if report is not None:
                report(Progress(done, config.steps, value, rate, data_s, step_s, quality))
            if stopping:
                say(f"stopped after step {done}, which is saved: add --resume to continue")
                raise KeyboardInterrupt
    return model_path


def pixel_step(
    config: TrainConfig, net: Compact, optimizer: torch.optim.Optimizer, lr: Tensor, hr: Tensor, step: int
) -> Tensor:
    """One update of the network on the pixel loss; returns the detached loss."""
    name = config.final_loss if step >= (1.0 - config.final_fraction) * config.steps else config.loss
    optimizer.zero_grad()
    with torch.autocast(lr.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        sr = net(lr)
    loss = LOSSES[name](sr, hr)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), config.clip_norm)
    optimizer.step()
    return loss.detach()


def averaged_net(net: Compact, ema: Mapping[str, Tensor]) -> Compact:
    """A copy of `net` with the averaged parameters."""
    averaged = copy.deepcopy(net)
    with torch.no_grad():
        for name, parameter in averaged.named_parameters():
            parameter.copy_(ema[name])
    return averaged


@torch.no_grad()
def validate(net: Compact, pairs: list[Pair]) -> float:
    """Mean PSNR (Y, border = scale) in dB over whole pictures, of which there must be one at least."""
    values: list[float] = []
    for pair in pairs:
        sr = net(_to_tensor(pair.lr[None]))[0].permute(1, 2, 0).numpy()
        values.append(psnr(sr, pair.hr, border=net.scale, luma=True))
    return float(np.mean(values))


def write_model(path: Path, net: Compact, config: TrainConfig, step: int) -> None:
    """The plain network under the field's key names, float32, with its recipe and step in the metadata."""
    state = {name: tensor.contiguous().numpy() for name, tensor in net.merged_state_dict().items()}
    write_safetensors(path, state, {"recipe": config.recipe, "step": str(step), "scale": str(config.scale)})


def _to_tensor(batch: NDArray[np.uint8]) -> Tensor:
    """uint8 `b h w c` -> float32 `b c h w` in [0,1], stored channels last."""
    return torch.from_numpy(batch).permute(0, 3, 1, 2).to(torch.float32) / 255.0


def _hold_out(paths: list[Path]) -> list[Path]:
    """Five pictures spread over the folder; fewer of a small one, and none where that would cost a third of it."""
    count = min(_HELD_OUT, len(paths) // 4)
    return [paths[len(paths) * i // count] for i in range(count)]


def _centre(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top, left = (max(0, (side - _VALIDATION_PX) // 2) for side in image.shape[:2])
    return image[top : top + _VALIDATION_PX, left : left + _VALIDATION_PX]


def _fingerprint(pairs: list[Pair]) -> str:
    """SHA-256 over names and HR pixels: a resumed run must see the very same pictures."""
    state = hashlib.sha256()
    for pair in pairs:
        state.update(f"{pair.name}|{pair.hr.shape}|".encode())
        state.update(pair.hr.data)
    return state.hexdigest()


def _state(net: Compact, ema: Mapping[str, Tensor], optimizer: torch.optim.Adam) -> dict[str, NDArray[np.generic]]:
    tensors = {f"net/{name}": p.detach() for name, p in net.named_parameters()}
    tensors |= {f"ema/{name}": t for name, t in ema.items()}
    for name, parameter in net.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"adam/{key}/{name}"] = value
    return {name: tensor.contiguous().numpy().copy() for name, tensor in tensors.items()}


def _restore(start: Checkpoint, net: Compact, ema: dict[str, Tensor], optimizer: torch.optim.Adam) -> None:
    def stored(name: str) -> Tensor:
        return torch.from_numpy(np.array(start.tensors[name]))

    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(stored(f"net/{name}"))
            ema[name].copy_(stored(f"ema/{name}"))
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"adam/{key}/{name}" in start.tensors]
            optimizer.state[parameter] = {
                key: stored(f"adam/{key}/{name}")
                if key == "step"
                else torch.empty_like(parameter, memory_format=torch.preserve_format).copy_(stored(f"adam/{key}/{name}"))
                for key in keys
            }


def _check_same_run(start: Checkpoint, facts: Mapping[str, object], out: Path) -> None:
    before = cast("dict[str, Any]", start.facts["config"])
    now: dict[str, Any] = json.loads(json.dumps(facts["config"]))  # tuples become lists, as in the file
    changed = sorted(key for key in now if key not in _FREE_FIELDS and before.get(key) != now[key])
    if changed:
        words = ", ".join(f"{key} was {before.get(key)!r} and is {now[key]!r}" for key in changed)
        raise DataError(f"{out} was begun with another configuration ({words}): resume with the same, or choose another --out")
    if start.facts["data"] != facts["data"]:
        raise DataError(f"{out} was begun with other pictures than --data holds now: a resumed run must see the same files")
