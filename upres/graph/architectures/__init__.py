"""State dict to graph: names and shapes alone decide the family, the scale, the width and the depth. No torch.

One file a family, each with a `find(state) -> Graph | None`: None where the keys are another family's, ModelError where
the family is certain but a tensor is missing, left over or of a wrong shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError
from upres.graph.architectures import compact, ecbsr, plain, residual, rrdb, span, srresnet
from upres.graph.architectures.keys import DESCRIPTION_KEY, State, describe
from upres.graph.graph import Graph


def _described(state: State) -> Graph | None:
    if DESCRIPTION_KEY not in state:
        return None
    from upres.graph.architectures import described  # whose parser takes longer to import than all other families

    return described.find(state)


FAMILIES: dict[str, Callable[[State], Graph | None]] = {
    "networks that describe themselves (upres.graph)": _described,
    "RRDBNet (ESRGAN, Real-ESRGAN, BSRGAN)": rrdb.find,
    "SRVGGNetCompact (compact, realesr-animevideov3)": compact.find,
    "SRResNet (SRGAN, as upres trains it)": srresnet.find,
    "residual (plain convolutions with SiLU, as upres trains it)": residual.find,
    "SPAN": span.find,
    "ECBSR": ecbsr.find,
    "plain stacks of convolutions with PReLU": plain.find,
}

T = TypeVar("T")


class UnknownNetworkError(ModelError):
    """The file is sound and holds a network, but of no family that is known here."""


_PREFIXES = ("module.", "netG.", "generator.", "net_g.", "model_g.", "_orig_mod.")
# Beside a generator's, in the state dict of a whole trainer.
_BESIDE = ("discriminator.", "netD.", "net_d.", "perceptual", "vgg", "loss")
# Counters that profilers and averages leave in a state dict: thop's, and torch's SWA.
_COUNTERS = ("total_ops", "total_params", "n_averaged")

# A key fragment that only this family has. Named in the refusal, so that the user knows that the file is sound but not
# for us.
_FOREIGN: tuple[tuple[str, str], ...] = (
    ("relative_position_bias_table_oca", "HAT"),
    ("overlap_attn", "HAT"),
    ("conv_block.cab", "HAT"),
    ("attn.dynamic_pos_bias", "DAT"),
    ("attn.attns.0.pos", "DAT"),
    ("attn_mask_0", "DAT"),
    ("relative_position_index_SA", "ATD"),
    ("swin1.", "DRCT"),
    ("residual_group.blocks", "SwinIR"),
    ("relative_position_bias_table", "SwinIR"),
    ("block_1.c1_r", "SPAN"),
    ("c1_r.conv3", "SPAN"),
    ("residual_layer.0.residual_layer", "OmniSR"),
    ("lk.conv.weight", "RealPLKSR"),
    ("lk.convs.", "RealPLKSR"),
    ("channe_mixer", "RealPLKSR"),
    ("channel_mixer", "RealPLKSR"),
    ("gblocks", "MoSR"),
    ("unet1.conv1.conv.0", "Real-CUGAN"),
    ("feats.0.safm", "SAFMN"),
    ("IMDB1", "IMDN"),
    ("headsub_mean", "EDSR"),
    ("sub_mean", "EDSR or RCAN"),
    ("conv0_0.weight", "a GAN discriminator (VGG style)"),
    ("weight_orig", "a GAN discriminator (U-Net with spectral norm)"),
    ("weight_u", "a GAN discriminator (U-Net with spectral norm)"),
    ("classifier.0.weight", "a VGG classifier, not a super-resolution network"),
    ("features.0.weight", "a VGG classifier or a VGG-style discriminator, not a super-resolution network"),
    ("stylegan", "GFPGAN or another face network"),
    ("stage1_features", "a discriminator"),
)


def graph_from_state_dict(state: Mapping[str, NDArray[np.generic]]) -> Graph:
    """The network whose parameters these are: arrays by their torch names, floats of any width.

    Prefixes that wrappers add to every key (`module.`, `netG.`, `generator.`) are taken off. Raises UnknownNetworkError
    when the family is unknown (naming what was found), and ModelError when it is known but a tensor is missing, left
    over or of a shape that does not fit.
    """
    stripped = _without_prefix({name: np.asarray(array) for name, array in state.items()})
    if not stripped:
        raise ModelError("the model file holds no tensors; expected the state dict of a super-resolution network")
    for find in FAMILIES.values():
        graph = find(stripped)
        if graph is not None:
            return graph
    guess = next((family for fragment, family in _FOREIGN if any(fragment in key for key in stripped)), None)
    looks = f" It looks like {guess}, which upres cannot run." if guess else ""
    raise UnknownNetworkError(f"unknown network: {describe(stripped)}.{looks} Known families: {', '.join(FAMILIES)}.")


def canonical(state: Mapping[str, T]) -> dict[str, T]:
    """The tensors under the names that their family goes by here, wrappers' prefixes taken off: two files of one
    network get equal keys.

    The tensors are passed on as they are (arrays, or torch's). Keys of an unknown family stay. Raises ModelError for an
    RRDBNet of 2018 whose layers are in disorder.
    """
    stripped = _without_prefix(dict(state))
    renamed = rrdb.canonical(stripped)
    return stripped if renamed is None else renamed


def without_counters(state: Mapping[str, T]) -> dict[str, T]:
    """The tensors of the network alone: without what profilers and averages count."""
    return {key: tensor for key, tensor in state.items() if key.rpartition(".")[2] not in _COUNTERS}


def _without_prefix(state: dict[str, T]) -> dict[str, T]:
    state = without_counters(state)
    for prefix in _PREFIXES:
        own = [key for key in state if key.startswith(prefix)]
        others = [key for key in state if not key.startswith(prefix)]
        if own and all(key.startswith(_BESIDE) for key in others):
            return _without_prefix({key.removeprefix(prefix): state[key] for key in own})
    return state
