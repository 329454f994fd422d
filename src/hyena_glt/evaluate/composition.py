"""Composition of a sequence: GC content, and the 3-base periodicity that coding DNA carries."""

import numpy as np
from jaxtyping import Float64, UInt8


def gc_fraction(sequence: UInt8[np.ndarray, " L"]) -> float:
    """Return (G + C) / (A + C + G + T), code 4 left out; NaN where no base is A C G T.

    >>> gc_fraction(np.array([0, 1, 2, 2, 4], dtype=np.uint8))  # ACGGN
    0.75
    """
    counts = np.bincount(sequence, minlength=5)
    known = int(counts[:4].sum())
    return int(counts[1] + counts[2]) / known if known else float("nan")


def period3(sequence: UInt8[np.ndarray, " L"]) -> float:
    """Return the power at period 3 over the mean power of the spectrum: about 1 without a signal.

    S(f) = sum over bases b of |sum over n of u_b(n) exp(-2 pi i f n)|**2, with u_b(n) = 1 where
    base n is b and else 0; returned is S(1/3) over the mean of S at the non-zero Fourier
    frequencies (Tiwari et al. 1997, CABIOS 13:263). Coding DNA gives the more the longer it is, so
    compare sequences of one length. One or two bases are cut from the end where the length is no
    multiple of 3, so that 1/3 is a Fourier frequency. Code 4 belongs to no base.

    No transform is needed: S(1/3) follows from the counts of each base at each phase, and the mean
    from Parseval's theorem, (L sum of n_b - sum of n_b**2) / (L - 1) for n_b bases b.

    ACGACG repeats with period 3: u_A is 1 at n = 0 and 3, so |2|**2 for each of A, C and G gives
    S(1/3) = 12; the mean is (6 * 6 - 3 * 4) / 5 = 4.8.

    >>> period3(np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8))
    2.5

    NaN where the spectrum is empty: under 3 bases, a single letter throughout, no A C G T at all.
    """
    return float(_period3_rows(sequence[: len(sequence) // 3 * 3][None])[0])


def windowed_period3(
    sequence: UInt8[np.ndarray, " L"], window_bp: int
) -> Float64[np.ndarray, " windows"]:
    """Return `period3` of each whole window, side by side, shape (L // window_bp,).

    A genome's own values, to compare a sampled sequence of `window_bp` bases with.

    Raises `ValueError` if window_bp is under 3.
    """
    if window_bp < 3:
        raise ValueError(f"window_bp is {window_bp}; a period of 3 needs at least 3 bases")
    windows = len(sequence) // window_bp
    rows = sequence[: windows * window_bp].reshape(windows, window_bp)
    return _period3_rows(rows[:, : window_bp // 3 * 3])


def _period3_rows(rows: UInt8[np.ndarray, "windows L"]) -> Float64[np.ndarray, " windows"]:
    windows, length_bp = rows.shape
    peak = np.zeros(windows)
    energy = np.zeros(windows)
    for base in range(4):
        phases = (rows == base).reshape(windows, -1, 3).sum(axis=1, dtype=np.float64)
        a, b, c = phases.T
        # |a + b w + c w**2|**2 for w a cube root of 1
        peak += a**2 + b**2 + c**2 - a * b - b * c - c * a
        total = phases.sum(axis=1)
        energy += total * (length_bp - total)
    mean = energy / max(length_bp - 1, 1)
    ratio = np.full(windows, np.nan)
    np.divide(peak, mean, out=ratio, where=mean > 0)
    return ratio
