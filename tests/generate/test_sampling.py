"""Sampling: seeded, and each letter drawn from the network's own prediction."""

import pytest
import torch
from properties.tiny import Case, build

from hyena_glt.errors import SequenceError
from hyena_glt.generate import sample
from hyena_glt.model import HyenaGLT
from hyena_glt.tokenize import BOS, encode

CASES = [
    Case("SM", "fixed", 2, "LA", "A", "hashed"),
    Case("L", "letters", 1, "SMLA", "M", "exact"),
    Case("A", "none", 1, "M", "S", "plain"),
]
NETWORKS = {case: build(case) for case in CASES}
networks = pytest.mark.parametrize("case", CASES, ids=str)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def recomputed(
    network: HyenaGLT, prompt: str, length_bp: int, count: int, seed: int, temperature: float
) -> list[str]:
    """The same draws, each from a pass over all that came before."""
    generator, rows = seeded(seed), [prompt] * count
    for _ in range(length_bp):
        ids = torch.tensor([[BOS, *encode(row).tolist()] for row in rows])
        p = (network(ids).logits[:, -1].double() / temperature).softmax(-1)
        drawn = torch.multinomial(p, 1, generator=generator)[:, 0].tolist()
        rows = [row + network.alphabet.letters[i] for row, i in zip(rows, drawn, strict=True)]
    return [row[len(prompt) :] for row in rows]


@networks
@pytest.mark.parametrize("prompt", ["", "A", "ACGTTGCAACgtac"])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_each_letter_is_drawn_from_a_full_pass_over_the_letters_before(
    case: Case, prompt: str, temperature: float
) -> None:
    found = sample(NETWORKS[case], prompt, 25, 3, seeded(4), temperature)
    assert found == recomputed(NETWORKS[case], prompt, 25, 3, 4, temperature)


@networks
def test_nearly_no_temperature_takes_the_likeliest_letter(case: Case) -> None:
    network, row = NETWORKS[case], "ACG"
    (found,) = sample(network, row, 15, 1, seeded(0), temperature=1e-6)
    for letter in found:
        with torch.no_grad():
            logits = network(torch.tensor([[BOS, *encode(row).tolist()]])).logits[0, -1]
        assert letter == "ACGT"[int(logits.argmax())]
        row += letter


def test_a_seed_decides_the_letters_and_rows_differ() -> None:
    network = NETWORKS[CASES[0]]
    first = sample(network, "AC", 30, 4, seeded(7))
    assert first == sample(network, "AC", 30, 4, seeded(7))
    assert first != sample(network, "AC", 30, 4, seeded(8))
    assert len(set(first)) == 4
    assert all(len(row) == 30 and set(row) <= set("ACGT") for row in first)


def test_a_model_that_knows_nothing_draws_all_letters_alike() -> None:
    rows = sample(build(CASES[0], live=False), "", 40, 100, seeded(1))
    letters = "".join(rows)
    assert all(abs(letters.count(letter) / len(letters) - 0.25) < 0.03 for letter in "ACGT")


@pytest.mark.parametrize(("modality", "letters"), [("rna", "ACGU"), ("protein", "MKV")])
def test_other_modalities_draw_their_own_letters(modality: str, letters: str) -> None:
    case = Case("S", "fixed", 1, "L", "", "plain")
    network = build(case, modality="rna" if modality == "rna" else "protein")
    (row,) = sample(network, letters[:2], 50, 1, seeded(0))
    assert set(row) <= set(network.alphabet.letters)


@pytest.mark.parametrize(
    ("prompt", "error", "message"),
    [
        ("ACN", SequenceError, "without a definite base"),
        ("ACE", SequenceError, "prompt.*position 2"),
        ("A\n", SequenceError, "printable"),
    ],
)
def test_a_prompt_that_can_not_be_read_says_why(
    prompt: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sample(NETWORKS[CASES[0]], prompt, 3, 1, seeded(0))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        sample(NETWORKS[CASES[0]], "", 3, 1, seeded(0), temperature)
