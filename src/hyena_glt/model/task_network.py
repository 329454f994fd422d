"""A network and the head of a task: sequences in, a task's raw outputs out."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hyena_glt.config.tasks import (
    NumberAnswerConfig,
    PairTaskConfig,
    RegressionTaskConfig,
    TaskConfig,
)
from hyena_glt.errors import DirectionError, RecipeError
from hyena_glt.model.glt import HyenaGLT
from hyena_glt.model.task_heads import BasesHead, PairHead, Standard, build_head


class TaskNetwork(nn.Module):
    """Answers a task from the last hidden states: position i + 1 is of base i, BOS is of none.

    In a causal network a base's state knows the bases up to it, and a sequence's pooled one all.
    The network's own heads, which name letters, stay as they are and aren't trained.
    """

    def __init__(self, network: HyenaGLT, task: TaskConfig, answers: int) -> None:
        """Put a fresh head for ``answers`` classes, numbers or tracks on ``network``.

        Raises RecipeError for a network that reads both strands at once, or a track.
        """
        super().__init__()
        if network.rc == "equivariant":
            raise RecipeError(
                "model.rc=equivariant reads both strands at once, which heads of tasks can't yet; "
                "use rc: none or average, and both strands when predicting"
            )
        if network.side_information:
            raise RecipeError("patches of kind track need a score a base, which examples haven't")
        self.network = network
        self.task = task
        width = network.embed.symbol.embedding_dim
        self.head = build_head(task, width, answers)
        self.standard = Standard(answers) if _is_standardised(task) else None
        for head in (network.head, network.masked_head):
            if head is not None:
                head.requires_grad_(False)

    def forward(
        self,
        ids: Int[Tensor, "B L"],
        length: Int[Tensor, " B"],
        alternative_ids: Int[Tensor, "B M"] | None = None,
        alternative_length: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B ..."]:
        """Return the raw outputs: of each row, of each position, or of each bin.

        A row opens with BOS, as in :class:`HyenaGLT`; ``length`` counts its positions. A pair has a
        second row. Raises DirectionError for a pair without, or a second row without a pair.
        """
        if (alternative_ids is None) == isinstance(self.head, PairHead):
            raise DirectionError("a pair task needs two sequences a row, and no other task does")
        two_sided = self.network.direction != "causal"
        states = self.network.hidden(ids, length, two_sided).states
        if isinstance(self.head, BasesHead):
            return torch.as_tensor(self.head(states))
        valid = bases_of(ids, length)
        if not isinstance(self.head, PairHead):
            return torch.as_tensor(self.head(states, valid))
        assert alternative_ids is not None
        assert alternative_length is not None
        others = self.network.hidden(alternative_ids, alternative_length, two_sided).states
        other_valid = bases_of(alternative_ids, alternative_length)
        return torch.as_tensor(self.head(states, valid, others, other_valid))


def bases_of(ids: Int[Tensor, "B L"], length: Int[Tensor, " B"]) -> Bool[Tensor, "B L"]:
    """Return which positions are bases: neither BOS nor padding."""
    index = torch.arange(ids.shape[1], device=ids.device)
    return (index > 0) & (index < length[:, None])


def _is_standardised(task: TaskConfig) -> bool:
    asked = task.answer if isinstance(task, PairTaskConfig) else task
    return isinstance(asked, RegressionTaskConfig | NumberAnswerConfig) and asked.standardise
