"""One rate of the network: encode, cut, think in patches, read back, decode.

The inner network is the backbone at the last rate and another Hierarchy above it.
"""

import math
from typing import NamedTuple, Union

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hyena_glt.config import ModelConfig
from hyena_glt.nn import Span, Stack
from hyena_glt.nn.block import NORM_EPS
from hyena_glt.nn.stack import StackState
from hyena_glt.ops import PoolState, pool_patches
from hyena_glt.patch import Emission, Patcher, Patches, cut


class HierarchyState(NamedTuple):
    """What one rate remembers between calls."""

    encoder: StackState
    pool: PoolState  # the open patch
    latent: Float[Tensor, "B E"]  # the backbone's answer to the patch closed last
    inner: Union["HierarchyState", StackState]
    decoder: StackState


class Hierarchy(nn.Module):
    """y = decoder(h + gate * up(inner(pool(h)))[read]), with h = encoder(x)."""

    def __init__(self, config: ModelConfig, level: int, patchers: list[Patcher]) -> None:
        super().__init__()
        stage = config.stages[level]
        last = level + 1 == len(config.stages)
        inside = config.backbone if last else config.stages[level + 1]
        self.patcher = patchers[level]
        spacing_bp = 1 if level == 0 else patchers[level - 1].min_bp

        def stack(layout: str, width: int, mlp_width: int, spacing_bp: int) -> Stack:
            return Stack(
                layout,
                width,
                mlp_width,
                config.mixers,
                spacing_bp,
                config.activation_checkpointing,
                two_sided=config.direction != "causal",
            )

        self.encoder = stack(stage.encoder, stage.width, stage.mlp_width, spacing_bp)
        self.pool = nn.Linear(2 * stage.width, inside.width)
        self.inner: Hierarchy | Stack
        if last:
            backbone = config.backbone
            self.inner = stack(
                backbone.layout, backbone.width, backbone.mlp_width, self.patcher.min_bp
            )
        else:
            self.inner = Hierarchy(config, level + 1, patchers)
        self.inner_norm = nn.RMSNorm(inside.width, eps=NORM_EPS)
        self.up = nn.Linear(inside.width, stage.width)
        # The outermost gate starts shut; were those inside shut too, the backbone would wait.
        self.gate = nn.Parameter(torch.full((stage.width,), float(level > 0)))
        self.decoder = stack(stage.decoder, stage.width, stage.mlp_width, spacing_bp)
        for linear in (self.pool, self.up):
            nn.init.normal_(linear.weight, std=1 / math.sqrt(linear.in_features))
            nn.init.zeros_(linear.bias)

    def begin(self, like: Float[Tensor, "B D"]) -> HierarchyState:
        """Return the state before the first position."""
        batch = like.shape[0]
        inside = like.new_zeros(batch, self.up.in_features)
        return HierarchyState(
            encoder=self.encoder.begin(like),
            pool=PoolState(
                torch.zeros_like(like),
                torch.full_like(like, -torch.inf),
                torch.zeros(batch, dtype=torch.long, device=like.device),
            ),
            latent=inside,
            inner=self.inner.begin(inside),
            decoder=self.decoder.begin(like),
        )

    def forward(
        self,
        x_BLD: Float[Tensor, "B L D"],
        emissions: list[Emission],
        span: Span,
        state: HierarchyState | None,
    ) -> tuple[Float[Tensor, "B L D"], HierarchyState | None]:
        """Return (y, state). ``emissions`` hold the closes of this rate and of those inside it."""
        h_BLD, encoder = self.encoder(x_BLD, span, None if state is None else state.encoder)
        patches = cut(emissions[0])
        mean_BPD, max_BPD, pool = pool_patches(
            h_BLD, patches, span.length, None if state is None else state.pool
        )
        # Latents are a residual stream: in the precision of h, under autocast too.
        z_BPE = self.pool(torch.cat([mean_BPD, max_BPD], -1)).to(h_BLD.dtype)
        z_BPE, inner = self._think(z_BPE, patches, emissions, span, state)
        # Slot 0 is the latent of the patch closed last before this call; a row starts with BOS,
        # which emits, so that a fresh row never reads it. Two-sided, a position reads its own
        # patch.
        before = z_BPE.new_zeros(z_BPE[:, 0].shape) if state is None else state.latent
        z_BPE = torch.cat([before[:, None], z_BPE], 1)
        up_BPD = self.gate * self.up(self.inner_norm(z_BPE))
        latent = patches.seg if span.two_sided else patches.read
        # Padding after a row whose last position closes a patch is in no patch at all.
        index = (latent + 1).clamp(max=patches.capacity)[..., None]
        x_BLD = h_BLD + up_BPD.gather(1, index.expand(-1, -1, up_BPD.shape[2]))
        y_BLD, decoder = self.decoder(x_BLD, span, None if state is None else state.decoder)
        if state is None:
            return y_BLD, None
        newest = patches.closed[:, None, None].expand(-1, 1, z_BPE.shape[2])
        assert encoder is not None
        assert pool is not None
        assert inner is not None
        assert decoder is not None
        return y_BLD, HierarchyState(encoder, pool, z_BPE.gather(1, newest)[:, 0], inner, decoder)

    def _think(
        self,
        z_BPE: Float[Tensor, "B P E"],
        patches: Patches,
        emissions: list[Emission],
        span: Span,
        state: HierarchyState | None,
    ) -> tuple[Float[Tensor, "B P E"], "HierarchyState | StackState | None"]:
        """Run the inner network over this call's latents, at the coordinates of their closes."""
        coordinate = span.coordinate.gather(1, patches.close)
        inside = Span(coordinate, patches.closed, span.two_sided)
        before = None if state is None else state.inner
        answer: tuple[Tensor, HierarchyState | StackState | None]
        if isinstance(self.inner, Stack):
            answer = self.inner(z_BPE, inside, before)
            return answer
        closed = torch.arange(patches.capacity, device=z_BPE.device) < patches.closed[:, None]
        inner = [
            Emission(mask.gather(1, patches.close) & closed, min(capacity, patches.capacity))
            for mask, capacity in emissions[1:]
        ]
        answer = self.inner(z_BPE, inner, inside, before)
        return answer
