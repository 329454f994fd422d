"""Samples keep to what they were asked to hold, and to where they end."""

import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from properties.tiny import Case, build
from properties.tolerances import OUTPUT_FP64

from hyena_glt.errors import SamplingError
from hyena_glt.generate import Sample, sample, sampling
from hyena_glt.generate.constraints import Constraints
from hyena_glt.score import surprisal_bits

NETWORK = build(Case("S", "letters", 1, "L", "", "exact"))
STOP = re.compile("(?:...)*?(?:TAA|TAG|TGA)")
PROMPTS = ["", "ACGTTGCAACgtacT", "gattaca", "TTT", "A"]


def longest_run(text: str) -> int:
    return max((len(run[0]) for run in re.finditer(r"(.)\1*", text)), default=0)


def first_stop(text: str) -> int | None:
    """Where the first stop codon in frame ends."""
    found = STOP.match(text)
    return None if found is None else found.end()


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    forbid=st.lists(st.text("ACGT", min_size=2, max_size=4), max_size=3),
    most=st.integers(2, 4) | st.none(),
    prompt=st.text("ACGT", max_size=6),
    start=st.sampled_from(["", "ATG", "cc"]),
    seed=st.integers(0, 9),
)
def test_no_forbidden_motif_or_long_run_is_ever_completed(
    forbid: list[str], most: int | None, prompt: str, start: str, seed: int
) -> None:
    constraints: dict[str, Any] = {"forbid": forbid, "max_homopolymer_bp": most, "start": start}
    try:
        rows = sample(NETWORK, [prompt], 9, count=2, seed=seed, **constraints)
    except SamplingError:
        reject()  # nothing can stand behind this prompt or start
    for row in rows:
        assert len(row.sequence) == 9
        assert row.sequence.startswith(start.upper())
        whole = prompt + row.sequence
        for end in range(len(prompt) + 1, len(whole) + 1):
            assert not whole[:end].endswith(tuple(forbid))
            if most is not None:
                run = re.search(r"(.)\1*$", whole[:end])
                assert run is not None
                assert len(run[0]) <= most


def test_the_prompts_last_letters_count_in_either_case() -> None:
    rows = sample(NETWORK, ["ggaatt", "AAAAAAA"], 1, count=60, forbid=["gaattc"], seed=3)
    assert {row.sequence for row in rows[:60]} == set("AGT")
    rows = sample(NETWORK, ["CAAA", "AAAAA", "CAA"], 1, count=60, max_homopolymer_bp=3)
    assert ["A" in {row.sequence for row in rows[i : i + 60]} for i in (0, 60, 120)] == [
        False,
        False,
        True,
    ]


@pytest.mark.slow
def test_constraints_that_forbid_nothing_that_comes_change_no_letter() -> None:
    plain = sample(NETWORK, PROMPTS, 20, seed=5)
    motif = "ACGTACGTACGTACGTACGTA"
    held = sample(NETWORK, PROMPTS, 20, seed=5, forbid=[motif], max_homopolymer_bp=30)
    assert [row.sequence for row in plain] == [row.sequence for row in held]


def test_what_is_drawn_from_is_the_models_own_among_the_letters_left() -> None:
    """G and T forbidden, the likeliest of A and C is taken though it is none of all four."""
    (row,) = sample(NETWORK, ["ACG"], 12, top_k=1, forbid=["G", "T"])
    assert set(row.sequence) <= set("AC")
    (bits,) = surprisal_bits(NETWORK, ["ACG" + row.sequence])
    np.testing.assert_allclose(row.loglik_nats, -np.log(2) * bits[3:], atol=OUTPUT_FP64)


@pytest.mark.slow
def test_log_probabilities_are_the_models_own_through_start_and_stop() -> None:
    settings: dict[str, Any] = {"start": "ATG", "stop_codon": True, "max_homopolymer_bp": 2}
    for row in sample(NETWORK, PROMPTS, 30, seed=1, **settings):
        (bits,) = surprisal_bits(NETWORK, [row.prompt + row.sequence])
        expected = -np.log(2) * bits[len(row.prompt) :]
        np.testing.assert_allclose(row.loglik_nats, expected, atol=OUTPUT_FP64)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["", "ATG", "AT"])
def test_a_sample_is_the_free_one_up_to_its_first_stop_codon_in_frame(start: str) -> None:
    """The frame is that of the sample's first letter, whatever the prompt's length."""
    free = sample(NETWORK, PROMPTS, 40, count=2, seed=2, temperature=3.0, start=start)
    ended = sample(
        NETWORK, PROMPTS, 40, count=2, seed=2, temperature=3.0, start=start, stop_codon=True
    )
    for one, other in zip(free, ended, strict=True):
        end = first_stop(one.sequence)
        assert other.sequence == one.sequence[:end]
        assert len(other.loglik_nats) == len(other.sequence)
        assert other.at_stop_codon == (end is not None)
    lengths = {len(row.sequence) for row in ended}
    assert len(lengths) > 3
    assert not any(row.at_stop_codon for row in free)


def test_rna_stops_at_its_own_stop_codons() -> None:
    network = build(Case("S", "fixed", 1, "L", "", "plain"), modality="rna")
    rows = sample(network, [""] * 12, 60, stop_codon=True, forbid=["UAG", "TGA"])
    assert {row.sequence[-3:] for row in rows if row.at_stop_codon} == {"UAA"}


def same_rows(found: list[Sample], expected: list[Sample]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one[:2] == other[:2]
        np.testing.assert_allclose(one.loglik_nats, other.loglik_nats, atol=OUTPUT_FP64)


@pytest.mark.slow
def test_a_row_is_the_same_whichever_rows_beside_it_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    constraints: dict[str, Any] = {"stop_codon": True, "forbid": ["CG"], "temperature": 3.0}
    together = sample(NETWORK, PROMPTS, 30, count=2, **constraints)
    assert len({len(row.sequence) for row in together}) > 2
    monkeypatch.setattr(sampling, "ROWS", 4)
    monkeypatch.setattr(sampling, "DRAWN_BP", 7)
    same_rows(sample(NETWORK, PROMPTS, 30, count=2, **constraints), together)


@pytest.mark.slow
def test_a_row_that_has_ended_is_stepped_no_more() -> None:
    stepped = []
    handle = NETWORK.register_forward_hook(lambda _m, inputs, _o: stepped.append(inputs[0].shape))
    rows = sample(NETWORK, [""] * 9, 60, stop_codon=True, temperature=3.0)
    handle.remove()
    lengths = [len(row.sequence) for row in rows]
    steps = [rows for rows, letters in stepped[1:] if letters == 1]
    assert steps == [sum(length > n for length in lengths) for n in range(1, max(lengths))]


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ({"forbid": "GAATTC"}, "forbid='GAATTC': expected a list"),
        ({"forbid": ["GANTC"]}, "forbid: found 'GANTC', expected letters of dna, A C G T"),
        ({"forbid": ["AC", ""]}, "empty motif"),
        ({"forbid": ["é"]}, "forbid: found"),
        ({"start": "ATGN"}, "start: found 'ATGN'"),
        ({"start": "ATGATGATGA"}, "start has 10 letters, more than the sample's length_bp=9"),
        ({"max_homopolymer_bp": 0}, "max_homopolymer_bp=0: expected at least 1"),
        (
            {"max_homopolymer_bp": 13},
            r"max_homopolymer_bp=13: has no effect, .* \(4\) and .* \(9\)",
        ),
        ({"forbid": ["A" * 14]}, r"forbid: found 'A{14}'..., 14 letters: has no effect"),
        ({"stop_codon": True, "start": "ATGATGATG"}, "fits between the 9 letters of start and"),
        ({"stop_codon": True, "start": "ATGATGC"}, "fits between the 7 letters of start and"),
        ({"stop_codon": True, "start": "ATGtag"}, "start has a stop codon at position 3"),
        ({"stop_codon": True, "forbid": ["TA", "GA"]}, "each of TAA, TAG, TGA holds a forbidden"),
        ({"forbid": ["A", "C", "G", "T"]}, "prompt 1: .* every letter leads to a forbidden"),
        ({"forbid": ["CA", "AA", "GA", "TA"], "start": "CA"}, "prompt 1: position 1 of start"),
        ({"forbid": ["GTA", "GTC", "GTG", "GTT"]}, "prompt 2: behind its 4 letters"),
    ],
)
def test_a_constraint_that_can_not_be_says_so_before_the_first_letter(
    constraints: dict[str, Any], message: str
) -> None:
    with pytest.raises(SamplingError, match=message):
        sampling.sample_stream(NETWORK, ["AC", "ACGT"], 9, **constraints)


def test_a_constraint_that_can_just_take_effect_is_taken() -> None:
    constraints: dict[str, Any] = {"max_homopolymer_bp": 12, "forbid": ["A" * 13]}
    sampling.sample_stream(NETWORK, ["AC", "ACGT"], 9, **constraints)
    sampling.sample_stream(NETWORK, [""], 9, start="ATGATGTA", stop_codon=True)
    sampling.sample_stream(NETWORK, [""], 9, start="ATGAC", stop_codon=True)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@example(forbid=["AC"], most=6, prompt="AAAA", start="")  # a run that nothing can end
@given(
    forbid=st.lists(st.text("AC", min_size=1, max_size=3), max_size=3),
    most=st.integers(2, 7),
    prompt=st.text("A", max_size=9) | st.text("AC", max_size=6),
    start=st.sampled_from(["", "aaaa", "C"]),
)
def test_a_limit_on_runs_is_the_same_as_motifs_of_one_letter(
    forbid: list[str], most: int, prompt: str, start: str
) -> None:
    """Dead ends too: where C leads nowhere, so does a run of A that nothing but C could end."""

    def drawn(forbid: list[str], most: int | None) -> list[str] | None:
        settings: dict[str, Any] = {"forbid": ["G", "T", *forbid], "max_homopolymer_bp": most}
        try:
            rows = sample(NETWORK, [prompt], 10, count=3, start=start, **settings)
        except SamplingError:
            return None
        return [row.sequence for row in rows]

    runs = [letter * (most + 1) for letter in "ACGT"]
    assert drawn(forbid, most) == drawn([*forbid, *runs], None)


def test_a_limit_on_runs_costs_no_memory_however_long_it_is() -> None:
    tracemalloc.start()
    sampling.sample_stream(NETWORK, ["A"], 2_000_000, max_homopolymer_bp=1_000_000)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


@pytest.mark.slow
def test_a_letter_costs_the_same_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop codons are looked for in the last codon, and not at all where none is asked for."""
    seen = []
    ended = Constraints.ended

    def look(self: Constraints, codon: np.ndarray) -> np.ndarray:
        seen.append(codon.shape[1])
        return ended(self, codon)

    monkeypatch.setattr(Constraints, "ended", look)
    sample(NETWORK, [""], 30)
    assert seen == []
    sample(NETWORK, [""], 30, stop_codon=True, forbid=["TA"], start="ATGC", seed=1)
    assert set(seen) == {3}


def test_codons_need_letters_that_have_them() -> None:
    with pytest.raises(SamplingError, match="no codon fits into length_bp=2"):
        sample(NETWORK, [""], 2, stop_codon=True)
    network = build(Case("S", "fixed", 1, "L", "", "plain"), modality="protein")
    with pytest.raises(SamplingError, match="a protein has no codons"):
        sample(network, [""], 9, stop_codon=True)
    (row,) = sample(network, ["MK"], 40, start="mv", forbid=["MVL"], max_homopolymer_bp=1)
    assert row.sequence.startswith("MV")
    assert longest_run("K" + row.sequence) == 1


@pytest.mark.slow
def test_a_run_may_be_as_long_as_allowed() -> None:
    rows = sample(NETWORK, [""], 60, count=8, max_homopolymer_bp=3)
    assert max(longest_run(row.sequence) for row in rows) == 3
