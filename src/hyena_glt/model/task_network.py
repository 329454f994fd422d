"""A network and the head of a task: sequences in, a task's raw outputs out."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hyena_glt.config.tasks import (
    BasesTaskConfig,
    NumberAnswerConfig,
    RegressionTaskConfig,
    SignalTaskConfig,
    TaskConfig,
    answered,
)
from hyena_glt.errors import DirectionError, RecipeError
from hyena_glt.model.glt import HyenaGLT, partner_ids
from hyena_glt.model.strands import other_strand, turned
from hyena_glt.model.task_heads import BasesHead, PairHead, SignalHead, Standard, build_head


class TaskNetwork(nn.Module):
    """Answers a task from the last hidden states: position i + 1 is of base i, BOS is of none.

    In a causal network a base's state knows the bases up to it, and a sequence's pooled one all.
    With ``strands: both`` the reverse complement is read as well. A base then has both strands'
    states, one beside the other, and knows all bases; what is pooled is pooled on each strand, and
    the answer is that of the mean. With ``pooling.over: patches`` the states of the innermost
    patches are pooled; what reads them back at bases then learns nothing.

    The network's own heads, which name letters, stay as they are and aren't trained.
    """

    partner: Tensor | None

    def __init__(self, network: HyenaGLT, task: TaskConfig, answers: int) -> None:
        """Put a fresh head for ``answers`` classes, numbers or tracks on ``network``.

        Raises RecipeError for a network that reads both strands at once, or a track, and for
        ``strands: both`` where there is no other strand or both sides are read already.
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
        both = task.strands == "both"
        if both:
            _check_strands(network)
        partner = partner_ids(network.alphabet) if both else None
        self.register_buffer("partner", partner, persistent=False)
        width = network.embed.symbol.embedding_dim
        if isinstance(task, BasesTaskConfig | SignalTaskConfig):
            width *= 2 if both else 1
        elif task.pooling.over == "patches":
            width = network.config.backbone.width
        self.head = build_head(task, width, answers)
        self.standard = Standard(answers) if is_standardised(task) else None
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
        second row. Raises DirectionError for a pair without, or a second row without a pair;
        RecipeError where patches are pooled and a row closes none.
        """
        if (alternative_ids is None) == isinstance(self.head, PairHead):
            raise DirectionError("a pair task needs two sequences a row, and no other task does")
        if isinstance(self.head, BasesHead):
            return torch.as_tensor(self.head(self._at_bases(ids, length)))
        if isinstance(self.head, SignalHead):
            states = self._at_bases(ids, length)
            return torch.as_tensor(self.head(states, bases_of(ids, length)))
        given = list(self._to_pool(ids, length))
        if alternative_ids is not None:
            assert alternative_length is not None
            given += self._to_pool(alternative_ids, alternative_length)
        answers = torch.as_tensor(self.head(*given))
        # The last map is linear: the mean of its answers is its answer to the mean.
        return answers if self.partner is None else answers.unflatten(0, (2, len(ids))).mean(0)

    @property
    def _two_sided(self) -> bool:
        return self.network.direction != "causal"

    def _strands(
        self, ids: Int[Tensor, "B L"], length: Int[Tensor, " B"]
    ) -> tuple[Int[Tensor, "R L"], Int[Tensor, " R"]]:
        """Return the rows to read: those given, and behind them all their other strands."""
        if self.partner is None:
            return ids, length
        return torch.cat([ids, other_strand(ids, length, self.partner)]), length.repeat(2)

    def _at_bases(
        self, ids: Int[Tensor, "B L"], length: Int[Tensor, " B"]
    ) -> Float[Tensor, "B L D"]:
        """Return each position's features, those of both strands at one base side by side."""
        states = self.network.hidden(*self._strands(ids, length), self._two_sided).states
        if self.partner is None:
            return states
        given, other = states.chunk(2)
        index = turned(length, ids.shape[1])[..., None].expand_as(other)
        return torch.cat([given, other.gather(1, index)], -1)

    def _to_pool(
        self, ids: Int[Tensor, "B L"], length: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "R N D"], Bool[Tensor, "R N"]]:
        """Return (states, which of them count) of each row that is read."""
        rows, lengths = self._strands(ids, length)
        assert not isinstance(self.task, BasesTaskConfig | SignalTaskConfig)
        if self.task.pooling.over == "bases":
            states = self.network.hidden(rows, lengths, self._two_sided).states
            return states, bases_of(rows, lengths)
        states, valid = self.network.patch_states(rows, lengths, self._two_sided)
        without = ~valid.any(1)
        if bool(without.any()):
            bases = int(lengths[int(without.nonzero()[0])]) - 1
            raise RecipeError(
                f"pooling.over=patches: found a sequence of {bases} bp in which no patch closes; "
                "use pooling.over: bases, a bidirectional network, or leave short sequences out"
            )
        return states, valid


def bases_of(ids: Int[Tensor, "B L"], length: Int[Tensor, " B"]) -> Bool[Tensor, "B L"]:
    """Return which positions are bases: neither BOS nor padding."""
    index = torch.arange(ids.shape[1], device=ids.device)
    return (index > 0) & (index < length[:, None])


def _check_strands(network: HyenaGLT) -> None:
    if network.alphabet.modality == "protein":
        raise RecipeError("task.strands=both: a protein has no other strand; use task.strands: one")
    if network.direction != "causal":
        raise RecipeError(
            f"task.strands=both is for causal networks, and one with direction={network.direction} "
            "reads both sides of a base already; use task.strands: one"
        )


def is_standardised(task: TaskConfig) -> bool:
    """Return whether ``task`` learns numbers less their training mean, over their deviation."""
    asked = answered(task)
    return isinstance(asked, RegressionTaskConfig | NumberAnswerConfig) and asked.standardise
