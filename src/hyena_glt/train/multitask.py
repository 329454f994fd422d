"""Fine-tuning one network on several tasks: which batches a step takes, its loss, and the run."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from hyena_glt.config import MultitaskRecipe
from hyena_glt.data.examples.batch import TaskBatch
from hyena_glt.data.examples.loader import ExampleLoader
from hyena_glt.data.examples.order import TaskOrder
from hyena_glt.errors import RecipeError, StateError, TrainingError
from hyena_glt.model import HyenaGLT, TaskNetwork
from hyena_glt.objective.balance import (
    Balance,
    DynamicAverage,
    GradNorm,
    UncertaintyWeights,
    gradient_norms,
)
from hyena_glt.train.best import is_lower_better
from hyena_glt.train.engine import LOWER_RATES, EpochModule
from hyena_glt.train.epochs import Epochs, run_epochs
from hyena_glt.train.optimiser import warm_cosine
from hyena_glt.train.run import Device
from hyena_glt.train.tasks import loss_of
from hyena_glt.train.tuning import Unfreezing, is_read_at_bases, optimiser_groups, prepare_tuning


class SharedNetwork(nn.Module):
    """Networks of several tasks that are one but for their heads."""

    def __init__(self, networks: Mapping[str, TaskNetwork]) -> None:
        super().__init__()
        self.tasks = tuple(networks)
        # A list: a task's name may be that of a method.
        self.networks = nn.ModuleList(networks.values())

    @property
    def shared(self) -> HyenaGLT:
        """The network that all tasks read with."""
        return self.of_task(self.tasks[0]).network

    def of_task(self, name: str) -> TaskNetwork:
        """Return the shared network with the head of the task ``name``."""
        network = self.networks[self.tasks.index(name)]
        assert isinstance(network, TaskNetwork)
        return network

    def moving(self) -> list[nn.Parameter]:
        """Return the shared parameters that are trained."""
        return [p for p in self.shared.parameters() if p.requires_grad]


# What of a loader's state says which batches it has, and not where in them it is.
_OF_LOADER = ("steps", "rows", "seed")

Validate = Callable[[SharedNetwork], Mapping[str, float]]  # "loss", and "TASK/METRIC" of each task
KeepBest = Callable[[SharedNetwork, int, Mapping[str, float]], None]  # networks, epochs, metrics


class MultitaskRun(NamedTuple):
    """What a run did. ``weights`` are the tasks' as it ended."""

    epochs: int
    best_epoch: int
    best: dict[str, float]
    weights: dict[str, float]
    stopped: Literal["finished", "early", "terminated"]


class TaskTurns:
    """Gives the batches of each step of an epoch, by task, each time that it is iterated over.

    A step has the batch of one task, or one of each.

    With an ``order`` an epoch has as many steps as all tasks have batches, and the order says whose
    turn it is. Without, each step takes one of each, and there are as many as the largest task has
    batches. Either way a task goes through its own examples again and again: where one epoch stops
    the next goes on, and no example comes a second time before all have come once. What a step
    takes depends on its epoch and its number alone, so that an iteration that was broken off goes
    on with the next one where it was, and so does one after `load_state_dict`.

    Raises RecipeError where ``order`` gives a task no step at all.
    """

    def __init__(self, loaders: Mapping[str, ExampleLoader], order: TaskOrder | None) -> None:
        self._loaders, self._order = dict(loaders), order
        sizes = {name: len(loader) for name, loader in loaders.items()}
        if order is None:
            self._steps = max(sizes.values())
            self.counts = dict.fromkeys(sizes, self._steps)
        else:
            self._steps = sum(sizes.values())
            self.counts = order.counts(self._steps)
        for name, count in self.counts.items():
            if not count:
                raise RecipeError(
                    f"sampler: task {name!r} has none of an epoch's {self._steps} steps; use a "
                    "higher temperature, or kind: uniform"
                )
        self._epoch, self._step = 0, 0

    @property
    def epoch(self) -> int:
        """Which epoch (from 0) the next batch is of."""
        return self._epoch

    @property
    def step(self) -> int:
        """How many batches of the epoch have been given."""
        return self._step

    def __len__(self) -> int:
        """How many steps an epoch has."""
        return self._steps

    def steps_of(self, epochs: int) -> list[int]:
        """Return how many steps each of the first ``epochs`` has."""
        return [self._steps] * epochs

    def __iter__(self) -> Iterator[dict[str, TaskBatch]]:
        everyone = tuple(self._loaders)
        turns = [everyone] * self._steps
        if self._order is not None:
            turns = [(name,) for name in self._order.tasks(self._epoch, self._steps)]
        given = Counter(name for names in turns[: self._step] for name in names)
        streams = {
            name: _stream(loader, self._epoch * self.counts[name] + given[name])
            for name, loader in self._loaders.items()
        }
        for names in turns[self._step :]:
            batch = {name: next(streams[name]) for name in names}
            self._step += 1
            yield batch
        self._epoch, self._step = self._epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Return which step is next, and what the position is of."""
        loaders = {name: loader.state_dict() for name, loader in self._loaders.items()}
        return {
            "epoch": self._epoch,
            "step": self._step,
            "steps": self._steps,
            "turns": [[name, count] for name, count in self.counts.items()],
            "loaders": {n: {key: state[key] for key in _OF_LOADER} for n, state in loaders.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where ``state`` was taken; the next iteration gives the steps left of its epoch.

        Raises StateError for a state of other tasks, datasets, seeds, or sizes of batches.
        """
        here = self.state_dict()
        for name in ("steps", "turns", "loaders"):
            if state[name] != here[name]:
                raise StateError(
                    f"the position saved in the data is of {name}={state[name]}, found "
                    f"{here[name]}; resume with the tasks, the datasets, the sampler, the seed and "
                    "the batches that it was saved with"
                )
        self._epoch, self._step = state["epoch"], state["step"]


def _stream(loader: ExampleLoader, taken: int) -> Iterator[TaskBatch]:
    """Give the batches behind the first ``taken``, without an end."""
    epoch, step = divmod(taken, len(loader))
    loader.load_state_dict({**loader.state_dict(), "epoch": epoch, "step": step})
    while True:
        yield from loader


def fit_tasks(
    networks: SharedNetwork,
    recipe: MultitaskRecipe,
    batches: TaskTurns,
    class_weights: Mapping[str, Tensor | None],
    balance: Balance,
    validate: Validate,
    keep_best: KeepBest,
    out: Path,
    *,
    unfreezing: Unfreezing | None = None,
    resume: bool = False,
    device: Device = "cpu",
    progress: bool = False,
) -> MultitaskRun:
    """Train ``networks`` in place; ``keep_best`` is called at each epoch that is the best so far.

    The networks and ``unfreezing`` are as `prepare_shared` left and gave them. With ``resume`` the
    run goes on with the step after those of the last state that was saved, and replays to the same
    bits; one that has ended isn't trained further. Raises RecipeError for
    ``train.save_every_steps`` without effect, TrainingError for a loss or weights that aren't
    finite, or a loss that the balance can't weigh; StorageError where ``out`` can't be written.
    """
    weights = {n: None if w is None else w.to(device) for n, w in class_weights.items()}
    module = MultitaskModule(networks, recipe, len(batches), weights, balance)
    epochs = Epochs(
        recipe.train,
        recipe.tuning,
        recipe.seed,
        out,
        networks.shared,
        batches,
        partial(validate, networks),
        partial(keep_best, networks),
        is_lower_better=is_lower_better_of_task(recipe.train.metric),
        unfreezing=unfreezing,
    )
    best, stopped = run_epochs(module, epochs, resume=resume, device=device, progress=progress)
    return MultitaskRun(best.done, best.epoch, dict(best.metrics), module.task_weights(), stopped)


def prepare_shared(networks: SharedNetwork, recipe: MultitaskRecipe) -> Unfreezing | None:
    """Freeze what stays, and put in adapters, once for all tasks; return which parts move later.

    Raises RecipeError for a part that isn't there and for a setting without effect, such as
    gradnorm where nothing that tasks share is left to move; MissingExtraError where adapters need a
    package that isn't installed.
    """
    first = networks.tasks[0]
    unfreezing = prepare_tuning(
        networks.of_task(first), recipe.of_task(first), at_bases=_any_at_bases(recipe)
    )
    if recipe.balance.kind == "gradnorm" and not networks.moving():
        raise RecipeError(
            "balance.kind=gradnorm weighs how tasks pull on shared weights, and tuning.freeze "
            "keeps all of them; freeze fewer parts, or use balance.kind=fixed"
        )
    return unfreezing


class MultitaskModule(EpochModule):
    """A thin adapter around networks with heads and the balance of their losses."""

    sums: Tensor

    def __init__(
        self,
        networks: SharedNetwork,
        recipe: MultitaskRecipe,
        epoch_steps: int,
        class_weights: Mapping[str, Tensor | None],
        balance: Balance,
    ) -> None:
        super().__init__()
        self.networks, self.balance = networks, balance
        self.recipe, self.config = recipe, recipe.train
        self.steps = epoch_steps * recipe.train.epochs
        self.class_weights = dict(class_weights)
        # Of an epoch: each task's total loss, and the weight of its answers.
        self.register_buffer("sums", torch.zeros(2, len(networks.tasks)))
        self._pulls: tuple[Tensor, Tensor] | None = None

    def training_step(self, batch: dict[str, TaskBatch], batch_idx: int) -> Tensor | None:
        """Return the balanced loss in nats; None, and no step, where a task has no target."""
        parts = []
        for name, own in batch.items():
            network = self.networks.of_task(name)
            outputs = network(own.ids, own.length, own.alternative_ids, own.alternative_length)
            parts.append(loss_of(network, outputs, own, self.class_weights[name]))
        if any(part.weight == 0 for part in parts):
            return None
        losses = torch.stack([part.total / part.weight for part in parts])
        for name, mean in zip(batch, losses.tolist(), strict=True):
            if not math.isfinite(mean):
                raise TrainingError(
                    f"epoch {self.epoch}, step {self.step}: the loss of {name} is "
                    f"{mean}; the checkpoints saved before hold no trace of it. {LOWER_RATES}"
                )
            self.log(f"loss_{name}", mean)
        numbers = [self.networks.tasks.index(name) for name in batch]
        self.sums[0, numbers] += torch.stack([part.total.detach() for part in parts]).to(self.sums)
        self.sums[1, numbers] += torch.stack([part.weight for part in parts]).to(self.sums)
        if isinstance(self.balance, GradNorm):
            self._pulls = losses.detach(), gradient_norms(losses, self.networks.moving())
        total = self._of_one(numbers[0], losses[0]) if len(batch) == 1 else self.balance(losses)
        self.log("loss", total.detach(), prog_bar=True)
        self.log("epoch", float(self.epoch))
        return total

    def _of_one(self, task: int, loss: Tensor) -> Tensor:
        """Return the balanced loss of a step that has one task's batch alone.

        Of a penalty it is that task's part, or the others' would be learned from no loss.
        """
        total = self.balance.weights()[task] * loss
        if isinstance(self.balance, UncertaintyWeights):
            known = torch.ones_like(self.balance.fixed)
            known[task] = loss.detach()
            self.balance.check_positive(known)
            total = total + (self.balance.fixed * self.balance.log_variance)[task]
        return total

    def on_after_backward(self) -> None:
        """Move weights by how hard tasks have pulled."""
        if isinstance(self.balance, GradNorm) and self._pulls is not None:
            self.balance.update(*self._pulls)
        self._pulls = None

    def end_epoch(self) -> dict[str, float]:
        """Move weights by how fast losses fall, count anew; return the weights."""
        # An epoch in which a task had no label at all says nothing of how fast losses fall.
        if isinstance(self.balance, DynamicAverage) and bool((self.sums[1] > 0).all()):
            self.balance.update(self.sums[0] / self.sums[1])
        self.sums.zero_()
        return {f"weight_{name}": value for name, value in self.task_weights().items()}

    def task_weights(self) -> dict[str, float]:
        """Return what each task's loss is multiplied with now."""
        found = self.balance.weights().detach().tolist()
        return dict(zip(self.networks.tasks, found, strict=True))

    def configure_optimizers(self) -> Any:
        """Return the optimiser, heads and balance at the head's rate; warm-up, then a cosine."""
        config, first = self.config, self.networks.of_task(self.networks.tasks[0])
        decay = getattr(self.recipe.tuning, "layer_decay", None)
        adamw, muon = optimiser_groups(first, config, decay, at_bases=_any_at_bases(self.recipe))
        grouped = {id(p) for p in [*first.network.parameters(), *first.head.parameters()]}
        others = [p for p in self.parameters() if id(p) not in grouped]
        adamw.append({"params": others, "lr": config.head_lr, "weight_decay": 0.0})
        return warm_cosine(adamw, muon, config.warmup_fraction, self.steps)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save what tasks share once."""
        again = self._again()
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {n: t for n, t in state.items() if not n.startswith(again)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Give it to each task."""
        state, first = checkpoint["state_dict"], _shared_prefix(0)
        shared = {n.removeprefix(first): t for n, t in state.items() if n.startswith(first)}
        for prefix in self._again():
            state.update({prefix + name: tensor for name, tensor in shared.items()})

    def _again(self) -> tuple[str, ...]:
        return tuple(_shared_prefix(number) for number in range(1, len(self.networks.tasks)))


def is_lower_better_of_task(metric: str) -> bool:
    """Return whether less is better of ``loss``, TASK/METRIC or TASK/METRIC/NUMBER."""
    _, slash, of_task = metric.partition("/")
    return is_lower_better(of_task if slash else metric)


def _any_at_bases(recipe: MultitaskRecipe) -> bool:
    return any(is_read_at_bases(one.task) for one in recipe.tasks.values())


def _shared_prefix(number: int) -> str:
    """Return how names of the shared network's tensors begin in task ``number``'s part."""
    return f"networks.networks.{number}.network."
