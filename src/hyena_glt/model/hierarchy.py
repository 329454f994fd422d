"""One rate of the network: encode, cut, think in patches, read back, decode.

The inner network is the backbone at the last rate and another Hierarchy above it. Rules are
evaluated at bases, whatever the rate; a router reads the encoder's states at its own.
"""

import math
from typing import NamedTuple, Union

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hyena_glt.config import FixedPatchConfig, LearnedPatchConfig, ModelConfig
from hyena_glt.model.router import Router, RouterState, Routing, ratio_loss, straight_through
from hyena_glt.nn import RMSNorm, Span, Stack, put_rows, select_rows
from hyena_glt.nn.stack import StackState
from hyena_glt.ops import AlignedState, Grid, PoolState, align_patches, pool_patches, smooth
from hyena_glt.patch import Emission, Patcher, PatcherState, Patches, cut


class Reading(NamedTuple):
    """What rules read of a call: rows of bases, whatever the rate of the network."""

    ids: Int[Tensor, "B N"]
    length: Int[Tensor, " B"]
    entropy: Int[Tensor, "B N"] | None  # of the next base, in 1/1024 bit
    track: Float[Tensor, "B N"] | None


class Trace(NamedTuple):
    """What a rate and those inside it leave beside their answer."""

    emissions: list[Emission]  # at bases
    ratio_loss: Float[Tensor, ""] | None  # weighted, of all routers


class HierarchyState(NamedTuple):
    """What one rate remembers between calls."""

    encoder: StackState
    patcher: PatcherState
    router: RouterState | None
    pool: PoolState | AlignedState  # the open patch
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
        self.level = level
        self.patchers = patchers
        window_bp = config.mixers.A.window_bp
        spacing_bp = 1 if level == 0 else _spacing_bp(patchers[level - 1], window_bp)

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
        self.router = None
        if isinstance(stage.patch, LearnedPatchConfig):
            self.router = Router(stage.width, stage.patch)
            self.ratio = stage.patch.mean_bp / (patchers[level - 1].mean_bp if level else 1)
            self.ratio_weight = stage.patch.ratio_weight
        # A patch is pooled: mean and max, or its positions side by side. A router selects: the
        # state where the patch closes.
        self.grid = _grid(config, level) if stage.pooling == "aligned" else None
        states = self.grid.places if self.grid is not None else 1 if self.router is not None else 2
        self.pool = nn.Linear(states * stage.width, inside.width)
        self.inner: Hierarchy | Stack
        if last:
            backbone = config.backbone
            self.inner = stack(
                backbone.layout,
                backbone.width,
                backbone.mlp_width,
                _spacing_bp(self.patcher, window_bp),
            )
        else:
            self.inner = Hierarchy(config, level + 1, patchers)
        self.inner_norm = RMSNorm(inside.width)
        self.up = nn.Linear(inside.width, stage.width)
        # The outermost gate starts shut; were those inside shut too, the backbone would wait.
        self.gate = nn.Parameter(torch.full((stage.width,), float(level > 0)))
        self.decoder = stack(stage.decoder, stage.width, stage.mlp_width, spacing_bp)
        for linear in (self.pool, self.up):
            nn.init.normal_(linear.weight, std=1 / math.sqrt(linear.in_features))
            nn.init.zeros_(linear.bias)

    @property
    def patcher(self) -> Patcher:
        """The rule of this rate."""
        return self.patchers[self.level]

    def begin(self, like: Float[Tensor, "B D"]) -> HierarchyState:
        """Return the state before the first position."""
        batch = like.shape[0]
        inside = like.new_zeros(batch, self.up.in_features)
        return HierarchyState(
            encoder=self.encoder.begin(like),
            patcher=self.patcher.begin(batch, like.device),
            router=None if self.router is None else self.router.begin(like),
            pool=self._open(like),
            latent=inside,
            inner=self.inner.begin(inside),
            decoder=self.decoder.begin(like),
        )

    def _open(self, like: Float[Tensor, "B D"]) -> PoolState | AlignedState:
        """Return an empty patch."""
        if self.grid is not None:
            return AlignedState(like.new_zeros(len(like), self.grid.places, like.shape[1]))
        length = torch.zeros(len(like), dtype=torch.long, device=like.device)
        return PoolState(torch.zeros_like(like), torch.full_like(like, -torch.inf), length)

    def forward(
        self,
        x_BLD: Float[Tensor, "B L D"],
        reading: Reading,
        outer: Emission | None,
        base_of: Int[Tensor, "B L"] | None,
        span: Span,
        state: HierarchyState | None,
    ) -> tuple[Float[Tensor, "B L D"], Trace, HierarchyState | None]:
        """Return (y, trace, state).

        Inside another rate, ``outer`` says where that one closes, at bases, and ``base_of`` at
        which base each position of this rate stands.
        """
        h_BLD, encoder = self.encoder(x_BLD, span, None if state is None else state.encoder)
        routing, router = self._route(h_BLD, span, state)
        emission, patcher = self._emit(routing, reading, outer, base_of, span, state)
        patches = cut(_at_rate(emission, base_of, span))
        z_BPE, pool = self._pool(h_BLD, patches, span, state)
        z_BPE, inside, inner = self._think(z_BPE, patches, reading, emission, base_of, span, state)
        # Slot 0 is the latent of the patch closed last before this call; a row starts with BOS,
        # which emits, so that a fresh row never reads it. Two-sided, a position reads its own
        # patch.
        before = z_BPE.new_zeros(z_BPE[:, 0].shape) if state is None else state.latent
        if routing is not None:
            share = routing.confidence.gather(1, patches.close)
            z_BPE = smooth(z_BPE.to(share.dtype), share, before.to(share.dtype)).to(z_BPE.dtype)
        z_BPE = torch.cat([before[:, None], z_BPE], 1)
        up_BPD = self.gate * self.up(self.inner_norm(z_BPE))
        latent = patches.seg if span.two_sided else patches.read
        # Padding after a row whose last position closes a patch is in no patch at all.
        index = (latent + 1).clamp(max=patches.capacity)[..., None]
        up_BLD = up_BPD.gather(1, index.expand(-1, -1, up_BPD.shape[2]))
        trace = Trace([emission, *inside.emissions], inside.ratio_loss)
        if routing is not None:
            closes = _at_rate(emission, base_of, span).mask
            up_BLD = up_BLD * straight_through(routing.confidence, closes).to(up_BLD.dtype)
            trace = self._weigh(trace, routing, closes, span)
        y_BLD, decoder = self.decoder(
            h_BLD + up_BLD, span, None if state is None else state.decoder
        )
        if state is None:
            return y_BLD, trace, None
        newest = patches.closed[:, None, None].expand(-1, 1, z_BPE.shape[2])
        latent_BE = z_BPE.gather(1, newest)[:, 0]
        assert encoder is not None
        assert pool is not None
        assert inner is not None
        assert decoder is not None
        after = HierarchyState(encoder, patcher, router, pool, latent_BE, inner, decoder)
        return y_BLD, trace, after

    def _route(
        self, h_BLD: Float[Tensor, "B L D"], span: Span, state: HierarchyState | None
    ) -> tuple[Routing | None, RouterState | None]:
        if self.router is None:
            return None, None
        routed: tuple[Routing, RouterState | None]
        routed = self.router(h_BLD, span, None if state is None else state.router)
        return routed

    def _emit(
        self,
        routing: Routing | None,
        reading: Reading,
        outer: Emission | None,
        base_of: Int[Tensor, "B L"] | None,
        span: Span,
        state: HierarchyState | None,
    ) -> tuple[Emission, PatcherState]:
        """Return (where this rate closes, at bases, state)."""
        ids, length = reading.ids, reading.length
        score = self._score(reading)
        valid = _valid(span)
        if routing is not None:
            assert self.router is not None
            score = self.router.score(routing)
            if base_of is not None:
                # Padding goes to one slot more, which is cut off.
                slot = torch.where(valid, base_of, ids.shape[1])
                score = score.new_full((len(ids), ids.shape[1] + 1), -1).scatter(1, slot, score)
                score = score[:, :-1]
        before = self.patcher.begin(len(ids), ids.device) if state is None else state.patcher
        emission, after = self.patcher.emit(ids, length, before, outer, score)
        if routing is not None and self.training and torch.is_grad_enabled():
            assert self.router is not None
            opened = (valid & (span.coordinate == 0)).sum()
            self.router.count(routing, valid, emission, length, opened)
        if span.two_sided:
            last = torch.arange(ids.shape[1], device=ids.device) == (length - 1)[:, None]
            capacity = min(emission.capacity + 1, ids.shape[1])
            emission = emission._replace(mask=emission.mask | last, capacity=capacity)
        return emission, after

    def _score(self, reading: Reading) -> Tensor | None:
        """Return what this rate's rule reads of a call besides letters, a router's score apart."""
        return {"entropy": reading.entropy, "track": reading.track}.get(self.patcher.reads)

    def _pool(
        self,
        h_BLD: Float[Tensor, "B L D"],
        patches: Patches,
        span: Span,
        state: HierarchyState | None,
    ) -> tuple[Float[Tensor, "B P E"], PoolState | AlignedState | None]:
        """Return (latents, state): a residual stream, in the precision of h under autocast too."""
        before = None if state is None else state.pool
        if self.grid is not None:
            assert not isinstance(before, PoolState)
            place, places = self.grid.place(span.coordinate), self.grid.places
            side_BPN, after = align_patches(h_BLD, patches, span.length, place, places, before)
            return self.pool(side_BPN).to(h_BLD.dtype), after
        if self.router is None:
            assert not isinstance(before, AlignedState)
            mean_BPD, max_BPD, pool = pool_patches(h_BLD, patches, span.length, before)
            return self.pool(torch.cat([mean_BPD, max_BPD], -1)).to(h_BLD.dtype), pool
        index = patches.close[..., None].expand(-1, -1, h_BLD.shape[2])
        return self.pool(h_BLD.gather(1, index)).to(h_BLD.dtype), before

    def _think(
        self,
        z_BPE: Float[Tensor, "B P E"],
        patches: Patches,
        reading: Reading,
        emission: Emission,
        base_of: Int[Tensor, "B L"] | None,
        span: Span,
        state: HierarchyState | None,
    ) -> tuple[Float[Tensor, "B P E"], Trace, "HierarchyState | StackState | None"]:
        """Run the inner network over this call's latents, at the coordinates of their closes.

        A step of decoding runs it for the rows alone that closed a patch.
        """
        bases = patches.close if base_of is None else base_of.gather(1, patches.close)
        inside = Span(span.coordinate.gather(1, patches.close), patches.closed, span.two_sided)
        before = None if state is None else state.inner
        is_step = reading.ids.shape[1] == 1 and not torch.is_grad_enabled()
        if before is None or not is_step or torch.compiler.is_compiling():
            return self._inside(z_BPE, reading, emission, bases, inside, before)
        inside = inside._replace(full=True)  # of the rows that close one
        closing = patches.closed.nonzero()[:, 0]
        if len(closing) == len(z_BPE):
            return self._inside(z_BPE, reading, emission, bases, inside, before)
        emissions, after = self._wait_inside(reading, before)
        if len(closing) == 0:
            return z_BPE, Trace(emissions, None), after
        few = select_rows((z_BPE, reading, emission, bases, inside, before), closing)
        z_RPE, trace, after_few = self._inside(*few)
        emissions = [
            put_rows(rest, closing, some)
            for rest, some in zip(emissions, trace.emissions, strict=True)
        ]
        z_BPE = z_RPE.new_zeros(z_BPE.shape).index_copy(0, closing, z_RPE)
        return z_BPE, Trace(emissions, trace.ratio_loss), put_rows(after, closing, after_few)

    def _inside(
        self,
        z_BPE: Float[Tensor, "B P E"],
        reading: Reading,
        emission: Emission,
        bases: Int[Tensor, "B P"],
        inside: Span,
        before: "HierarchyState | StackState | None",
    ) -> tuple[Float[Tensor, "B P E"], Trace, "HierarchyState | StackState | None"]:
        """Return the inner network's (answers, trace, state)."""
        after: HierarchyState | StackState | None
        if isinstance(self.inner, Stack):
            z_BPE, after = self.inner(z_BPE, inside, before)
            return z_BPE, Trace([], None), after
        z_BPE, trace, after = self.inner(z_BPE, reading, emission, bases, inside, before)
        return z_BPE, trace, after

    def _wait_inside(
        self, reading: Reading, state: "HierarchyState | StackState"
    ) -> tuple[list[Emission], "HierarchyState | StackState"]:
        """Return the inner network's (emissions, state) of a step that closes no patch."""
        if not isinstance(state, HierarchyState):
            return [], state
        assert isinstance(self.inner, Hierarchy)
        return self.inner.wait(reading, state)

    def wait(
        self, reading: Reading, state: HierarchyState
    ) -> tuple[list[Emission], HierarchyState]:
        """Return (emissions, state) of a step that gives this rate nothing to read.

        Rules are evaluated at bases, so theirs go on; none may close a patch.
        """
        ids, length = reading.ids, reading.length
        shut = Emission(torch.zeros_like(ids, dtype=torch.bool), 1, torch.zeros_like(length))
        score = self._score(reading)
        if self.router is not None:
            score = torch.full(ids.shape, -1.0, device=ids.device)
        emission, patcher = self.patcher.emit(ids, length, state.patcher, shut, score)
        inside, inner = self._wait_inside(reading, state.inner)
        return [emission, *inside], state._replace(patcher=patcher, inner=inner)

    def _weigh(
        self, trace: Trace, routing: Routing, closes: Bool[Tensor, "B L"], span: Span
    ) -> Trace:
        """Return ``trace`` with this router's ratio loss, where the recipe gives it a weight."""
        if not self.ratio_weight:
            return trace
        loss = self.ratio_weight * ratio_loss(routing, closes, _valid(span), self.ratio)
        inside = trace.ratio_loss
        return trace._replace(ratio_loss=loss if inside is None else loss + inside)


def _grid(config: ModelConfig, level: int) -> Grid:
    """Return where the fixed patches of a rate close, over those of the rate that it reads."""
    patch = config.stages[level].patch
    assert isinstance(patch, FixedPatchConfig)
    outer = config.outer_patch(level)
    step_bp = outer.size_bp if isinstance(outer, FixedPatchConfig) else 1
    return Grid(patch.size_bp, patch.frame, step_bp)


def _spacing_bp(patcher: Patcher, window_bp: int) -> int:
    """Return a spacing of closes at which no window has more of them than ``patcher`` can close.

    ``min_bp``, but where anchors close patches however short they are.
    """
    most = patcher.capacity(window_bp)
    spacings = range(patcher.min_bp, 0, -1)
    return next(s for s in spacings if math.ceil(window_bp / s) + 1 >= most)


def _valid(span: Span) -> Bool[Tensor, "B L"]:
    index = torch.arange(span.coordinate.shape[1], device=span.coordinate.device)
    return index < span.length[:, None]


def _at_rate(emission: Emission, base_of: Int[Tensor, "B L"] | None, span: Span) -> Emission:
    """Return ``emission``, given at bases, at the positions of a rate."""
    if base_of is None:
        return emission
    mask = emission.mask.gather(1, base_of) & _valid(span)
    return emission._replace(mask=mask, capacity=min(emission.capacity, mask.shape[1]))
