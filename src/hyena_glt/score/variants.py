"""Effects of variants: how much less likely the model finds a window once its REF is an ALT.

A causal network answers for the bases before an allele alike in both windows. So the left flank of
a site is read once, its state goes on into REF and every ALT, and the difference is exact.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8

from hyena_glt.errors import SequenceError
from hyena_glt.io import Reference, Variant
from hyena_glt.model import HyenaGLT
from hyena_glt.score.branches import branch_logliks_nats
from hyena_glt.score.likelihood import read_both_strands, surprisal_bits
from hyena_glt.score.masked import masked_effects_nats
from hyena_glt.score.sites import OnBad, Site, group_sites, plain, trimmed
from hyena_glt.stream import TWO_SIDED_BP
from hyena_glt.tokenize import decode, encode

WINDOW_BP = 1500
BATCH_BP = 16_384  # positions in memory at once; larger batches leave a CPU's cache
_MOST_SITES = 1024  # of one batch, those without anything to read too

Ids = UInt8[np.ndarray, "..."]
Nats = Float64[np.ndarray, "..."]


class Effect(NamedTuple):
    """What one ALT does to its window; None where there is no such number.

    ``dll_nats``: log-likelihood(window with ALT) - log-likelihood(window with REF), over all bases
    of each; negative where the model finds ALT worse. ``dll_flank_nats``: the same over the bases
    that both windows share; use it for indels, because a longer window is less likely by its length
    alone. ``scored_bp``: bases of the window with ALT. ``reason``: why there is no score.

    Under a bidirectional network ``dll_nats`` is the sum over the changed bases, masked, of
    ln p(ALT) - ln p(REF), and ``scored_bp`` is their number; no flank is compared.
    """

    dll_nats: float | None
    dll_flank_nats: float | None
    scored_bp: int | None
    reason: str | None


def score_variants(
    network: HyenaGLT,
    reference: Reference,
    variants: Iterable[Variant],
    *,
    window_bp: int = WINDOW_BP,
    both_strands: bool | None = None,
    batch_bp: int = BATCH_BP,
    on_bad: OnBad | None = None,
) -> Iterator[tuple[Variant, tuple[Effect, ...]]]:
    """Yield each variant with the effect of each of its ALTs, in order, as they are scored.

    A window has (window_bp - len(REF)) // 2 bases on either side of REF, so that both strands see
    the same, cut at the ends of a linear contig. ``both_strands`` is the mean over the window and
    its reverse complement; None asks for it where the network's ``rc`` is ``average``. Memory is
    that of one batch. An allele without a score has the reason (a key of ``NOT_SCORED`` or
    ``BAD_RECORD``). Which base of a repeat an indel removes or adds is a matter of notation, and
    the shared bases depend on it: the last of the repeat, as the strand reads.

    Raises SequenceError for a protein model, and ValueError for a window or a batch of no base, at
    once; SequenceFileError, naming the record, where REF isn't the genome's, the genome has no such
    contig, or the record runs past it. With ``on_bad`` such a record isn't raised but handed over
    as ``on_bad(variant, reason, message)`` when it is taken from ``variants``.
    """
    if network.alphabet.modality == "protein":
        raise SequenceError(
            "found a protein model, expected one of DNA or RNA: a variant's alleles are bases of a "
            "genome"
        )
    if window_bp < 1 or batch_bp < 1:
        raise ValueError(f"window_bp={window_bp}, batch_bp={batch_bp}: expected at least 1")
    if network.direction == "bidirectional" and window_bp > TWO_SIDED_BP:
        raise SequenceError(
            f"window_bp={window_bp:,}: a bidirectional model reads a window whole, and at most "
            f"{TWO_SIDED_BP:,} bp of it; use a shorter window"
        )
    sites = group_sites(reference, variants, window_bp, on_bad)
    return _effects(network, sites, read_both_strands(network, both_strands), batch_bp)


def score_variants_reference(
    network: HyenaGLT,
    reference: Reference,
    variants: Iterable[Variant],
    *,
    window_bp: int = WINDOW_BP,
    both_strands: bool = False,
) -> Iterator[tuple[Variant, tuple[Effect, ...]]]:
    """As :func:`score_variants` of a causal network, by reading both windows of each ALT whole."""
    for site in group_sites(reference, variants, window_bp, None):
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
    network: HyenaGLT, sites: Iterable[Site], both_strands: bool, batch_bp: int
) -> Iterator[tuple[Variant, tuple[Effect, ...]]]:
    for batch in _batches(sites, batch_bp):
        readable = [site for site in batch if site.alleles]
        if network.direction == "bidirectional":
            found = iter(_masked(network, readable, both_strands))
        else:
            found = iter(_forked(network, readable, both_strands, batch_bp))
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


def _batches(sites: Iterable[Site], batch_bp: int) -> Iterator[list[Site]]:
    """Sites in order whose rows, padded to the longest, hold ``batch_bp`` positions or fewer."""
    batch: list[Site] = []
    rows = longest_bp = 0
    for site in sites:
        rows += site.rows
        longest_bp = max(longest_bp, site.longest_bp)
        if batch and (rows * longest_bp > batch_bp or len(batch) == _MOST_SITES):
            yield batch
            batch, rows, longest_bp = [], site.rows, site.longest_bp
        batch.append(site)
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
    network: HyenaGLT, sites: list[Site], both_strands: bool, batch_bp: int
) -> list[dict[str, Effect]]:
    """Effects from the state after the left flank; on the other strand, after the right one."""
    if not sites:
        return []
    strands = [
        _strand(network, sites, turned, batch_bp)
        for turned in ((False, True) if both_strands else (False,))
    ]
    found = []
    for site, *answers in zip(sites, *strands, strict=True):
        flanks_bp = len(site.window.left) + len(site.window.right)
        found.append(
            {
                alt: Effect(float(dll), float(flank), flanks_bp + len(alt), None)
                for alt, (dll, flank) in zip(site.alleles, np.mean(answers, axis=0), strict=True)
            }
        )
    return found


def _strand(
    network: HyenaGLT, sites: Sequence[Site], turned: bool, batch_bp: int
) -> list[list[tuple[float, float]]]:
    """(difference over all bases, over the shared ones) of each ALT of each site, one strand."""
    trunks: list[Ids] = []
    branches: list[Ids] = []
    trunk_of: list[int] = []
    for number, site in enumerate(sites):
        before, after = site.window.left, site.window.right
        rows = [encode(allele + after) for allele in (site.window.ref, *site.alleles)]
        trunk = encode(before)
        if turned:
            turn = network.alphabet.reverse_complement
            trunk = turn(encode(after))
            rows = [turn(encode(before + allele)) for allele in (site.window.ref, *site.alleles)]
        trunks.append(trunk)
        branches += rows
        trunk_of += [number] * len(rows)
    nats = iter(branch_logliks_nats(network, trunks, branches, trunk_of, batch_bp))
    found = []
    for site in sites:
        ref, ref_nats = site.window.ref, next(nats)
        differences = []
        for alt in site.alleles:
            # As this strand reads, so that a repeat is trimmed alike on both.
            first, last = trimmed(ref[::-1], alt[::-1]) if turned else trimmed(ref, alt)
            alt_nats = next(nats)
            dll = float(alt_nats.sum() - ref_nats.sum())
            own = alt_nats[first : len(alt) - last].sum() - ref_nats[first : len(ref) - last].sum()
            differences.append((dll, dll - float(own)))
        found.append(differences)
    return found
