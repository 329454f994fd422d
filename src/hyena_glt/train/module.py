"""One optimiser step, as Lightning wants it."""

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hyena_glt.config import ObjectiveConfig, TrainConfig
from hyena_glt.data import Batch, Kind, bases_in
from hyena_glt.errors import TrainingError
from hyena_glt.model import HyenaGLT
from hyena_glt.objective import base_loss, kind_shares, named_bits
from hyena_glt.train.optimiser import build_optimisers, rate_at
from hyena_glt.train.patches import PatchTally
from hyena_glt.train.segments import backward_in_segments


class TrainingModule(LightningModule):
    """A thin adapter around the network.

    A batch is the whole accumulation group: its weights are known before the first micro-batch, so
    that loss and gradient are those of the group, however it is cut: each kind's
    sum(weight * nll) / sum(weight), in the objective's shares.
    """

    def __init__(
        self, network: HyenaGLT, objective: ObjectiveConfig, config: TrainConfig, steps: int
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.objective = objective
        self.config = config
        self.steps = steps
        self.average: AveragedModel | None = None
        if config.ema_decay is not None:
            average = get_ema_multi_avg_fn(config.ema_decay)
            self.average = AveragedModel(network, multi_avg_fn=average)
        self.done_steps = 0
        self.read_bases = 0
        self.empty_batches = 0
        self._patches = PatchTally()
        self._rng: torch.Tensor | None = None
        self._last_s = time.monotonic()

    def trained(self) -> HyenaGLT:
        """Return the network to validate and keep: the average where there is one."""
        network = self.network if self.average is None else self.average.module
        assert isinstance(network, HyenaGLT)
        return network

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the optimisers; their rates are set before each step."""
        return build_optimisers(self.network, self.config)

    def training_step(self, batch: Mapping[Kind, Batch], batch_idx: int) -> None:
        """Take one optimiser step on ``batch``.

        A batch in which no base weighs anything (a gap of N, say) counts as a step, moves nothing
        and is counted in the metric ``empty_batches``.
        """
        if self._rng is not None:  # here, because the engine draws numbers before the first step
            torch.set_rng_state(self._rng)
            self._rng = None
        bases = bases_in(batch)
        self.read_bases += bases
        kinds = [kind for kind, rows in batch.items() if rows.weight.sum() > 0]
        if not kinds:
            self.done_steps += 1
            self.empty_batches += 1
            self.log_dict({"step": self.done_steps, "empty_batches": self.empty_batches})
            return
        shares = kind_shares(self.objective, kinds)
        windows = sum(len(rows.ids) for rows in batch.values())
        size = self._windows_in_memory(
            windows, max(rows.ids.shape[1] - 1 for rows in batch.values())
        )
        bits = {kind: self._backward(kind, batch[kind], shares[kind], size) for kind in kinds}
        named = named_bits(self.objective, bits)
        self._step(named["bits_per_base"])
        self._report(named, bases)

    def _windows_in_memory(self, windows: int, window_bp: int) -> int:
        """Return how many of a step's windows are read at once: more where they are shorter."""
        most = self.config.micro_batch_windows or self.config.batch_windows
        segment_bp = self.config.segment_bp
        if segment_bp is None:
            return most * windows // self.config.batch_windows
        # Of longer windows a segment is in memory, of shorter ones all.
        return max(1, most * segment_bp // min(segment_bp, window_bp))

    def _backward(self, kind: Kind, batch: Batch, share: float, size: int) -> float:
        """Add the gradient of ``share`` of this kind's loss; return the loss, in bits per base.

        ``size`` windows are in memory at once.
        """
        total = batch.weight.sum()
        nll = torch.zeros((), device=self.device)
        for first in range(0, len(batch.ids), size):
            part = batch.rows(first, first + size)
            if self.config.segment_bp is None:
                nll += self._backward_whole(
                    kind, part, share, total, len(part.ids) / len(batch.ids)
                )
            else:
                nll += backward_in_segments(
                    self.network,
                    part,
                    self.config.segment_bp,
                    self.config.segment_gradient,
                    share / total,
                    self._patches,
                )
        return (nll / total).item() / math.log(2)

    def _backward_whole(
        self, kind: Kind, part: Batch, share: float, total: Tensor, rows: float
    ) -> Tensor:
        """Add the gradient of a part's windows, ``rows`` of the kind's; return the sum of nll."""
        output = self.network(part.ids, part.length, two_sided=kind == "masked", track=part.track)
        loss = base_loss(output.logits, part.target, part.weight)
        objective = loss.nll_nats / total
        if output.ratio_loss is not None:
            objective = objective + output.ratio_loss * rows
        self.manual_backward(share * objective)
        self._patches.count(output.emissions, part.length)
        return loss.nll_nats.detach()

    def _step(self, bits: float) -> None:
        """Clip, check, move the weights."""
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        limit = self.config.clip_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit).item()
        if not (math.isfinite(bits) and math.isfinite(norm)):
            raise TrainingError(
                f"step {self.done_steps + 1}: the loss is {bits} bits per base and the gradient's "
                f"norm {norm}; the checkpoint and the state saved before hold no trace of it. "
                "Start a new run with a lower train.lr, from that checkpoint by --init-from if "
                "you like"
            )
        share = rate_at(self.config, self.steps)(self.done_steps)
        optimisers = self.optimizers()
        for optimiser in optimisers if isinstance(optimisers, list) else [optimisers]:
            raw: Any = getattr(optimiser, "optimizer", optimiser)
            for group in raw.param_groups:
                group["lr"] = share * raw.defaults["lr"]
            optimiser.step()
            optimiser.zero_grad()
        self.network.end_step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.done_steps += 1
        self.log_dict({"gradient_norm": norm, "lr_fraction": share})

    def _report(self, bits: Mapping[str, float], bases: int) -> None:
        now = time.monotonic()
        speed = bases / (now - self._last_s) / 1e3
        self._last_s = now
        self.log_dict({**bits, "kb_per_s": speed}, prog_bar=True)
        self.log_dict(self._patches.take())
        self.log("step", float(self.done_steps))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the counts and torch's random state."""
        checkpoint["hyena_glt"] = {
            "steps": self.done_steps,
            "read_bases": self.read_bases,
            "empty_batches": self.empty_batches,
            "rng": torch.get_rng_state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them back."""
        self.done_steps = checkpoint["hyena_glt"]["steps"]
        self.empty_batches = checkpoint["hyena_glt"]["empty_batches"]
        self.read_bases = checkpoint["hyena_glt"]["read_bases"]
        self._rng = checkpoint["hyena_glt"]["rng"]
