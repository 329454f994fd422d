"""Effects of SNVs under a sequence model, and how well effects tell consequences apart.

An effect is log-likelihood(alt) - log-likelihood(ref) in nats: below 0 where the model finds the
variant worse than the reference. A class is called deleterious by how far below 0 it lies, so
every AUROC here scores a variant by minus its effect: above 0.5 means that the first class is found
worse than the second.
"""

import numpy as np
from jaxtyping import Float64, Int64, Shaped, UInt8

from hyena_glt.errors import SequenceError
from hyena_glt.evaluate.auroc import AurocInterval, bootstrap_auroc
from hyena_glt.evaluate.kmers import UNKNOWN
from hyena_glt.evaluate.surprisal import SequenceModel, both_strand_surprisal_bits


def snv_effects_nats(
    model: SequenceModel, sequence: UInt8[np.ndarray, " L"], snvs: Shaped[np.ndarray, " N"]
) -> Float64[np.ndarray, " N"]:
    """Return the effect of each SNV in nats, shape (N,), mean of both strands.

    `snvs` has the fields `position`, `ref` and `alt` of `CODING_SNV`. A base changes only the
    predictions of itself and of the `context_bp` bases after it, so windows of `context_bp` on
    either side give the effect on the whole sequence exactly.

    Raises `SequenceError` if an SNV lies outside the sequence or its ref is another base than the
    sequence holds.
    """
    positions = snvs["position"]
    if np.any((positions < 0) | (positions >= len(sequence))):
        raise SequenceError(
            f"SNV positions run from {positions.min()} to {positions.max()}, past a sequence of "
            f"{len(sequence)} bases; give the contig that the SNVs were drawn from"
        )
    wrong = np.flatnonzero(sequence[positions] != snvs["ref"])
    if wrong.size:
        first = snvs[wrong[0]]
        raise SequenceError(
            f"{wrong.size} of {len(snvs)} SNVs have another ref than the sequence: the first at "
            f"position {first['position']}, ref {'ACGTN'[first['ref']]}; give the contig that the "
            "SNVs were drawn from"
        )
    edge = np.full(model.context_bp, UNKNOWN, dtype=np.uint8)
    padded = np.concatenate([edge, sequence, edge])
    span_bp = 2 * model.context_bp + 1
    ref_windows = np.lib.stride_tricks.sliding_window_view(padded, span_bp)[positions]
    alt_windows = ref_windows.copy()
    alt_windows[:, model.context_bp] = snvs["alt"]
    effects_nats = _logliks_nats(model, alt_windows) - _logliks_nats(model, ref_windows)
    return np.asarray(effects_nats)


def _logliks_nats(
    model: SequenceModel, windows: UInt8[np.ndarray, "N W"]
) -> Float64[np.ndarray, " N"]:
    # One call for all windows: a code 4 between two of them keeps either from seeing the other.
    separated = np.pad(windows, ((0, 0), (0, 1)), constant_values=UNKNOWN)
    bits = both_strand_surprisal_bits(model, separated.ravel()).reshape(separated.shape)
    return np.asarray(-np.log(2) * np.nansum(bits, axis=1))


def substitution_strata(snvs: Shaped[np.ndarray, " N"]) -> Int64[np.ndarray, " N"]:
    """Return one number for each (ref > alt on the gene's strand, codon position), shape (N,).

    `snvs` are `CODING_SNV` records. C>T at codon position 2 of a gene on "+" and G>A on the forward
    strand at codon position 2 of a gene on "-" are one stratum: (1 * 4 + 3) * 3 + 2 = 23.
    """
    reverse = snvs["strand"] == "-"
    ref = np.where(reverse, 3 - snvs["ref"], snvs["ref"]).astype(np.int64)
    alt = np.where(reverse, 3 - snvs["alt"], snvs["alt"]).astype(np.int64)
    return np.asarray((ref * 4 + alt) * 3 + snvs["codon_position"])


def deleterious_auroc(
    effects_nats: Float64[np.ndarray, " N"],
    snvs: Shaped[np.ndarray, " N"],
    deleterious: str,
    benign: str = "synonymous",
    *,
    matched: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> AurocInterval:
    """Return the probability that a deleterious SNV has a lower effect than a benign one.

    `deleterious` and `benign` name consequences of the `CODING_SNV` records (stop_gained against
    synonymous, say); SNVs of other consequences are left out. `matched` compares only SNVs of one
    stratum (`substitution_strata`), so that mutation type and codon position explain nothing;
    stop_gained and synonymous share few strata, so read `pairs` with it. The interval resamples
    genes.

    Raises `HyenaGLTError` if no such pair of SNVs exists or an effect is NaN.
    """
    compared = np.isin(snvs["consequence"], [deleterious, benign])
    snvs = snvs[compared]
    return bootstrap_auroc(
        -effects_nats[compared],
        snvs["consequence"] == deleterious,
        snvs["gene"],
        strata=substitution_strata(snvs) if matched else None,
        resamples=resamples,
        seed=seed,
    )
