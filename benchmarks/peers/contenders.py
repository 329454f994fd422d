"""The networks by name, at equal parameters besides their tables."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hyena_glt.config import ModelConfig
from hyena_glt.model import HyenaGLT
from peers.hyena2 import Hyena2
from peers.letters import EMBED, WIDTH

# Everything at 4.1 M parameters, 3 % more or less: tests/benchmarks/test_peers.py.
SHAPES: dict[str, dict[str, Any]] = {
    "patched": {
        "stages": [
            {
                "width": 96,
                "mlp_width": 96,
                "encoder": "S",
                "patch": {"kind": "fixed", "size_bp": 8},
                "decoder": "S",
            }
        ],
        "backbone": {"width": 352, "mlp_width": 752, "layout": "SML"},
    },
    "flat": {
        "stages": [
            {
                "width": WIDTH,
                "mlp_width": WIDTH,
                "encoder": "",
                "patch": {"kind": "none"},
                "decoder": "",
            }
        ],
        "backbone": {"width": 352, "mlp_width": 736, "layout": "SML"},
    },
    "hyena2": {"depth": 5},
    "transformer": {"depth": 5, "mlp_width": 720},
}
CONTENDERS = tuple(SHAPES)
OURS = ("patched", "flat")
REFERENCE = "patched"


class Size(NamedTuple):
    """Numbers that training moves."""

    parameters: int  # all but the tables
    table_parameters: int  # rows of the k-mer tables times the width that looks them up


def contender_config(name: str) -> ModelConfig:
    """Return the shape of a network of ours: ``patched`` or ``flat``."""
    return ModelConfig.model_validate({"embed": EMBED.model_dump(), **SHAPES[name]})


def build_contender(name: str, longest: int) -> nn.Module:
    """Return a fresh network of that name, for rows of at most ``longest`` positions.

    The order-2 Hyena network alone depends on ``longest``, and not in its size.
    """
    if name in OURS:
        return HyenaGLT(contender_config(name), "dna")
    if name == "hyena2":
        return Hyena2(longest=longest, **SHAPES[name])
    if name == "transformer":
        # Its library takes 130 MiB, which the memory of the others is measured without.
        from peers.transformer import Transformer

        return Transformer(**SHAPES[name])
    raise ValueError(f"no contender {name!r}; there are {', '.join(CONTENDERS)}")


def letter_logits(network: Callable[..., Any], ids: Int[Tensor, "B L"]) -> Float[Tensor, "B L V"]:
    """Return the logits of the letter after each position, whichever network it is."""
    output = network(ids)
    return torch.as_tensor(getattr(output, "logits", output))


def size_of(network: nn.Module) -> Size:
    """Return how many parameters a contender has, tables apart."""
    table = network.get_submodule("embed").get_parameter("table").numel()
    return Size(sum(parameter.numel() for parameter in network.parameters()) - table, table)


def wake(network: nn.Module) -> None:
    """Give a fresh network live weights, in place: heads, and gates of ours, start at zero."""
    with torch.no_grad():
        nn.init.normal_(network.get_submodule("head").get_parameter("out.weight"), std=0.1)
        for name, parameter in network.named_parameters():
            if name.endswith("gate"):
                parameter.fill_(1)
