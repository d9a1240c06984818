"""`upres interpolate`: load two models, interpolate their weights, write a third."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upres.cli.errors import DEBUG_HELP, run_verb
from upres.errors import OutputError, UsageError

_MIXTURE, _OUTPUT = "Mixture", "Output"


def interpolate(
    first: Annotated[str, typer.Argument(metavar="A", help="PSNR-oriented model: name, file or blend.")],
    second: Annotated[str, typer.Argument(metavar="B", help="GAN model trained from A: name, file or blend.")],
    alpha: Annotated[
        float, typer.Option("--alpha", metavar="X", help="Share of B: 0 is A, 1 is B.", rich_help_panel=_MIXTURE)
    ] = 0.8,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Allow --alpha below 0 or above 1.", rich_help_panel=_MIXTURE)
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="Output file. Default: A_B_0.80.safetensors in the current folder.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.", rich_help_panel=_OUTPUT)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Interpolate the weights of two models of one architecture: (1 - alpha) A + alpha B (ESRGAN, section 3.4).

    \b
    Examples:
      upres interpolate psnr.safetensors gan.safetensors --alpha 0.8 -o between.safetensors
      upres interpolate srvgg-x4 compact-gan-x4 --alpha 0.3
    """

    def work() -> None:
        from upres.cli.download import have_models
        from upres.graph.interpolate import interpolate as mix
        from upres.models.load import load_model
        from upres.system.files import sha256_of
        from upres.weights.read import write_safetensors

        have_models((first, second))
        loaded = [load_model(first), load_model(second)]
        sources = [file.path for model in loaded for file in model.files]
        stems = ["+".join(dict.fromkeys(file.path.stem for file in model.files)) for model in loaded]
        target = out if out is not None else Path(f"{'_'.join(stems)}_{alpha:.2f}.safetensors")
        _check_target(target, sources, overwrite)
        states = [model.state_dict() for model in loaded]
        mixed = mix(states[0], states[1], alpha, extrapolate=extrapolate, names=(first, second))
        facts = {"method": "(1 - alpha) a + alpha b", "alpha": repr(alpha)}
        for letter, model in zip("ab", loaded, strict=True):
            facts[f"{letter}.file"] = ", ".join(file.path.name for file in model.files)
            facts[f"{letter}.sha256"] = ", ".join(sha256_of(file.path) for file in model.files)
        write_safetensors(target, mixed, facts)
        print(target, flush=True)

    run_verb(work, debug)


def _check_target(target: Path, sources: list[Path], overwrite: bool) -> None:
    """Check the output before any work is done."""
    if target.suffix.lower() != ".safetensors":
        raise UsageError(f"--out expects a file that ends in .safetensors, got {target}")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise OutputError(f"--out expects a file in a folder that exists, got {target}")
    if not target.exists():
        return
    if any(target.samefile(source) for source in sources):
        raise UsageError(f"--out {target} is one of the input models; choose another name")
    if not overwrite:
        raise OutputError(f"{target} exists; use --overwrite, or choose another --out")
