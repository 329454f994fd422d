"""The algebra of one mask: which patch a position is pooled into, which latent it reads."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hyena_glt.config import FixedPatchConfig, NonePatchConfig
from hyena_glt.patch import Emission, FixedPatcher, NonePatcher, Patcher, build_patcher, cut

BOS = 1


def row(bases: int) -> Tensor:
    return torch.tensor([[BOS] + [65] * bases])


def closes(patcher: Patcher, bases: int) -> str:
    """BOS and the bases, '|' where a patch closes and '.' where none does."""
    begun = patcher.begin(1, torch.device("cpu"))
    emission, _ = patcher.emit(row(bases), torch.tensor([bases + 1]), begun)
    return "".join("|" if emit else "." for emit in emission.mask[0].tolist())


@pytest.mark.parametrize(
    ("size_bp", "frame", "expected"),
    [
        # BOS, then base i = 0, 1, 2, ...: closes where (i + 1) % size_bp == frame
        (3, 0, "|..|..|..|."),
        (3, 1, "||..|..|..|"),
        (3, 2, "|.|..|..|.."),
        (2, 0, "|.|.|.|.|.|"),
        (6, 4, "|...|.....|"),
        (11, 0, "|.........."),
    ],
)
def test_fixed_patches_close_at_the_bases_that_the_frame_names(
    size_bp: int, frame: int, expected: str
) -> None:
    config = FixedPatchConfig(kind="fixed", size_bp=size_bp, frame=frame)
    patcher = build_patcher(config, "dna")
    assert isinstance(patcher, FixedPatcher)
    assert closes(patcher, 10) == expected
    assert (patcher.min_bp, patcher.max_bp) == (size_bp, size_bp)


def test_without_patches_every_base_closes_one() -> None:
    patcher = build_patcher(NonePatchConfig(kind="none"), "protein")
    assert isinstance(patcher, NonePatcher)
    assert closes(patcher, 6) == "|||||||"


def test_a_codon_is_pooled_whole_and_read_only_when_it_is_closed() -> None:
    # position:  BOS A T G G C C T
    # codon:          0 0 0 1 1 1 2
    mask = torch.tensor([[True, False, False, True, False, False, True, False]])
    patches = cut(Emission(mask, capacity=4, overflow=torch.tensor([0])))
    assert patches.seg.tolist() == [[0, 1, 1, 1, 2, 2, 2, 3]]
    assert patches.read.tolist() == [[0, 0, 0, 1, 1, 1, 2, 2]]
    assert patches.close.tolist() == [[0, 3, 6, 0]]
    assert patches.closed.tolist() == [3]


@given(
    rows=st.integers(1, 12).flatmap(
        lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=4)
    ),
    spare=st.integers(0, 3),
)
def test_the_two_cumsums_are_the_plain_loop(rows: list[list[bool]], spare: int) -> None:
    capacity = max(sum(row) for row in rows) + spare
    merged = torch.zeros(len(rows), dtype=torch.long)
    patches = cut(Emission(torch.tensor(rows), capacity, merged))
    for i, emits in enumerate(rows):
        inside, last_closed = 0, -1  # the patch that is open; the latent closed last
        seg, read, close = [], [], []
        for t, emit in enumerate(emits):
            seg.append(inside)
            if emit:
                close.append(t)
                last_closed, inside = inside, inside + 1
            read.append(last_closed)
        assert patches.seg[i].tolist() == seg
        assert patches.read[i].tolist() == read
        assert patches.closed[i] == len(close)
        assert patches.close[i].tolist() == close + [0] * (capacity - len(close))
    assert patches.close.shape == (len(rows), capacity)


@given(
    size_bp=st.integers(2, 40),
    frame_share=st.floats(0, 1, exclude_max=True),
    start=st.integers(0, 3000),
    length=st.integers(1, 200),
)
def test_the_capacity_holds_every_close_wherever_a_call_begins(
    size_bp: int, frame_share: float, start: int, length: int
) -> None:
    frame = int(frame_share * size_bp)
    for patcher in (
        FixedPatcher(FixedPatchConfig(kind="fixed", size_bp=size_bp, frame=frame)),
        NonePatcher(),
    ):
        state = patcher.begin(1, torch.device("cpu"))
        state = state._replace(position=state.position + start)
        ids = torch.full((1, length), 65)
        emission, after = patcher.emit(ids, torch.tensor([length]), state)
        assert emission.capacity <= length
        assert emission.mask.sum() <= emission.capacity
        assert after.position.tolist() == [start + length]
        expected = [
            t == 0 or isinstance(patcher, NonePatcher) or t % size_bp == frame
            for t in range(start, start + length)
        ]
        assert emission.mask[0].tolist() == expected


@pytest.mark.parametrize("size_bp", [2, 3, 7, 512, 1000, 1024])
def test_a_rule_within_its_limits_never_overflows(size_bp: int) -> None:
    for frame in {0, 1, size_bp - 1}:
        patcher = FixedPatcher(FixedPatchConfig(kind="fixed", size_bp=size_bp, frame=frame))
        begun = patcher.begin(1, torch.device("cpu"))
        _, state = patcher.emit(row(5000), torch.tensor([5001]), begun)
        assert state.overflow.tolist() == [0]
        assert patcher.cap >= -(-1024 // patcher.max_bp) + 1
