"""Rows for rules that read scores: what they are scored with, calls in pieces, and the loop."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor

from hyena_glt.config import PatchConfig
from hyena_glt.patch import (
    DynamicPatcher,
    Emission,
    Limits,
    Patcher,
    PatcherState,
    build_patcher,
    limit_patches_reference,
)
from hyena_glt.tokenize import BOS, Modality

CPU = torch.device("cpu")
# From ids and scores of one row: candidates and, where the rule has them, anchors.
Loop = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]
Scores = Callable[[Tensor], Tensor]  # of rows of ids, from the last 8 of them

BASES = (
    st.text("ACGTNacgt", max_size=90)
    | st.integers(0, 90).map(lambda n: "N" * n)
    | st.integers(0, 90).map(lambda n: "A" * n)
)
CUTS = st.sets(st.integers(1, 89), max_size=5)


def rule(kind: str, modality: Modality = "dna", **settings: Any) -> Patcher:
    config: PatchConfig = TypeAdapter(PatchConfig).validate_python({"kind": kind, **settings})
    return build_patcher(config, modality)


def row(bases: str) -> Tensor:
    return torch.tensor([[BOS, *bases.encode()]])


def made_up_entropy(ids: Tensor, reach: int = 8) -> Tensor:
    """An entropy of the letter after each position, in 1/1024 bit, of the last 8 ids."""
    seen = torch.nn.functional.pad(ids, (reach - 1, 0))
    code = torch.zeros_like(ids)
    for j in range(reach):
        code = code * 31 + seen[:, j : j + ids.shape[1]]
    return 2048 - ((code * 2654435761) >> 12) % 1024


def in_pieces(
    patcher: Patcher,
    ids: Tensor,
    score: Tensor,
    cuts: set[int],
    outer: Emission | None = None,
) -> tuple[Tensor, int, PatcherState]:
    """(Mask of one row cut up at ``cuts``, closes that the cap has merged, state)."""
    state = patcher.begin(1, CPU)
    total, masks, overflow = ids.shape[1], [], 0
    for start, end in pairwise(sorted({c for c in cuts if 0 < c < total} | {0, total})):
        piece = slice(start, end)
        within = None if outer is None else outer._replace(mask=outer.mask[:, piece])
        length = torch.tensor([end - start])
        emission, state = patcher.emit(ids[:, piece], length, state, within, score[:, piece])
        masks.append(emission.mask)
        overflow += int(emission.overflow)
    return torch.cat(masks, 1), overflow, state


def check_against_loop(
    patcher: Patcher,
    loop: Loop,
    documents: list[str],
    cuts: set[int],
    outer: Patcher | None,
    scores: Scores = made_up_entropy,
) -> None:
    """Rows of a batch, and each in pieces, close where a loop over their bases closes."""
    assert isinstance(patcher, DynamicPatcher)
    rows = [row(bases) for bases in documents]
    length = torch.tensor([len(ids[0]) for ids in rows])
    ids = torch.full((len(rows), int(length.max())), ord("T"))
    for i, one in enumerate(rows):
        ids[i, : one.shape[1]] = one[0]
    within = None if outer is None else outer.emit(ids, length, outer.begin(len(rows), CPU))[0]
    batch, after = patcher.emit(ids, length, patcher.begin(len(rows), CPU), within, scores(ids))
    limits = Limits(patcher.min_bp, patcher.max_bp, patcher.cap)
    for i, one in enumerate(rows):
        n = one.shape[1]
        score = scores(one)
        candidates, anchors = loop(one[0], score[0])
        mine = None if within is None else within._replace(mask=within.mask[i : i + 1, :n])
        expected, state = limit_patches_reference(
            candidates[None],
            torch.tensor([n]),
            patcher.begin(1, CPU),
            limits,
            None if anchors is None else anchors[None],
            None if mine is None else mine.mask,
        )
        assert torch.equal(batch.mask[i, :n], expected[0])
        assert not batch.mask[i, n:].any()
        assert batch.overflow[i] == state.overflow
        found, overflow, state_of_pieces = in_pieces(patcher, one, score, cuts, mine)
        assert torch.equal(found, expected)
        assert overflow == state.overflow
        assert all(torch.equal(a[i], b[0]) for a, b in zip(after, state_of_pieces, strict=True))
