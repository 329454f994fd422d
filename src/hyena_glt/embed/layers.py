"""Where a network can be looked into: its embedding and its blocks, by name.

One stage:   embed, encoder.0 .., backbone.0 .., backbone.norm, decoder.0 ..
Two stages:  embed, encoder.0 .., stage2.encoder.0 .., backbone.0 .., backbone.norm,
             stage2.decoder.0 .., decoder.0 ..

A block's output is the residual stream, whose scale a few channels may rule; ``backbone.norm`` is
the backbone's last one as the layers after it see it, each vector divided by its root mean square.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from hyena_glt.errors import LayerError
from hyena_glt.model import Hierarchy, HyenaGLT
from hyena_glt.nn import Block, Stack


class Layer(NamedTuple):
    """A place in the network whose outputs are embeddings."""

    name: str
    width: int
    rate: int  # 0: a vector a base; n: a vector a patch of stage n


def layers_of(network: HyenaGLT) -> list[Layer]:
    """Return the layers in the order of the forward pass."""
    return [layer for layer, _ in _places(network)]


def find_layer(network: HyenaGLT, name: str) -> tuple[Layer, nn.Module]:
    """Return the layer called ``name`` and its module, whose (first) output is the layer's.

    A negative number counts from the end: ``backbone.-1`` is the last block of the backbone. Raises
    LayerError, with all names, where there is no such layer.
    """
    places = {layer.name: (layer, module) for layer, module in _places(network)}
    match = re.fullmatch(r"(.*)\.-([1-9][0-9]*)", name)
    wanted = name
    if match is not None:
        blocks = [other for other in places if re.fullmatch(rf"{re.escape(match[1])}\.\d+", other)]
        back = int(match[2])
        wanted = blocks[-back] if back <= len(blocks) else name
    if wanted not in places:
        raise LayerError(f"found no layer {name!r}; this network has: {', '.join(places)}")
    return places[wanted]


def _places(network: HyenaGLT) -> Iterator[tuple[Layer, nn.Module]]:
    yield Layer("embed", network.embed.symbol.embedding_dim, 0), network.embed
    yield from _inside(network.hierarchy, 0)


def _inside(part: Hierarchy | Stack, rate: int) -> Iterator[tuple[Layer, nn.Module]]:
    if isinstance(part, Stack):
        yield from _blocks("backbone", part, rate)
        return
    stage = f"stage{rate + 1}." if rate else ""
    yield from _blocks(f"{stage}encoder", part.encoder, rate)
    yield from _inside(part.inner, rate + 1)
    if isinstance(part.inner, Stack):
        yield Layer("backbone.norm", part.up.in_features, rate + 1), part.inner_norm
    yield from _blocks(f"{stage}decoder", part.decoder, rate)


def _blocks(name: str, stack: Stack, rate: int) -> Iterator[tuple[Layer, nn.Module]]:
    for number, block in enumerate(stack.blocks):
        assert isinstance(block, Block)
        yield Layer(f"{name}.{number}", block.mixer_norm.weight.numel(), rate), block
