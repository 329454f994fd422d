"""Effects of variants: how much less likely the model finds a window once its REF is an ALT."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from hyena_glt.errors import DirectionError, SequenceError
from hyena_glt.io import Reference, Variant
from hyena_glt.model import HyenaGLT
from hyena_glt.score.likelihood import read_both_strands, surprisal_bits
from hyena_glt.score.masked import masked_effects_nats
from hyena_glt.score.passages import begin_alike, differences
from hyena_glt.score.sites import OnBad, Site, group_sites, plain, trimmed
from hyena_glt.stream import TWO_SIDED_BP
from hyena_glt.tokenize import decode, encode

WINDOW_BP = 1500
BATCH_BP = 6_144  # positions in memory at once; larger batches leave a CPU's cache
_MOST_SITES = 1024  # of one batch, those without anything to read too
_MOST_READABLE = 64  # of one batch, so that the states held have a bound


class Effect(NamedTuple):
    """What one ALT does to its window; None where there is no such number.

    ``dll_nats``: log-likelihood(window with ALT) - log-likelihood(window with REF), over all bases
    of each; negative where the model finds ALT worse. ``dll_flank_nats``: the same over the bases
    that both windows share; use it for indels, because a longer window is less likely by its length
    alone. ``scored_bp``: bases of the window with ALT, read or cut. ``reason``: why there is no
    score.

    Under a bidirectional network ``dll_nats`` is the sum over the changed bases, masked, of
    ln p(ALT) - ln p(REF), and ``scored_bp`` is their number; no flank is compared.

    ``cut_bp``: bases of the window with ALT that were left out because the effect had died out, of
    both strands together where both are read; 0 without a tolerance.
    """

    dll_nats: float | None
    dll_flank_nats: float | None
    scored_bp: int | None
    reason: str | None
    cut_bp: int = 0


def score_variants(
    network: HyenaGLT,
    reference: Reference,
    variants: Iterable[Variant],
    *,
    window_bp: int = WINDOW_BP,
    stride_bp: int | None = None,
    tail_tolerance_nats: float = 0.0,
    both_strands: bool | None = None,
    batch_bp: int = BATCH_BP,
    on_bad: OnBad | None = None,
) -> Iterator[tuple[Variant, tuple[Effect, ...]]]:
    """Yield each variant with the effect of each of its ALTs, in order, as they are scored.

    A window has (window_bp - len(REF)) // 2 bases on either side of REF, so that both strands see
    the same, cut at the ends of a linear contig. With ``stride_bp`` its ends are moved outwards to
    multiples of that, so that the windows of neighbours begin alike and their reading is shared; it
    is a score of its own. ``both_strands`` is the mean over the window and its reverse complement;
    None asks for it where the network's ``rc`` is ``average``.

    ``tail_tolerance_nats`` above 0 leaves an ALT where it has settled: |ALT - REF|, summed over the
    last 64 bases read that both windows share, is below it. It looks every 256 bases behind the
    allele, whatever the variants beside it and ``batch_bp``. The rest of the window counts as no
    difference; ``Effect.cut_bp`` says how much that is.

    Memory is that of one batch. An allele without a score has the reason (a key of ``NOT_SCORED``
    or ``BAD_RECORD``). Which base of a repeat an indel removes or adds is a matter of notation, and
    the shared bases depend on it: the last of the repeat, as the strand reads.

    Raises SequenceError for a protein model, DirectionError for a stride or a tolerance under a
    bidirectional one, and ValueError for a window, a stride or a batch of no base or a tolerance
    below 0, at once; SequenceFileError, naming the record, where REF isn't the genome's, the genome
    has no such contig, or the record runs past it. With ``on_bad`` such a record isn't raised but
    handed over as ``on_bad(variant, reason, message)`` when it is taken from ``variants``.
    """
    if network.alphabet.modality == "protein":
        raise SequenceError(
            "found a protein model, expected one of DNA or RNA: a variant's alleles are bases of a "
            "genome"
        )
    if window_bp < 1 or batch_bp < 1:
        raise ValueError(f"window_bp={window_bp}, batch_bp={batch_bp}: expected at least 1")
    if stride_bp is not None and stride_bp < 1:
        raise ValueError(f"stride_bp={stride_bp}: expected at least 1, or None")
    if not (math.isfinite(tail_tolerance_nats) and tail_tolerance_nats >= 0):
        raise ValueError(f"tail_tolerance_nats={tail_tolerance_nats}: expected a number from 0 on")
    if network.direction == "bidirectional" and (stride_bp is not None or tail_tolerance_nats):
        raise DirectionError(
            "a bidirectional model reads a window whole and shares nothing between sites; leave "
            "out the stride and the tail tolerance, or use a causal model"
        )
    if network.direction == "bidirectional" and window_bp > TWO_SIDED_BP:
        raise SequenceError(
            f"window_bp={window_bp:,}: a bidirectional model reads a window whole, and at most "
            f"{TWO_SIDED_BP:,} bp of it; use a shorter window"
        )
    sites = group_sites(reference, variants, window_bp, on_bad, stride_bp)
    both_strands = read_both_strands(network, both_strands)
    return _effects(network, sites, both_strands, batch_bp, tail_tolerance_nats)


def score_variants_reference(
    network: HyenaGLT,
    reference: Reference,
    variants: Iterable[Variant],
    *,
    window_bp: int = WINDOW_BP,
    stride_bp: int | None = None,
    both_strands: bool = False,
) -> Iterator[tuple[Variant, tuple[Effect, ...]]]:
    """As :func:`score_variants` of a causal network, by reading both windows of each ALT whole."""
    for site in group_sites(reference, variants, window_bp, None, stride_bp):
        window, ref = site.window, site.window.ref
        for variant, reasons in site.variants:
            effects = []
            for alt, reason in zip(map(plain, variant.alts), reasons, strict=True):
                if reason is not None:
                    effects.append(_unscored(reason))
                    continue
                windows = [window.with_allele(ref), window.with_allele(alt)]
                strands = [_whole(network, windows, len(window.left), (ref, alt))]
                if both_strands:
                    turn = network.alphabet.reverse_complement
                    windows = [decode(turn(encode(letters))) for letters in windows]
                    alleles = (ref[::-1], alt[::-1])  # alike where their complements are
                    strands.append(_whole(network, windows, len(window.right), alleles))
                dll, flank = np.mean(strands, axis=0).tolist()
                effects.append(Effect(dll, flank, len(windows[1]), None))
            yield variant, tuple(effects)


def _whole(
    network: HyenaGLT, windows: list[str], left_bp: int, alleles: tuple[str, str]
) -> tuple[float, float]:
    """(difference over all bases, over the shared ones) of two windows, read whole, one strand."""
    left, right = trimmed(*alleles)
    totals, flanks = [], []
    for bits, allele in zip(surprisal_bits(network, windows, False), alleles, strict=True):
        nats = -np.log(2) * bits
        end = left_bp + len(allele) - right
        totals.append(nats.sum())
        flanks.append(nats[: left_bp + left].sum() + nats[end:].sum())
    return float(totals[1] - totals[0]), float(flanks[1] - flanks[0])


def _effects(
    network: HyenaGLT,
    sites: Iterable[Site],
    both_strands: bool,
    batch_bp: int,
    tolerance_nats: float,
) -> Iterator[tuple[Variant, tuple[Effect, ...]]]:
    masked = network.direction == "bidirectional"
    for batch in _batches(sites, batch_bp, forked=not masked):
        readable = [site for site in batch if site.alleles]
        if masked:
            found = iter(_masked(network, readable, both_strands))
        else:
            found = iter(_forked(network, readable, both_strands, batch_bp, tolerance_nats))
        for site in batch:
            effects = next(found) if site.alleles else {}
            for variant, reasons in site.variants:
                pairs = zip(variant.alts, reasons, strict=True)
                yield (
                    variant,
                    tuple(
                        effects[plain(alt)] if reason is None else _unscored(reason)
                        for alt, reason in pairs
                    ),
                )


def _unscored(reason: str) -> Effect:
    return Effect(None, None, None, reason)


def _batches(sites: Iterable[Site], batch_bp: int, forked: bool) -> Iterator[list[Site]]:
    """Sites in order whose rows, padded to the longest, hold ``batch_bp`` positions or fewer.

    Forked, windows that begin alike are one row, and those with an ALT none: they are read later,
    in groups of their own.
    """
    batch: list[Site] = []
    last: Site | None = None  # with something to read
    rows = longest_bp = readable = 0
    for site in sites:
        shared = forked and last is not None and begin_alike(last.window, site.window)
        own_rows = min(site.rows, 1) if forked else site.rows
        rows += 0 if shared else own_rows
        readable += bool(site.alleles)
        longest_bp = max(longest_bp, site.longest_bp)
        too_much = rows * longest_bp > batch_bp or readable > _MOST_READABLE
        if batch and (too_much or len(batch) == _MOST_SITES):
            yield batch
            batch, rows, longest_bp = [], own_rows, site.longest_bp
            readable = int(bool(site.alleles))
        batch.append(site)
        last = site if site.alleles else last
    if batch:
        yield batch


def _masked(network: HyenaGLT, sites: list[Site], both_strands: bool) -> list[dict[str, Effect]]:
    """Effects by masked marginals; an ALT of another length than REF has none."""
    found = []
    for site, masked in zip(sites, masked_effects_nats(network, sites, both_strands), strict=True):
        effects = dict.fromkeys(site.alleles, _unscored("length_change"))
        effects |= {alt: Effect(nats, None, bp, None) for alt, (nats, bp) in masked.items()}
        found.append(effects)
    return found


def _forked(
    network: HyenaGLT,
    sites: list[Site],
    both_strands: bool,
    batch_bp: int,
    tolerance_nats: float,
) -> list[dict[str, Effect]]:
    """Effects of a causal network, the mean of the strands that are read."""
    if not sites:
        return []
    strands = [
        differences(network, sites, turned=turned, batch_bp=batch_bp, tolerance_nats=tolerance_nats)
        for turned in ((False, True) if both_strands else (False,))
    ]
    found = []
    for site, *answers in zip(sites, *strands, strict=True):
        flanks_bp = len(site.window.left) + len(site.window.right)
        effects = {}
        for alt, *of_strands in zip(site.alleles, *answers, strict=True):
            dll, flank, _ = np.mean(of_strands, axis=0).tolist()
            cut_bp = sum(difference.cut_bp for difference in of_strands)
            effects[alt] = Effect(dll, flank, flanks_bp + len(alt), None, cut_bp)
        found.append(effects)
    return found
