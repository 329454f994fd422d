"""The script of evaluation intervals finds sequences where they stand, and keeps to the BED."""

import importlib.util
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hyena_glt.io import read_bed

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "evaluation_intervals.py"
BED = ROOT / "recipes" / "pretraining" / "evaluation.bed"
PAIRS = bytes.maketrans(b"ACGT", b"TGCA")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluation_intervals", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its tuples' annotations are looked up by the module's name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def letters(length_bp: int, seed: int) -> bytes:
    return bytes(np.random.default_rng(seed).choice(list(b"ACGT"), length_bp).astype(np.uint8))


GENOME = letters(3000, 1)


def found(script: ModuleType, *sequences: bytes, genome: bytes = GENOME) -> list[tuple[int, ...]]:
    bases = np.frombuffer(genome, dtype=np.uint8)
    return sorted(script.find(script.index_words(sequences), bases))


def test_a_sequence_is_found_on_both_strands(script: ModuleType) -> None:
    other = GENOME[2000:2075].translate(PAIRS)[::-1]
    assert found(script, GENOME[100:170], letters(70, 2), other) == [
        (0, 100, 170),
        (5, 2000, 2075),
    ]


@pytest.mark.parametrize(
    ("changed", "places"),
    [([], 1), ([5], 1), ([5, 100], 1), ([5, 60, 100, 130, 165], 0)],
)
def test_most_words_of_a_sequence_must_stand_there(
    script: ModuleType, changed: list[int], places: int
) -> None:
    """Of 200 bases, words begin at 0, 32, 64, 96, 128, 160 and 168: four are needed."""
    sequence = bytearray(GENOME[700:900])
    for base in changed:
        sequence[base] = sequence[base : base + 1].translate(PAIRS)[0]
    assert len(found(script, bytes(sequence))) == places


def test_every_copy_is_found_and_n_stands_for_nothing(script: ModuleType) -> None:
    sequence = GENOME[:80]
    genome = sequence + b"N" * 40 + sequence.lower() + letters(90, 3)
    assert found(script, sequence, genome=genome) == [(0, 0, 80), (0, 120, 200)]
    assert found(script, b"N" * 80, b"ACGT", genome=genome + b"N" * 200) == []


def test_a_place_at_the_end_is_cut_there(script: ModuleType) -> None:
    sequence = GENOME[2880:] + letters(30, 4)
    assert found(script, sequence) == [(0, 2880, 3000)]
    other = letters(30, 5) + GENOME[:120]
    assert found(script, other) == [(0, 0, 120)]


def test_chunks_of_a_genome_join(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words that begin in one chunk and end in the next are found once."""
    monkeypatch.setattr(script, "CHUNK_BP", 50)
    sequences = [GENOME[start : start + 64] for start in range(0, 2900, 7)]
    assert found(script, *sequences) == [
        (2 * number, start, start + 64) for number, start in enumerate(range(0, 2900, 7))
    ]


def near(script: ModuleType, *sequences: bytes, genome: bytes = GENOME) -> list[tuple[int, ...]]:
    bases = np.frombuffer(genome, dtype=np.uint8)
    return sorted(script.find_short(script.index_seeds(sequences), bases))


def changed(sequence: bytes, *at: int) -> bytes:
    other = bytearray(sequence)
    for base in at:
        other[base] = sequence[base : base + 1].translate(PAIRS)[0]
    return bytes(other)


@pytest.mark.parametrize("length_bp", [40, 57, 70, 101, 149])
def test_a_short_sequence_may_differ_by_a_base_in_20(script: ModuleType, length_bp: int) -> None:
    """Wherever they are: a word of 32 stood in no 57 bases with one changed in the middle."""
    sequence, allowed = GENOME[700 : 700 + length_bp], length_bp // 20
    for seed in range(40):
        at = np.random.default_rng(seed).choice(length_bp, allowed + 1, replace=False).tolist()
        place = (0, 700, 700 + length_bp, allowed)
        assert near(script, changed(sequence, *at[:-1])) == [place]
        assert near(script, changed(sequence, *at)) == []
    even = [round((i + 0.5) * length_bp / allowed) for i in range(allowed)]
    other = changed(sequence, *even).translate(PAIRS)[::-1]
    assert near(script, letters(60, 7), b"N" * 60, other) == [
        (5, 700, 700 + length_bp, allowed),
    ]


def test_short_sequences_join_chunks_and_keep_to_the_contig(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "CHUNK_BP", 50)
    monkeypatch.setattr(script, "VERIFIED_ROWS", 2)
    assert near(script, changed(GENOME[30:90], 20), GENOME[-58:] + b"A") == [
        (0, 30, 90, 1),
        (2, 2942, 3000, 1),
    ]
    assert near(script, GENOME[:150], GENOME[:12]) == []


def test_of_near_places_the_nearest_count(script: ModuleType) -> None:
    """Else a piece of a repeat would reserve all its copies."""
    a, b, c = (script.Place("g", "c", start, start + 9) for start in (0, 20, 40))
    assert list(script.nearest([[(3, a), (1, b), (1, c)], [(2, a)]])) == [b, c, a]


def test_places_that_touch_are_one(script: ModuleType) -> None:
    place = script.Place
    assert script.merged(
        [
            place("a", "c", 10, 20),
            place("a", "c", 5, 10),
            place("a", "c", 6, 8),
            place("a", "d", 20, 30),
            place("b", "d", 30, 31),
            place("a", "c", 21, 22),
        ]
    ) == [
        place("a", "c", 5, 20),
        place("a", "c", 21, 22),
        place("a", "d", 20, 30),
        place("b", "d", 30, 31),
    ]


def test_the_bed_of_the_recipes_is_sorted_and_merged() -> None:
    lines = [(i.name, i.contig, i.start, i.end) for i in read_bed(BED)]
    assert lines == sorted(lines)
    for before, after in pairwise(lines):
        assert before[:2] != after[:2] or before[3] < after[2]
    assert ("Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz", "XV", 0, 1_091_291) in lines
    assert ("chr20_1-50000000.fa.gz", "20", 40_000_000, 50_000_000) in {
        (name, contig, min(start, 40_000_000), end) for name, contig, start, end in lines
    }
    # UCI's promoters HIS and BIOA; HIS has a base that the genome hasn't.
    for start in (2_089_913, 809_284):
        assert any(c == "NC_000913.3" and s <= start < e for _, c, s, e in lines)
    assert BED.stat().st_size < 300_000


@pytest.mark.slow
def test_without_the_data_it_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--data", tmp_path, "--out", tmp_path / "out.bed"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "HYENA_GLT_DATA" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.bed").exists()
