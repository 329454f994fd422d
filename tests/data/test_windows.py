"""Windows: every base is read, nothing beyond a region is, and an index decides all."""

import math
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyena_glt.config import DataConfig
from hyena_glt.data import (
    Genome,
    Region,
    TrainingWindows,
    rows_of,
    training_loader,
    validation_windows,
)
from hyena_glt.data.windows import make_window
from hyena_glt.tokenize import alphabet, decode, encode

MakeGenome = Callable[..., Genome]
MakeConfig = Callable[..., DataConfig]
DNA = alphabet("dna")


class Counting:
    """A contig whose letters say where they are; counts what is read."""

    names = ("chr1",)

    def __init__(self) -> None:
        self.read: Counter[int] = Counter()

    def length_bp(self, name: str) -> int:
        return 10_000

    def fetch_bytes(
        self, name: str, start: int, end: int
    ) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        self.read.update(range(start, end))
        return encode("".join("ACGT"[i % 4] for i in range(start, end)))


def config(window_bp: int, **settings: object) -> DataConfig:
    split = {"by": "contig", "validation": ["x"]}
    return DataConfig.model_validate(
        {"genome": "g", "window_bp": window_bp, "split": split, **settings}
    )


@pytest.mark.slow
@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    gap=st.integers(0, 7),
    window_bp=st.integers(1, 40),
    seed=st.integers(0, 5),
)
def test_a_pass_reads_every_base_and_none_outside_the_regions(
    lengths: list[int], gap: int, window_bp: int, seed: int
) -> None:
    regions, start = [], 100
    for length in lengths:
        regions.append(Region("chr1", start, start + length))
        start += length + gap
    genome = Counting()
    tiles = sum(1 if n <= window_bp else math.ceil(n / window_bp) + 1 for n in lengths)
    windows = TrainingWindows(genome, tuple(regions), DNA, config(window_bp), 3 * tiles, seed)
    for number in range(3):
        genome.read.clear()
        for index in range(number * tiles, (number + 1) * tiles):
            region, first, _ = windows.place(index)
            window = windows[index]
            assert len(window.ids) == min(window_bp, region.length_bp)
            assert region.start <= first
            assert first + len(window.ids) <= region.end
        assert set(genome.read) == {i for r in regions for i in range(r.start, r.end)}
        assert max(genome.read.values()) <= 3


def test_an_index_and_a_seed_decide_a_window_and_nothing_else_does(
    make_genome: MakeGenome, make_config: MakeConfig
) -> None:
    genome = make_genome(chr1=230, chr2=70)
    regions = (Region("chr1", 5, 225), Region("chr2", 0, 7))

    def windows(seed: int) -> TrainingWindows:
        return TrainingWindows(genome, regions, DNA, make_config(), 90, seed)

    forwards, backwards = windows(1), windows(1)
    texts = [decode(forwards[i].ids) for i in range(90)]
    assert [decode(backwards[i].ids) for i in reversed(range(90))] == texts[::-1]
    assert [decode(windows(2)[i].ids) for i in range(90)] != texts
    # Another pass has another phase: its windows are not those of the first.
    assert len(set(texts[24:48]) - set(texts[:24])) > 12


def test_half_the_windows_are_read_from_the_other_strand_exactly(
    make_genome: MakeGenome, make_config: MakeConfig
) -> None:
    genome = make_genome(chr1="ACGTTGCANNacgtRYKM" * 20)
    regions = (Region("chr1", 0, 360),)
    both = TrainingWindows(genome, regions, DNA, make_config(), 300, 1)
    turned = 0
    pairs = dict(zip("ACGTNacgtRYKM", "TGCANtgcaYRMK", strict=True))
    for index in range(300):
        region, start, reverse = both.place(index)
        forward = decode(genome.fetch_bytes(region.contig, start, start + 10))
        expected = "".join(pairs[letter] for letter in forward[::-1]) if reverse else forward
        assert decode(both[index].ids) == expected
        turned += reverse
    assert 110 < turned < 190
    one = TrainingWindows(genome, regions, DNA, make_config(reverse_complement=False), 300, 1)
    assert not any(one.place(index)[2] for index in range(300))


def test_n_weighs_nothing_and_a_soft_masked_base_what_the_recipe_says() -> None:
    window = make_window(encode("ACgtNnRU"), DNA, 0.25)
    assert window.target.tolist() == [0, 1, 2, 3, -1, -1, -1, 3]
    assert window.weight.tolist() == [1, 1, 0.25, 0.25, 0, 0, 0, 1]
    assert make_window(encode("Acn"), DNA, 0.0).weight.tolist() == [1, 0, 0]


def test_validation_windows_are_spread_evenly_and_on_both_strands(
    make_genome: MakeGenome, make_config: MakeConfig
) -> None:
    genome = make_genome(chr1=105, chr2=40)
    regions = (Region("chr1", 0, 105), Region("chr2", 10, 40))
    every = validation_windows(genome, regions, DNA, make_config(), 10_000)
    assert [len(window.ids) for window in every] == [10] * 10 + [5] + [10] * 3
    assert decode(every[0].ids) == decode(genome.fetch_bytes("chr1", 0, 10))
    other_strand = DNA.reverse_complement(genome.fetch_bytes("chr1", 10, 20))
    assert decode(every[1].ids) == decode(other_strand)
    some = validation_windows(genome, regions, DNA, make_config(reverse_complement=False), 59)
    assert len(some) == 5
    texts = [decode(window.ids) for window in some]
    assert texts[0] == decode(genome.fetch_bytes("chr1", 0, 10))
    assert texts[-1] == decode(genome.fetch_bytes("chr2", 30, 40))
    assert len(validation_windows(genome, regions, DNA, make_config(), 1)) == 1


@pytest.mark.parametrize("world", [1, 2])
def test_the_loader_goes_on_where_its_state_was_taken_on_any_number_of_processes(
    make_genome: MakeGenome, make_config: MakeConfig, world: int
) -> None:
    genome = make_genome(chr1=300)
    regions = (Region("chr1", 0, 300),)

    def windows() -> TrainingWindows:
        return TrainingWindows(genome, regions, DNA, make_config(), 24, 5)

    seen = []
    for rank in range(world):
        loader = training_loader(windows(), 4, rank, world)
        whole = [batch["causal"].ids for batch in loader]  # type: ignore[attr-defined]
        assert [len(ids) for ids in whole] == [4 // world] * 6
        seen.append(whole)
        first = training_loader(windows(), 4, rank, world)
        stream = iter(first)  # type: ignore[call-overload]
        for _ in range(2):
            next(stream)
        later = training_loader(windows(), 4, rank, world)
        later.load_state_dict(first.state_dict())  # type: ignore[attr-defined]
        rest = [batch["causal"].ids for batch in later]  # type: ignore[attr-defined]
        assert len(rest) == 4
        assert all(torch.equal(one, other) for one, other in zip(rest, whole[2:], strict=True))
    texts = sorted(bytes(row.tolist()) for rank in seen for ids in rank for row in ids)
    expected = [rows_of([windows()[i].ids])[0][0] for i in range(24)]
    assert texts == sorted(bytes(row.tolist()) for row in expected)


@pytest.mark.slow
def test_a_window_of_many_records_is_found_quickly() -> None:
    """Twenty thousand records: what a look-up costs must not grow with them."""
    regions = tuple(Region("chr1", 10 * i, 10 * i + 9) for i in range(20_000))
    windows = TrainingWindows(Counting(), regions, DNA, config(12), 50_000, 1)
    start_s = time.perf_counter()
    seen = Counter(windows.place(index)[0] for index in range(20_000))
    assert set(seen.values()) == {1}
    assert len(seen) == 20_000
    assert time.perf_counter() - start_s < 10
