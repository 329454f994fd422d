"""How fast a megabase is cut into patches, on one core, against the limit of 5 Mb/s.

Prints JSON, which ``--out`` keeps; exits 1 if anything is slower. Each rule takes 1 Mb of E. coli
whole, and in pieces with carried state; least and longest patch bind. What reads entropies is timed
with the k-mer table that gives them. Runs alternate, so that a slow spell of the machine falls on
all of them alike, and medians are reported. Both forms are first compared with each other, and the
start of the sequence with the plain loops.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int
from measuring.kept import add_out, show
from torch import Tensor

from hyena_glt.config import (
    BudgetPatchConfig,
    EntropyPatchConfig,
    FixedPatchConfig,
    KmerEntropyConfig,
    PatchConfig,
    SyncmerPatchConfig,
)
from hyena_glt.data import open_genome
from hyena_glt.model.entropy import EntropyModel, build_entropy
from hyena_glt.patch import (
    UNIT,
    BudgetPatcher,
    DynamicPatcher,
    EntropyPatcher,
    Limits,
    Patcher,
    SyncmerPatcher,
    anchor_words_reference,
    budget_reference,
    build_patcher,
    closed_syncmers_reference,
    limit_patches_reference,
)
from hyena_glt.tokenize import BOS, PAD, alphabet

LENGTH_BP = 1_000_000
PIECE = 65_536
LIMIT_MB_PER_S = 5
RUNS = 7
SAMPLE = 5_000
MEAN_BP = 6
CPU = torch.device("cpu")


def sequences() -> tuple[Int[Tensor, "1 L"], np.ndarray]:
    """Return (BOS and a megabase, the next megabase)."""
    with tempfile.TemporaryDirectory() as cache:
        genome, _ = open_genome("builtin:ecoli_dh1", alphabet("dna"), Path(cache))
        bases = genome.fetch_bytes(genome.names[0], 0, 2 * LENGTH_BP)
    row = np.concatenate([[BOS], bases[:LENGTH_BP]]).astype(np.int64)
    return torch.from_numpy(row)[None], bases[LENGTH_BP:]


def rules(entropy: Int[Tensor, "1 L"]) -> dict[str, Patcher]:
    """Return the rules, near a mean patch of 6 where a number sets it."""
    threshold_bits = float(entropy.double().quantile(1 - 1 / MEAN_BP)) / UNIT
    budget_bits = MEAN_BP * float(entropy.double().mean()) / UNIT
    configs: dict[str, PatchConfig] = {
        "fixed": FixedPatchConfig(kind="fixed", size_bp=MEAN_BP),
        "syncmer": SyncmerPatchConfig(kind="syncmer"),
        "entropy": EntropyPatchConfig(kind="entropy", threshold_bits=threshold_bits),
        "budget": BudgetPatchConfig(kind="budget", budget_bits=budget_bits),
    }
    return {kind: build_patcher(config, "dna") for kind, config in configs.items()}


def closes(
    patcher: Patcher, model: EntropyModel, ids: Int[Tensor, "1 L"], piece: int
) -> Bool[Tensor, "1 L"]:
    """Return where patches close, read in pieces."""
    seen = torch.cat([torch.full((1, model.past_bp), PAD), ids], 1)
    state, masks = patcher.begin(1, CPU), []
    for start in range(0, ids.shape[1], piece):
        part = ids[:, start : start + piece]
        score = None
        if patcher.reads == "entropy":
            score = model(seen[:, start : start + part.shape[1] + model.past_bp])
        length = torch.tensor([part.shape[1]])
        emission, state = patcher.emit(part, length, state, None, score)
        masks.append(emission.mask)
    return torch.cat(masks, 1)


def expected_closes(
    patcher: Patcher, ids: Int[Tensor, "1 L"], entropy: Int[Tensor, "1 L"]
) -> Bool[Tensor, "1 L"]:
    """Return the same by loops over the bases."""
    position = torch.arange(ids.shape[1])[None]
    if not isinstance(patcher, DynamicPatcher):
        return (position % patcher.max_bp == 0) | (position == 0)
    letters = torch.nn.functional.pad(ids, (patcher.past_bp, 0))
    index = torch.from_numpy(alphabet("dna").letter_index(letters.numpy().astype(np.uint8)))
    anchors = None
    if isinstance(patcher, SyncmerPatcher):
        candidates = closed_syncmers_reference(index, patcher.k, patcher.s)
    elif isinstance(patcher, BudgetPatcher):
        assert patcher.budget_bits is not None
        words = anchor_words_reference(index, patcher.anchor_k, patcher.anchor_every, 4)[0]
        budget = round(patcher.budget_bits * UNIT)
        candidates, anchors = (
            mask[None]
            for mask in budget_reference(words, entropy[0], budget, patcher.anchor_gap_bp)
        )
    else:
        assert isinstance(patcher, EntropyPatcher)
        assert patcher.threshold_bits is not None
        candidates = entropy > round(patcher.threshold_bits * UNIT)
    limits = Limits(patcher.min_bp, patcher.max_bp, None)
    length = torch.tensor([ids.shape[1]])
    return limit_patches_reference(candidates, length, patcher.begin(1, CPU), limits, anchors)[0]


def main() -> int:
    """Print the report; 1 if a speed is below the limit, else 0."""
    parser = argparse.ArgumentParser(description="How fast patches are cut.")
    add_out(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ids, training = sequences()
    model = build_entropy(KmerEntropyConfig(kind="kmer", k=10), alphabet("dna"))
    model.fit([training])
    entropy = model(torch.cat([torch.full((1, model.past_bp), PAD), ids], 1))
    patchers = rules(entropy)
    mean_bp = {}
    for kind, patcher in patchers.items():
        whole = closes(patcher, model, ids, ids.shape[1])
        expected = expected_closes(patcher, ids[:, :SAMPLE], entropy[:, :SAMPLE])
        assert torch.equal(whole, closes(patcher, model, ids, PIECE)), f"{kind}: pieces differ"
        assert torch.equal(whole[:, :SAMPLE], expected), f"{kind} differs from the plain loop"
        mean_bp[kind] = round(LENGTH_BP / int(whole.sum()), 2)
    pieces = {"whole": ids.shape[1], "pieces": PIECE}
    seconds: dict[str, dict[str, list[float]]] = {
        kind: {form: [] for form in pieces} for kind in patchers
    }
    for _ in range(RUNS):
        for kind, patcher in patchers.items():
            for form, piece in pieces.items():
                start = time.perf_counter()
                closes(patcher, model, ids, piece)
                seconds[kind][form].append(time.perf_counter() - start)
    mb_per_s = {
        kind: {
            form: round(LENGTH_BP / 1e6 / statistics.median(times), 1)
            for form, times in forms.items()
        }
        for kind, forms in seconds.items()
    }
    passed = min(min(forms.values()) for forms in mb_per_s.values()) >= LIMIT_MB_PER_S
    report = {
        "length_bp": LENGTH_BP,
        "piece_bp": PIECE,
        "runs": RUNS,
        "mean_bp": mean_bp,
        "median_mb_per_s": mb_per_s,
        "limit_mb_per_s": LIMIT_MB_PER_S,
        "passed": passed,
    }
    show(report, arguments.out)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
