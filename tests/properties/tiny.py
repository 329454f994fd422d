"""Networks of a few hundred numbers, and the axes over which properties are covered."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hyena_glt.config import DynamicPatchConfig, ModelConfig
from hyena_glt.model import HyenaGLT
from hyena_glt.patch import DynamicPatcher, Patcher
from hyena_glt.patch.rules import Call, Wanted
from hyena_glt.tokenize import BOS, Modality

MEDIUM_WIDTH = 4
MIXERS = {
    "S": {"width": 3},
    "M": {"width": MEDIUM_WIDTH, "group_size": 2},
    "L": {"poles": 3, "slowest": 16, "chunk": 4},
    "A": {"heads": 2, "kv_heads": 1, "window_bp": 7, "rotary_base": 100.0},
}
EMBEDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "exact": {"exact_k": [2, 3]},
    "hashed": {"exact_k": [2], "hashed_k": [5], "hashed_rows": 11},
}


class LetterPatcher(DynamicPatcher):
    """A patch ends with each of ``closing``: a causal rule that reads content, one too many even.

    With a ``cap`` of its own, so that a block overflows.
    """

    density = 1.0

    def __init__(self, closing: str, cap: int | None = None) -> None:
        super().__init__(DynamicPatchConfig(min_bp=1, max_bp=1024, cap=cap))
        self.closing = torch.tensor([ord(letter) for letter in closing])

    def wanted(self, call: Call) -> Wanted:
        return Wanted(torch.isin(call.ids, self.closing.to(call.ids.device)))


class Case(NamedTuple):
    """One network of the cover."""

    encoder: str
    patch: str
    stages: int
    backbone: str
    decoder: str
    embed: str

    def __str__(self) -> str:
        return "-".join(str(value) or "0" for value in self)


NONE = {"kind": "none"}
ANCHORS = {"max_bp": 12, "anchor_k": 4, "anchor_every": 16, "anchor_gap_bp": 32}
ENTROPY = {"kind": "kmer", "k": 3}
PATCHES: dict[str, tuple[Any, Any]] = {  # (outer, inner) rule
    "none": (NONE, {"kind": "fixed", "size_bp": 2, "frame": 1}),
    "fixed": (
        {"kind": "fixed", "size_bp": 3, "frame": 1},
        {"kind": "fixed", "size_bp": 6, "frame": 4},
    ),
    "aligned": (  # and pooled so
        {"kind": "fixed", "size_bp": 3, "frame": 1},
        {"kind": "fixed", "size_bp": 6, "frame": 4},
    ),
    "syncmer": (
        {"kind": "syncmer", "k": 3, "s": 1, "min_bp": 2, "max_bp": 4},
        {"kind": "syncmer", "k": 5, "s": 2, "min_bp": 3, "max_bp": 6},
    ),
    "delimiter": (
        {"kind": "delimiter", "motifs": ["CG", "A"], "runs": "N", "max_bp": 3},
        {"kind": "delimiter", "motifs": ["RCG", "N"], "min_bp": 2, "max_bp": 5},
    ),
    "entropy": (
        {"kind": "entropy_jump", "jump_bits": 0.02, "mean_bp": 2, "min_bp": 1, "max_bp": 4},
        {"kind": "entropy_dual", "threshold_bits": 1.9, "min_bp": 2, "max_bp": 9},
    ),
    "budget": (
        {"kind": "budget", "budget_bits": 4.5, "mean_bp": 3, "min_bp": 2, **ANCHORS},
        {"kind": "budget", "budget_bits": 11.0, "mean_bp": 6, "min_bp": 3, **ANCHORS},
    ),
    "learned": (
        {"kind": "learned", "mean_bp": 2, "min_bp": 1, "max_bp": 4, "ratio_weight": 0.1},
        {"kind": "learned", "mean_bp": 5, "min_bp": 3, "max_bp": 9},
    ),
    "letters": (LetterPatcher("AT"), LetterPatcher("T")),
    "capped": (LetterPatcher("ACT", cap=5), LetterPatcher("AC", cap=3)),
}
AXES: dict[str, Sequence[Any]] = {
    "encoder": ["", "S", "M", "L", "A"],
    "patch": [name for name in PATCHES if name != "aligned"],  # see with_aligned
    "stages": [1, 2],
    "backbone": ["S", "M", "L", "A", "SMLA"],
    "decoder": ["", "S", "M", "L", "A"],
    "embed": list(EMBEDS),
}
RICH = Case("SL", "letters", 2, "MA", "AM", "hashed")


def full_product() -> list[Case]:
    return [Case(*values) for values in product(*AXES.values())]


def pairwise_cover() -> list[Case]:
    """Cases such that any two settings of two axes meet in one of them, chosen greedily."""
    cases = full_product()
    covers = {case: set(combinations(enumerate(case), 2)) for case in cases}
    wanted = set().union(*covers.values())
    cover = []
    while wanted:
        best = max(cases, key=lambda case: len(covers[case] & wanted))
        cover.append(best)
        wanted -= covers[best]
    return cover


def with_aligned(cases: Sequence[Case]) -> list[Case]:
    """All ``cases``, and those of fixed patches once more with positions side by side."""
    return [*cases, *(case._replace(patch="aligned") for case in cases if case.patch == "fixed")]


def build(
    case: Case,
    *,
    dtype: torch.dtype = torch.float64,
    modality: Modality = "dna",
    live: bool = True,
    patches: Sequence[Any] | None = None,
    **settings: Any,
) -> HyenaGLT:
    """The network of ``case``; ``live`` gives a number to what starts at zero (head, gate).

    ``patches``, a rule for each stage, take the place of the case's own.
    """
    rules = PATCHES[case.patch][: case.stages] if patches is None else patches
    stages = [
        {
            "width": 4,
            "mlp_width": 3,
            "encoder": case.encoder,
            "decoder": case.decoder,
            "patch": NONE if isinstance(rule, Patcher) else rule,
            "pooling": "aligned" if case.patch == "aligned" and rule != NONE else "mean_max",
        }
        for rule in rules
    ]
    layouts = case.encoder + case.backbone + case.decoder
    data: dict[str, Any] = {
        "embed": EMBEDS[case.embed],
        "stages": stages,
        "backbone": {"width": 8, "mlp_width": 5, "layout": case.backbone},
        "mixers": {letter: MIXERS[letter] for letter in sorted(set(layouts))},
        **settings,
    }
    if case.patch in ("entropy", "budget"):
        data["entropy"] = ENTROPY
    torch.manual_seed(11)
    network = HyenaGLT(ModelConfig.model_validate(data), modality).to(dtype)
    if network.entropy is not None:
        # A sequence that comes again and again, so that some words foretell the next base.
        network.entropy.fit([document(60, 7, "ACGT")[0, 1:].repeat(20).numpy().astype(np.uint8)])
    for level, rule in enumerate(rules):
        if isinstance(rule, Patcher):
            network.patchers[level] = rule
    if live:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return network


def document(length_bp: int, seed: int = 0, letters: str = "ACGTACGTACGTNacgt") -> Tensor:
    """Ids of one row: BOS and ``length_bp`` letters, some of them N or soft-masked."""
    generator = torch.Generator().manual_seed(seed)
    picked = torch.randint(len(letters), (length_bp,), generator=generator).tolist()
    return torch.tensor([[BOS, *(ord(letters[i]) for i in picked)]])


def padded(rows: Sequence[Tensor], filler: str = "T") -> tuple[Tensor, Tensor]:
    """(ids, lengths) of rows of one document each; letters stand in the padding, not PAD."""
    length = torch.tensor([row.shape[1] for row in rows])
    ids = torch.full((len(rows), int(length.max())), ord(filler))
    for i, row in enumerate(rows):
        ids[i, : row.shape[1]] = row[0]
    return ids, length


def tensors_of(tree: Any) -> Iterator[Tensor]:
    """All tensors of a state, in order."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for item in tree.values():
            yield from tensors_of(item)
    elif isinstance(tree, tuple | list):
        for item in tree:
            yield from tensors_of(item)
