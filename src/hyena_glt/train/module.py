"""One optimiser step, as Lightning wants it."""

import math
import time
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hyena_glt.config import TrainConfig
from hyena_glt.data import Batch
from hyena_glt.errors import TrainingError
from hyena_glt.model import HyenaGLT
from hyena_glt.objective import next_base_loss
from hyena_glt.train.optimiser import build_optimisers, rate_at


class TrainingModule(LightningModule):
    """A thin adapter around the network.

    A batch is the whole accumulation group: its weight is known before the first micro-batch, so
    that loss and gradient are sum(weight * nll) / sum(weight) of the group, however it is cut.
    """

    def __init__(self, network: HyenaGLT, config: TrainConfig, steps: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.config = config
        self.steps = steps
        self.average: AveragedModel | None = None
        if config.ema_decay is not None:
            average = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(network, multi_avg_fn=average)
        self.done_steps = 0
        self._last_s = time.monotonic()

    def trained(self) -> HyenaGLT:
        """Return the network to validate and keep: the average where there is one."""
        network = self.network if self.average is None else self.average.module
        assert isinstance(network, HyenaGLT)
        return network

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the optimisers; their rates are set before each step."""
        return build_optimisers(self.network, self.config)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Take one optimiser step on ``batch``."""
        total = batch.weight.sum()
        world = self.trainer.world_size
        if world > 1:
            total = self._over_processes(total)
        if total == 0:
            raise TrainingError(
                f"step {self.done_steps + 1}: no base of the batch weighs anything (all N, or "
                "soft-masked with weight 0); raise data.soft_mask_weight or choose other contigs"
            )
        nll = torch.zeros((), device=self.device)
        size = self.config.micro_batch_windows or len(batch.ids)
        for first in range(0, len(batch.ids), size):
            part = Batch(*(tensor[first : first + size] for tensor in batch))
            logits = self.network(part.ids, part.length).logits
            loss = next_base_loss(logits, part.target, part.weight)
            # Data parallelism averages gradients over processes; ours add up.
            self.manual_backward(loss.nll_nats / total * world)
            nll += loss.nll_nats.detach()
        if world > 1:
            nll = self._over_processes(nll)
        bits = (nll / total).item() / math.log(2)
        self._step(bits)
        self._report(bits, batch)

    def _over_processes(self, part: torch.Tensor) -> torch.Tensor:
        gathered = self.all_gather(part)
        assert isinstance(gathered, torch.Tensor)
        return gathered.sum()

    def _step(self, bits: float) -> None:
        """Clip, check, move the weights."""
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        limit = self.config.clip_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit).item()
        if not (math.isfinite(bits) and math.isfinite(norm)):
            raise TrainingError(
                f"step {self.done_steps + 1}: the loss is {bits} bits per base and the gradient's "
                f"norm {norm}; lower train.lr, or set train.clip_norm, and go on with --resume "
                "from the last checkpoint, which holds no trace of this step"
            )
        share = rate_at(self.config, self.steps)(self.done_steps)
        optimisers = self.optimizers()
        for optimiser in optimisers if isinstance(optimisers, list) else [optimisers]:
            raw: Any = getattr(optimiser, "optimizer", optimiser)
            for group in raw.param_groups:
                group["lr"] = share * raw.defaults["lr"]
            optimiser.step()
            optimiser.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.done_steps += 1
        self.log_dict({"gradient_norm": norm, "lr_fraction": share})

    def _report(self, bits: float, batch: Batch) -> None:
        now = time.monotonic()
        bases = int(batch.length.sum()) * self.trainer.world_size
        speed = bases / (now - self._last_s) / 1e3
        self._last_s = now
        self.log_dict({"bits_per_base": bits, "kb_per_s": speed}, prog_bar=True)
        self.log("step", float(self.done_steps))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the step count and torch's random state."""
        checkpoint["hyena_glt"] = {"steps": self.done_steps, "rng": torch.get_rng_state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them back."""
        self.done_steps = checkpoint["hyena_glt"]["steps"]
        torch.set_rng_state(checkpoint["hyena_glt"]["rng"])
