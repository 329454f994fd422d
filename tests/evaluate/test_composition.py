import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.evaluate.composition import gc_fraction, period3, windowed_period3


def dna(letters: str) -> np.ndarray:
    return np.array(["ACGTN".index(letter) for letter in letters], dtype=np.uint8)


def period3_by_fourier(sequence: np.ndarray) -> float:
    whole = sequence[: len(sequence) // 3 * 3]
    power = sum(np.abs(np.fft.fft(whole == base)) ** 2 for base in range(4))
    assert isinstance(power, np.ndarray)
    return float(power[len(whole) // 3] / power[1:].mean())


def test_gc_leaves_unknown_bases_out() -> None:
    assert gc_fraction(dna("ACGGN")) == 0.75
    assert gc_fraction(dna("AT")) == 0.0
    assert math.isnan(gc_fraction(dna("NN")))


def test_acgacg_has_a_ratio_of_two_and_a_half() -> None:
    # |2|**2 for each of three bases is 12; the mean is (6 * 6 - 3 * 2**2) / 5 = 4.8
    assert period3(dna("ACGACG")) == pytest.approx(12 / 4.8)


@given(st.text("ACGTN", min_size=6, max_size=80).filter(lambda text: len(set(text)) > 1))
def test_the_ratio_equals_the_fourier_transform(letters: str) -> None:
    sequence = dna(letters)
    if len(set(letters[: len(letters) // 3 * 3])) > 1:
        assert period3(sequence) == pytest.approx(period3_by_fourier(sequence), abs=1e-9)


def test_uniform_letters_have_no_period_and_codons_do() -> None:
    rng = np.random.default_rng(0)
    uniform = rng.integers(0, 4, 300_000).astype(np.uint8)
    assert windowed_period3(uniform, 300).mean() == pytest.approx(1.0, abs=0.1)
    codons = rng.permuted(np.tile(dna("GAT"), (100, 1)), axis=0)
    codons[:, 0] = 2  # G opens every codon
    assert period3(codons.ravel()) > 10


def test_windows_stand_side_by_side_and_the_rest_is_dropped() -> None:
    sequence = dna("ACGACG" + "AACCGT" + "ACG")
    expected = [period3(sequence[:6]), period3(sequence[6:12])]
    np.testing.assert_allclose(windowed_period3(sequence, 6), expected)
    np.testing.assert_allclose(windowed_period3(sequence, 7)[0], period3(sequence[:7]))


@pytest.mark.parametrize("letters", ["", "AC", "AAAAAA", "NNN"])
def test_a_spectrum_without_power_has_no_ratio(letters: str) -> None:
    assert math.isnan(period3(dna(letters)))


def test_a_window_shorter_than_the_period_is_refused() -> None:
    with pytest.raises(ValueError, match="window_bp is 2"):
        windowed_period3(dna("ACGT"), 2)
