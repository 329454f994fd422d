"""Effects under a bidirectional network: what it says of the changed bases with these masked."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64

from hyena_glt.data import whole_rows_of
from hyena_glt.model import HyenaGLT
from hyena_glt.score.branches import log_probabilities
from hyena_glt.score.sites import Site, trimmed
from hyena_glt.tokenize import MASK, encode

Span = tuple[int, int]  # bases of REF left unmasked at its left and right end


def masked_effects_nats(
    network: HyenaGLT, sites: Sequence[Site], both_strands: bool
) -> list[dict[str, tuple[float, int]]]:
    """Return each site's ``{ALT: (effect in nats, masked bases)}`` of the ALTs as long as REF.

    One two-sided pass with MASK at the bases that change serves all ALTs that change the same
    ones: effect = sum over them of ln p(ALT's base) - ln p(REF's base).
    """
    substitutions = [
        [alt for alt in site.alleles if len(alt) == len(site.window.ref)] for site in sites
    ]
    spans = [
        (number, span)
        for number, (site, alts) in enumerate(zip(sites, substitutions, strict=True))
        for span in dict.fromkeys(trimmed(site.window.ref, alt) for alt in alts)
    ]
    answers = dict(zip(spans, _read(network, sites, spans, False), strict=True))
    if both_strands:
        turned = _read(network, sites, spans, True)
        # Both are of the strand given, so that the mean is over like bases and letters.
        answers = {
            key: (answers[key] + other) / 2 for key, other in zip(spans, turned, strict=True)
        }
    found = []
    for number, (site, alts) in enumerate(zip(sites, substitutions, strict=True)):
        effects = {}
        for alt in alts:
            left, right = trimmed(site.window.ref, alt)
            nats = answers[number, (left, right)]
            place = np.arange(len(nats))
            changed = slice(left, len(alt) - right)
            old, new = (
                network.alphabet.letter_index(encode(letters[changed]))
                for letters in (site.window.ref, alt)
            )
            effects[alt] = (float((nats[place, new] - nats[place, old]).sum()), len(nats))
        found.append(effects)
    return found


@torch.no_grad()
def _read(
    network: HyenaGLT, sites: Sequence[Site], spans: Sequence[tuple[int, Span]], turned: bool
) -> list[Float64[np.ndarray, "M V"]]:
    """Return ln p of every letter at every masked base, on the strand given, whichever was read."""
    if not spans:
        return []
    windows, masked = [], []
    for number, (left, right) in spans:
        window = sites[number].window
        row = encode(window.with_allele(window.ref))
        start, end = len(window.left) + left, len(window.left) + len(window.ref) - right
        row[start:end] = MASK
        if turned:
            row = network.alphabet.reverse_complement(row)
            start, end = len(row) - end, len(row) - start
        windows.append(row)
        masked.append(slice(start, end))
    device = next(network.parameters()).device
    ids, length = whole_rows_of(windows)
    logits = network(ids.to(device), length.to(device), two_sided=True).logits[:, 1:]
    letters = encode(network.alphabet.letters)
    partner = network.alphabet.letter_index(network.alphabet.complement(letters))
    answers = []
    for row, span in zip(logits, masked, strict=True):
        nats = log_probabilities(row[span]).cpu().double().numpy()
        answers.append(nats[::-1][:, partner] if turned else nats)
    return answers
