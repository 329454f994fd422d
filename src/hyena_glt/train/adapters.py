"""Adapters at linear layers: low-rank ones (Hu et al. 2021) through peft, scales through torch."""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hyena_glt.config.finetune import LoraTuningConfig, ScalesTuningConfig
from hyena_glt.errors import MissingExtraError, RecipeError

_ADAPTER = "default"  # what peft calls the only one


def add_adapters(
    network: nn.Module, config: LoraTuningConfig, seed: int, unread: tuple[str, ...] = ()
) -> None:
    """Put adapters beside linear layers of ``network``, in place; they change no answer yet.

    Afterwards they are all that asks for a gradient. Their first weights are drawn from ``seed``.
    Raises MissingExtraError where peft isn't installed, RecipeError as `adapted_layers` does.
    """
    targets = adapted_layers(network, config, unread)
    adapted = _adapted_linear()
    import peft

    lora = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=targets,
    )
    lora._register_custom_module({nn.Linear: adapted})
    network.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not ours to draw
        torch.manual_seed(seed)
        # Not the network itself, in whose config peft would look for a language model.
        peft.inject_adapter_in_model(lora, nn.ModuleDict({"network": network}))


class Scales(nn.Module):
    """A number for each output of a linear layer, 1 at first."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(outputs))

    def forward(self, whole: Float[Tensor, "O ..."]) -> Float[Tensor, "O ..."]:
        """Return a weight or a bias, multiplied output by output."""
        return self.scale.view(-1, *[1] * (whole.ndim - 1)) * whole


def add_scales(
    network: nn.Module, config: ScalesTuningConfig, unread: tuple[str, ...] = ()
) -> None:
    """Put a scale on each output of linear layers of ``network``, in place.

    Afterwards they are all that asks for a gradient. Raises RecipeError as `adapted_layers` does.
    """
    network.requires_grad_(False)
    for name in adapted_layers(network, config, unread):
        layer = network.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        scales = Scales(layer.out_features)
        parametrize.register_parametrization(layer, "weight", scales)
        if layer.bias is not None:
            parametrize.register_parametrization(layer, "bias", scales)


def adapted_layers(
    network: nn.Module,
    config: LoraTuningConfig | ScalesTuningConfig,
    unread: tuple[str, ...] = (),
) -> list[str]:
    """Return the names of the linear layers that ``config`` puts adapters beside.

    None is in the parts of ``unread``, beginnings of names, where an adapter would never learn.
    Raises RecipeError, with the names that there are, for a target that is no linear layer's name,
    or of unread layers alone.
    """
    inside = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
        and not name.startswith(("head.", "masked_head.", "entropy."))
        and not f"{name}.".startswith(unread)
    ]
    if config.targets is None:
        return [name for name in inside if "blocks" in name.split(".")]
    chosen: set[str] = set()
    for target in config.targets:
        found = [name for name in inside if f".{target}." in f".{name}."]
        if not found:
            raise RecipeError(
                f"tuning.targets: no linear layer that a head reads has a name that holds "
                f"{target!r}; there are {', '.join(inside)}"
                + (" (with pooling.over=patches no others are read)" if unread else "")
            )
        if chosen.issuperset(found):
            raise RecipeError(
                f"tuning.targets: {target!r} names no layer that the others don't; remove it"
            )
        chosen.update(found)
    return [name for name in inside if name in chosen]


def plain_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return the network's weights, with what adapters make of the layers that they are at.

    The names are those of a network without adapters; tensors are on the CPU, and copies.
    """
    weights = network.state_dict()
    for name, module in network.named_modules():
        if parametrize.is_parametrized(module):
            own = f"{name}.parametrizations."
            weights = {key: t for key, t in weights.items() if not key.startswith(own)}
            for scaled in module.parametrizations:
                weights[f"{name}.{scaled}"] = getattr(module, scaled)
        if not hasattr(module, "lora_A"):
            continue
        layer: Any = module
        weights = {key: t for key, t in weights.items() if not key.startswith(f"{name}.")}
        weights[f"{name}.weight"] = layer.base_layer.weight + layer.get_delta_weight(_ADAPTER)
        if layer.base_layer.bias is not None:
            weights[f"{name}.bias"] = layer.base_layer.bias
    return {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}


@cache
def _adapted_linear() -> type[nn.Module]:
    """Return peft's layer, but one whose ``weight`` is the sum.

    Mixers multiply by the weight of a layer without calling it, where peft's own would go unheard.
    """
    try:
        from peft.tuners.lora import Linear
    except ImportError as error:
        raise MissingExtraError(
            "tuning.kind=lora needs the package peft, which isn't installed; "
            'run: pip install "hyena-glt[lora]"'
        ) from error

    class AdaptedLinear(Linear):  # type: ignore[misc]  # of a library without types
        @property
        def weight(self) -> Tensor:
            base: Tensor = self.base_layer.weight
            a, b = self.lora_A[_ADAPTER].weight, self.lora_B[_ADAPTER].weight
            # In full, as when added up for a checkpoint, whatever autocast is around it.
            with torch.autocast(base.device.type, enabled=False):
                seen = self.lora_dropout[_ADAPTER](torch.ones_like(base[0]))
                whole: Tensor = base + b @ (a * seen) * self.scaling[_ADAPTER]
            return whole

        def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            return nn.functional.linear(x, self.weight, self.base_layer.bias)

    return AdaptedLinear
