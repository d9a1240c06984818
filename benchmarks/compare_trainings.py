"""A table of short trainings: which change of a recipe earns its place, in the same time on the same pictures.

    python benchmarks/compare_trainings.py --data photographs --validation held_out --minutes 60 --out runs/table \\
        compact-x4 compact-x4,optimizer=adan compact-gan-x4,discriminator=attention,init=srvgg-x4

Each word is a recipe and changes of it (`init` and `features` are options of the run). One step is timed, then the run
gets as many as fit into the time, with its whole schedule. Prints one line a run: steps, PSNR (Y), SSIM (Y) and the
judge's distance of the last validation. Runs that are there are not trained again. Give it a machine of its own: with
others at work, runs of a minute less or more are compared.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import torch

from upres.cli.errors import say
from upres.cli.streams import put
from upres.system.text import words_for_seconds
from upres.training.config_changes import change_config
from upres.training.data.roots import Root
from upres.training.distributed.ranks import Ranks
from upres.training.estimate import estimate
from upres.training.loop import train
from upres.training.monitoring.curves import read_validations
from upres.training.plan import PretrainedFiles, RunPlan
from upres.training.recipes import resolve_recipe

_TRAINED = 0.9  # of the time; the rest is for validation and what is misjudged
_OPTIONS = ("init", "features")


def plan_of(words: str, given: argparse.Namespace) -> RunPlan:
    """The run that `words` name, with as many steps as fit."""
    recipe, *changes = words.split(",")
    options = dict(change.split("=", 1) for change in changes if change.split("=", 1)[0] in _OPTIONS)
    settings = [change for change in changes if change.split("=", 1)[0] not in _OPTIONS]
    config = change_config(resolve_recipe(recipe), [*given.set, *settings])
    ranks = Ranks(device=torch.device(given.device))
    step_s = estimate(config, ranks).step_s or 1.0
    steps = max(1, int(_TRAINED * 60.0 * given.minutes / step_s))
    config = dataclasses.replace(
        config, steps=steps, validate_every=steps, checkpoint_every=steps,
        warmup_steps=min(config.warmup_steps, steps // 20), pixel_steps=min(config.pixel_steps, steps // 4),
    )  # fmt: skip
    features = options.get("features", given.features)
    sources = PretrainedFiles(init=options.get("init"), features=Path(features) if features else None)
    name = words.replace("/", "_").replace(",", "+")
    validation = [Root(given.validation)] if given.validation else None
    return RunPlan(config, [Root(given.data)], given.out / name, validation=validation, sources=sources)


def row_of(words: str, given: argparse.Namespace) -> str:
    """Train where that was not done, and one line of the table."""
    out = given.out / words.replace("/", "_").replace(",", "+")
    if not (out / "model.safetensors").exists():
        plan = plan_of(words, given)
        begun = time.monotonic()
        train(plan, ranks=Ranks(device=torch.device(given.device)), say=say)
        say(f"{words}: {words_for_seconds(time.monotonic() - begun)}")
    last = read_validations(out)[-1]
    distance = last.get("feature_distance")
    shown = "" if distance is None else f"{distance:.4f} ({str(last['judge']).partition(', sha256')[0]})"
    return f"| `{words}` | {last['step']:,} | {last['psnr_y']:.3f} | {last['ssim_y']:.4f} | {shown} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RECIPE[,KEY=VALUE...]")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--validation", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0, help="for each run")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of all runs")
    parser.add_argument("--features", help="folder of the feature networks")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    put("| run | steps | PSNR (Y) | SSIM (Y) | judge's distance |\n|---|---|---|---|---|")
    for words in given.runs:
        put(row_of(words, given))


if __name__ == "__main__":
    main()
