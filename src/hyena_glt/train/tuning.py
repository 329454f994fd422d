"""Which parts of a network move, from which epoch on, and how fast."""

from collections.abc import Iterator, Sequence

from torch import nn

from hyena_glt.config import FinetuneRecipe, FinetuneTrainConfig
from hyena_glt.config.finetune import (
    FullTuningConfig,
    LoraTuningConfig,
    ScalesTuningConfig,
    UnfreezeConfig,
)
from hyena_glt.config.tasks import TaskConfig
from hyena_glt.errors import RecipeError
from hyena_glt.model import HyenaGLT, TaskNetwork
from hyena_glt.model.hierarchy import Hierarchy
from hyena_glt.train.adapters import add_adapters, add_scales
from hyena_glt.train.optimiser import Groups, parameter_groups


def freeze(network: TaskNetwork, recipe: FinetuneRecipe) -> None:
    """Let no gradient into what the recipe keeps as it is, from the first epoch to the last.

    Raises RecipeError where a name in ``tuning.freeze`` is no part's, or of one that stays anyway.
    """
    tuning = recipe.tuning
    if not isinstance(tuning, FullTuningConfig):
        network.network.requires_grad_(False)
        return
    for part in tuning.freeze:
        named = [
            network.network.get_parameter(name)
            for name in names_in(network.network, part, "tuning.freeze")
        ]
        if not any(parameter.requires_grad for parameter in named):
            raise RecipeError(
                f"tuning.freeze: {part!r} has no effect; what it names is frozen by a part before "
                "it, or never trains: the letters' head, and with pooling.over=patches what reads "
                "patches back at bases; remove it"
            )
        for parameter in named:
            parameter.requires_grad_(False)


def is_read_at_bases(task: TaskConfig) -> bool:
    """Return whether a head reads the states of bases, and not those of patches alone."""
    pooling = getattr(task, "pooling", None)
    return pooling is None or pooling.over == "bases"


def prepare_tuning(
    network: TaskNetwork, recipe: FinetuneRecipe, *, at_bases: bool = True
) -> "Unfreezing | None":
    """Freeze what stays and put in adapters; return which parts move later, if some do.

    Without ``at_bases`` no head reads the states of bases, and the layers behind the backbone have
    no gradient. Raises RecipeError for a part that isn't there and for a setting without effect,
    MissingExtraError where adapters need a package that isn't installed.
    """
    read = set(layers_of(network.network, at_bases=at_bases))
    unread = tuple(
        f"{part}." for layer in layers_of(network.network) if layer not in read for part in layer
    )
    for name, parameter in network.network.named_parameters():
        if f"{name}.".startswith(unread):
            parameter.requires_grad_(False)
    freeze(network, recipe)
    tuning = recipe.tuning
    if isinstance(tuning, LoraTuningConfig):
        add_adapters(network.network, tuning, recipe.seed, unread)
    elif isinstance(tuning, ScalesTuningConfig):
        add_scales(network.network, tuning, unread)
    if not isinstance(tuning, FullTuningConfig):
        return None
    unfreezing = None
    if tuning.unfreeze is not None:
        unfreezing = Unfreezing(network.network, tuning.unfreeze, tuning.freeze, at_bases=at_bases)
    if tuning.layer_decay is not None and not any(
        p.requires_grad for p in network.network.parameters()
    ):
        raise RecipeError("tuning.layer_decay has no effect: tuning.freeze lets no layer move")
    if recipe.train.optimiser == "muon" and not any(
        matrix.requires_grad for matrix in parameter_groups(network.network)[0]
    ):
        raise RecipeError(
            "train.optimiser=muon has no effect: tuning lets no matrix of the network move, by "
            "what it freezes and never frees; use train.optimiser=adamw, or let more move"
        )
    return unfreezing


def names_in(network: HyenaGLT, part: str, setting: str) -> list[str]:
    """Return the names of the parameters of ``part``, which is the beginning of them.

    A part ends where a name has a dot: blocks.1 isn't blocks.10. Raises RecipeError, which names
    ``setting`` and parts that there are, where no parameter's name begins so.
    """
    names = [name for name, _ in network.named_parameters()]
    found = [name for name in names if f"{name}.".startswith(f"{part}.")]
    if not found:
        parts = sorted({name.rpartition(".")[0] or name for name in names})
        raise RecipeError(
            f"{setting}: no parameter's name begins with {part!r}; there are "
            f"{', '.join(parts[:12])} ..."
        )
    return found


def layers_of(network: HyenaGLT, *, at_bases: bool = True) -> list[tuple[str, ...]]:
    """Return the network's layers in the order in which they read: each the parts that it has.

    The embedding first, the outermost decoder's last block last. Between them each block is a
    layer, and so is each way from one rate to the next: in (pool, router) and out (norm, up, gate).
    Without ``at_bases`` the backbone's last block is the last layer: what reads its states back has
    no part in the answer.
    """
    return [("embed",), *_inside(network.hierarchy, "hierarchy", at_bases)]


def _inside(hierarchy: Hierarchy, prefix: str, at_bases: bool) -> Iterator[tuple[str, ...]]:
    def blocks(name: str, count: int) -> Iterator[tuple[str, ...]]:
        return ((f"{prefix}.{name}.blocks.{number}",) for number in range(count))

    yield from blocks("encoder", len(hierarchy.encoder.blocks))
    yield (f"{prefix}.pool", f"{prefix}.router")
    if isinstance(hierarchy.inner, Hierarchy):
        yield from _inside(hierarchy.inner, f"{prefix}.inner", at_bases)
    else:
        yield from blocks("inner", len(hierarchy.inner.blocks))
    if at_bases:
        yield (f"{prefix}.inner_norm", f"{prefix}.up", f"{prefix}.gate")
        yield from blocks("decoder", len(hierarchy.decoder.blocks))


def layer_of_parameters(network: HyenaGLT, *, at_bases: bool = True) -> dict[str, int]:
    """Return each parameter's layer, from 0, in the order of `layers_of`.

    What is in none of them, such as a model of entropy, counts to the embedding.
    """
    found = dict.fromkeys((name for name, _ in network.named_parameters()), 0)
    for number, parts in enumerate(layers_of(network, at_bases=at_bases)):
        for name in found:
            if f"{name}.".startswith(tuple(f"{part}." for part in parts)):
                found[name] = number
    return found


class Unfreezing:
    """Which parameters move from which epoch on: a pure function of the epoch.

    Raises RecipeError for a part that isn't there, and for parts that are frozen or named without
    effect.
    """

    def __init__(
        self,
        network: HyenaGLT,
        config: UnfreezeConfig,
        frozen: Sequence[str],
        *,
        at_bases: bool = True,
    ) -> None:
        self._parameters = dict(network.named_parameters())
        kept = {name for part in frozen for name in names_in(network, part, "tuning.freeze")}
        never = {name for name, p in self._parameters.items() if not p.requires_grad} - kept
        self._first: dict[str, int] = {}  # epoch, from 0, of each that ever moves
        if config.steps is None:
            assert config.every_epochs is not None
            layers = layer_of_parameters(network, at_bases=at_bases)
            last = max(layers.values())
            self._first = {
                name: (last - layer + 1) * config.every_epochs for name, layer in layers.items()
            }
        for number, step in enumerate(config.steps or ()):
            for part in step.parts:
                setting = f"tuning.unfreeze.steps.{number}.parts"
                fresh = set(names_in(network, part, setting)) - never - set(self._first)
                if not fresh - kept:
                    raise RecipeError(
                        f"{setting}: {part!r} has no effect; what it names moves already, or stays "
                        "by tuning.freeze, as a head of letters, or with pooling.over=patches"
                    )
                self._first.update(dict.fromkeys(fresh, step.epoch - 1))
        for part in frozen:
            if self._first.keys().isdisjoint(names_in(network, part, "tuning.freeze")):
                raise RecipeError(
                    f"tuning.freeze: {part!r} has no effect, no step of tuning.unfreeze frees it"
                )
        for name in kept | never:
            self._first.pop(name, None)
        for name in self._parameters.keys() - self._first.keys():
            self._parameters[name].requires_grad_(False)

    def begin(self, epoch: int) -> None:
        """Let gradients into what moves in ``epoch`` (from 0), and into nothing else."""
        for name, first in self._first.items():
            self._parameters[name].requires_grad_(epoch >= first)


def optimiser_groups(
    network: TaskNetwork,
    config: FinetuneTrainConfig,
    layer_decay: float | None,
    *,
    at_bases: bool = True,
) -> tuple[Groups, Groups]:
    """Return (AdamW's groups, Muon's) of all that asks for a gradient.

    Matrices of linear layers decay, but not the head's, which has a rate of its own; those inside
    the hierarchy are Muon's where the config names it. With ``layer_decay`` the layers follow each
    other from the embedding up, each at its own share of the rates.
    """
    matrices = {id(m.weight) for m in network.modules() if isinstance(m, nn.Linear)}
    moving = {name: p for name, p in network.network.named_parameters() if p.requires_grad}
    of_muon: set[int] = set()
    if config.optimiser == "muon":
        of_muon = {id(matrix) for matrix in parameter_groups(network.network)[0]}
    layers = dict.fromkeys(moving, 0)
    shares = [1.0]
    if layer_decay is not None:
        layers = layer_of_parameters(network.network, at_bases=at_bases)
        depth = max(layers.values()) + 1
        shares = [layer_decay ** (depth - layer) for layer in range(depth)]
    adamw: Groups = []
    muon: Groups = []
    for layer, share in enumerate(shares):
        own = [p for name, p in moving.items() if layers[name] == layer]
        decaying = [p for p in own if id(p) in matrices]
        others = [p for p in own if id(p) not in matrices]
        orthogonalised = [p for p in decaying if id(p) in of_muon]
        decaying = [p for p in decaying if id(p) not in of_muon]
        adamw += _group(decaying, config.lr * share, config.weight_decay)
        adamw += _group(others, config.lr * share, 0.0)
        muon += _group(orthogonalised, config.muon_lr * share, config.weight_decay)
    return adamw + _group([*network.head.parameters()], config.head_lr, 0.0), muon


def _group(params: list[nn.Parameter], rate: float, decay: float) -> Groups:
    """Return the group as a list, empty where it has no parameter."""
    return [{"params": params, "lr": rate, "weight_decay": decay}] if params else []
