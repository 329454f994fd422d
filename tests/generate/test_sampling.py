"""Sampling: seeded row by row, and each letter drawn from the network's own prediction."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.tiny import Case, build
from properties.tolerances import LOGITS_FP32, OUTPUT_FP64

from hyena_glt.errors import DirectionError, SamplingError, SequenceError
from hyena_glt.generate import sample, sampling
from hyena_glt.generate.sampling import distribution, draw
from hyena_glt.model import HyenaGLT
from hyena_glt.score import surprisal_bits
from hyena_glt.stream import rows
from hyena_glt.tokenize import BOS, encode

CASES = [
    Case("SM", "fixed", 2, "LA", "A", "hashed"),
    Case("L", "letters", 1, "SMLA", "M", "exact"),
    Case("A", "none", 1, "M", "S", "plain"),
    Case("S", "syncmer", 2, "LA", "M", "exact"),
    Case("M", "delimiter", 1, "SL", "", "plain"),
]
NETWORKS = {case: build(case) for case in CASES}
PROMPTS = ["", "A", "ACGTTGCAACgtacT", "gattaca"]
networks = pytest.mark.parametrize("case", CASES, ids=str)


@torch.no_grad()
def logits_after(network: HyenaGLT, text: str) -> np.ndarray:
    """The prediction of the next letter, from one pass over all that came before."""
    ids = torch.tensor([[BOS, *encode(text).tolist()]])
    return np.asarray(network(ids).logits[:, -1].double())


def recomputed(
    network: HyenaGLT, prompt: str, length_bp: int, seed: int, row: int, temperature: float
) -> str:
    """The same draws, each from a pass over all that came before: the first letter whose sum of
    probabilities is above the random number."""
    uniform, text = np.random.default_rng((seed, row)).random(length_bp), prompt
    for u in uniform:
        p = torch.tensor(logits_after(network, text)[0] / temperature).softmax(-1).tolist()
        sums = [sum(p[: i + 1]) for i in range(len(p))]
        index = next((i for i, total in enumerate(sums) if total > u), len(p) - 1)
        text += network.alphabet.letters[index]
    return text[len(prompt) :]


@pytest.mark.slow
@networks
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_each_letter_is_drawn_from_a_full_pass_over_the_letters_before(
    case: Case, temperature: float
) -> None:
    """Prompts of five lengths go on together, so that rows close patches at different times."""
    network = NETWORKS[case]
    found = sample(network, PROMPTS, 10, seed=4, temperature=temperature)
    assert [each.prompt for each in found] == PROMPTS
    for row, (prompt, drawn) in enumerate(zip(PROMPTS, found, strict=True)):
        assert drawn.sequence == recomputed(network, prompt, 10, 4, row, temperature)


@pytest.mark.slow
@networks
@pytest.mark.parametrize("settings", [{}, {"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.7}])
def test_log_probabilities_are_the_models_own_whatever_was_drawn_from(
    case: Case, settings: dict[str, float]
) -> None:
    network = NETWORKS[case]
    for drawn in sample(network, PROMPTS, 10, seed=2, **settings):  # type: ignore[arg-type]
        (bits,) = surprisal_bits(network, [drawn.prompt + drawn.sequence])
        expected = -math.log(2) * bits[len(drawn.prompt) :]
        np.testing.assert_allclose(drawn.loglik_nats, expected, atol=OUTPUT_FP64)


@pytest.mark.slow
@networks
def test_a_row_is_the_same_alone_and_beside_others(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = NETWORKS[case]
    together = sample(network, PROMPTS * 2, 8, seed=7)
    (first,) = sample(network, PROMPTS[:1], 8, seed=7)
    assert first.sequence == together[0].sequence
    assert sample(network, PROMPTS, 8, seed=7)[3].sequence == together[3].sequence
    monkeypatch.setattr(sampling, "BATCH_BP", 12)
    monkeypatch.setattr(rows, "PIECE_BP", 4)
    in_parts = sample(network, PROMPTS * 2, 8, seed=7, rows=3)
    for one, other in zip(in_parts, together, strict=True):
        assert one.sequence == other.sequence
        np.testing.assert_allclose(one.loglik_nats, other.loglik_nats, atol=OUTPUT_FP64)


@pytest.mark.slow
def test_in_fp32_samples_are_the_same_however_many_are_drawn_side_by_side() -> None:
    """Each draws from its own stream; rounding alone depends on the batch, and moves no letter."""
    network = build(CASES[0], dtype=torch.float32)
    drawn = {n: sample(network, PROMPTS, 8, count=2, seed=3, rows=n) for n in (1, 3, 64)}
    for n in (1, 3):
        for one, other in zip(drawn[n], drawn[64], strict=True):
            assert (one.prompt, one.sequence) == (other.prompt, other.sequence)
            np.testing.assert_allclose(one.loglik_nats, other.loglik_nats, atol=LOGITS_FP32)
    assert len({each.sequence for each in drawn[64]}) == 2 * len(PROMPTS)


@pytest.mark.slow
@networks
@pytest.mark.parametrize(
    "settings", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-6}, {"top_k": 3, "top_p": 1e-9}]
)
def test_the_likeliest_letter_is_taken_where_no_other_is_left(
    case: Case, settings: dict[str, float]
) -> None:
    network, text = NETWORKS[case], "ACG"
    (found,) = sample(network, [text], 8, seed=0, **settings)  # type: ignore[arg-type]
    for letter in found.sequence:
        assert letter == "ACGT"[int(logits_after(network, text).argmax())]
        text += letter


@pytest.mark.slow
def test_a_stream_checks_at_once_and_takes_rows_as_they_are_asked_for() -> None:
    """A prompt is read once however many samples go on from it."""
    network = NETWORKS[CASES[1]]
    with pytest.raises(SequenceError, match="prompt 2"):
        sampling.sample_stream(network, ["AC", "ACE"], 3)
    expected = sample(network, ["ACGTAC"], 3, count=9, seed=1)
    calls: list[torch.Size] = []
    handle = network.register_forward_hook(lambda _m, inputs, _o: calls.append(inputs[0].shape))
    stream = sampling.sample_stream(network, ["ACGTAC"], 3, count=10**9, seed=1, rows=2)
    assert not calls
    found = [next(stream) for _ in expected]
    handle.remove()
    assert [row.sequence for row in found] == [row.sequence for row in expected]
    assert calls == [torch.Size([1, 7]), *[torch.Size([2, 1])] * 10]


@pytest.mark.slow
def test_limits_that_leave_all_letters_change_nothing() -> None:
    network = NETWORKS[CASES[0]]
    plain = sample(network, ["AC"], 40, seed=1)
    limited = sample(network, ["AC"], 40, seed=1, top_k=4, top_p=1.0)
    assert plain[0].sequence == limited[0].sequence


LOGITS = np.log([[0.5, 0.2, 0.2, 0.1]])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.5, 0.2, 0.2, 0.1]),
        ({"top_k": 3}, [5 / 9, 2 / 9, 2 / 9, 0]),
        ({"top_k": 2}, [5 / 7, 2 / 7, 0, 0]),  # of equals the first
        ({"top_p": 0.49}, [1, 0, 0, 0]),
        ({"top_p": 0.51}, [5 / 7, 2 / 7, 0, 0]),
        ({"top_p": 0.89}, [5 / 9, 2 / 9, 2 / 9, 0]),
        ({"top_k": 2, "top_p": 0.7}, [1, 0, 0, 0]),  # 5/7 of what top_k leaves
    ],
)
def test_what_is_drawn_from_is_cut_to_the_likeliest_letters(
    settings: dict[str, float], expected: list[float]
) -> None:
    found = distribution(LOGITS, 1.0, **settings)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, [expected], atol=1e-12)


def test_a_temperature_takes_probabilities_to_its_inverse_power() -> None:
    expected = np.array([[25, 4, 4, 1]]) / 34
    np.testing.assert_allclose(distribution(LOGITS, 0.5), expected, atol=1e-12)


@settings(max_examples=50)
@given(
    p=st.lists(st.integers(0, 5), min_size=2, max_size=6).filter(any),
    u=st.floats(0, 1, exclude_max=True),
)
def test_a_letter_without_probability_is_never_drawn(p: list[int], u: float) -> None:
    weights = np.array([p], dtype=np.float64) / sum(p)
    (index,) = draw(weights, np.array([u]))
    assert p[index] > 0
    assert weights[0, :index].sum() <= u + 1e-12
    assert weights[0, : index + 1].sum() > u - 1e-12


def test_letters_come_as_often_as_their_probability() -> None:
    uniform = np.random.default_rng(0).random(20_000)
    drawn = draw(np.repeat(distribution(LOGITS, 1.0, top_k=3), 20_000, 0), uniform)
    np.testing.assert_allclose(
        np.bincount(drawn, minlength=4) / 20_000, [5 / 9, 2 / 9, 2 / 9, 0], atol=0.01
    )


@pytest.mark.slow
def test_a_seed_decides_the_letters_and_rows_differ() -> None:
    network = NETWORKS[CASES[0]]

    def letters(seed: int) -> list[str]:
        return [each.sequence for each in sample(network, ["AC"] * 4, 30, seed=seed)]

    assert letters(7) == letters(7)
    assert letters(7) != letters(8)
    assert len(set(letters(7))) == 4
    assert all(len(row) == 30 and set(row) <= set("ACGT") for row in letters(7))


@pytest.mark.slow
def test_a_model_that_knows_nothing_draws_all_letters_alike() -> None:
    drawn = sample(build(CASES[0], live=False), [""] * 64, 60, seed=1)
    letters = "".join(each.sequence for each in drawn)
    assert all(abs(letters.count(letter) / len(letters) - 0.25) < 0.03 for letter in "ACGT")
    np.testing.assert_allclose(drawn[0].loglik_nats, math.log(0.25))


@pytest.mark.slow
@pytest.mark.parametrize(("modality", "letters"), [("rna", "ACGU"), ("protein", "MKV")])
def test_other_modalities_draw_their_own_letters(modality: str, letters: str) -> None:
    case = Case("S", "fixed", 1, "L", "", "plain")
    network = build(case, modality="rna" if modality == "rna" else "protein")
    (row,) = sample(network, [letters[:2]], 50)
    assert set(row.sequence) <= set(network.alphabet.letters)
    assert len(set(row.sequence)) > 2


def test_a_network_for_both_generates_and_a_bidirectional_one_refuses_by_name() -> None:
    network = build(CASES[0], direction="both")
    assert len(sample(network, ["ACG"], 9)[0].sequence) == 9
    with pytest.raises(DirectionError, match="bidirectional model can't stream, step or generate"):
        sample(build(CASES[0], direction="bidirectional"), ["ACG"], 9)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("ACN", "prompt 2, position 2 .*'N'.*without a definite base"),
        ("ACE", "prompt 2.*position 2"),
        ("A\n", "printable"),
    ],
)
def test_a_prompt_that_can_not_be_read_says_why(prompt: str, message: str) -> None:
    with pytest.raises(SequenceError, match=message):
        sample(NETWORKS[CASES[0]], ["AC", prompt], 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature=0.0: .*top_k=1"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"temperature": math.nan}, "temperature=nan"),
        ({"temperature": math.inf}, "temperature=inf"),
        ({"top_k": 0}, "top_k=0: expected 1 to 4"),
        ({"top_k": 5}, "top_k=5: expected 1 to 4"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"top_p": 1.1}, "top_p=1.1"),
        ({"top_p": math.nan}, "top_p=nan"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SamplingError, match=message):
        sample(NETWORKS[CASES[0]], [""], 3, **settings)  # type: ignore[arg-type]


def test_a_length_or_a_batch_below_one_is_refused() -> None:
    with pytest.raises(SamplingError, match="length_bp=0"):
        sample(NETWORKS[CASES[0]], [""], 0)
    with pytest.raises(SamplingError, match="rows=0: expected at least 1"):
        sample(NETWORKS[CASES[0]], [""], 3, rows=0)
