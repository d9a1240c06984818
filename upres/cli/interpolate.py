"""The verb `upres interpolate`: read two model files, call one function, write a third."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upres.cli.errors import DEBUG_HELP, run_verb
from upres.errors import OutputError, UsageError


def interpolate(
    first: Annotated[str, typer.Argument(metavar="A", help="A house model or a model file: the PSNR-oriented network.")],
    second: Annotated[str, typer.Argument(metavar="B", help="A house model or a model file: the GAN that was trained from A.")],
    alpha: Annotated[float, typer.Option("--alpha", metavar="X", help="How much of B: 0 is A, 1 is B.")] = 0.8,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="The model file to write. Default: A_B_0.80.safetensors in the current folder."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE where it is there already.")] = False,
    extrapolate: Annotated[bool, typer.Option("--extrapolate", help="Allow an alpha below 0 or above 1.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Write a network between two of one shape: every weight is (1 - alpha) of A's and alpha of B's (ESRGAN, section 3.4).

    Example: upres interpolate psnr.safetensors gan.safetensors --alpha 0.8 -o between.safetensors
    """

    def work() -> None:
        from upres.cli.download import have_models
        from upres.graph.interpolate import interpolate as mix
        from upres.models.catalog import resolve
        from upres.system.files import sha256_of
        from upres.weights.read import read_weights, write_safetensors

        have_models((first, second))
        sources = [resolve(first), resolve(second)]
        target = out if out is not None else Path(f"{sources[0].stem}_{sources[1].stem}_{alpha:.2f}.safetensors")
        _check_target(target, sources, overwrite)
        states = [read_weights(source) for source in sources]
        mixed = mix(states[0], states[1], alpha, extrapolate=extrapolate, names=(first, second))
        facts = {"method": "(1 - alpha) a + alpha b", "alpha": repr(alpha)}
        for letter, source in zip("ab", sources, strict=True):
            facts |= {f"{letter}.file": source.name, f"{letter}.sha256": sha256_of(source)}
        write_safetensors(target, mixed, facts)
        print(target, flush=True)

    run_verb(work, debug)


def _check_target(target: Path, sources: list[Path], overwrite: bool) -> None:
    """Everything that can be wrong with the output, before a model is read."""
    if target.suffix.lower() != ".safetensors":
        raise UsageError(f"--out expects a file that ends in .safetensors, got {target}")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise OutputError(f"--out expects a file in a folder that exists, got {target}")
    if not target.exists():
        return
    if any(target.samefile(source) for source in sources):
        raise UsageError(f"--out names {target}, which is one of the two models: choose another name")
    if not overwrite:
        raise OutputError(f"{target} is there already: --overwrite replaces it, or choose another --out")
