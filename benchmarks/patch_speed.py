"""How fast a megabase is cut into patches, on one core, against the limit of 5 Mb/s.

Prints JSON, which ``--out`` keeps; exits 1 if anything is slower. Each rule takes 1 Mb of E. coli
whole, and in pieces with carried state; least and longest patch bind. Two rules have a cap besides
that has room for all closes. One whose cap merges some in most blocks is reported, without a limit.
What reads entropies is timed with the k-mer table that gives them. Runs alternate, so that a slow
spell of the machine falls on all of them alike, and medians are reported. Both forms are first
compared with each other, and the start of the sequence with the plain loops.
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
from measuring.machine import here
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
ROOMY_CAP = 256  # of a block of 1,024 bases, which closes 171 in the mean
TIGHT_CAP = 170
TIGHT = f"budget, cap {TIGHT_CAP}"
CPU = torch.device("cpu")


def sequences() -> tuple[Int[Tensor, "1 L"], np.ndarray]:
    """Return (BOS and a megabase, the next megabase)."""
    with tempfile.TemporaryDirectory() as cache:
        genome, _ = open_genome("builtin:ecoli_dh1", alphabet("dna"), Path(cache))
        bases = genome.fetch_bytes(genome.names[0], 0, 2 * LENGTH_BP)
    row = np.concatenate([[BOS], bases[:LENGTH_BP]]).astype(np.int64)
    return torch.from_numpy(row)[None], bases[LENGTH_BP:]


def rules(entropy: Int[Tensor, "1 L"]) -> dict[str, Patcher]:
    """Return the rules, near a mean patch of 6 where a number sets it, without a cap and with one.

    What they are called begins with their kind.
    """
    threshold_bits = float(entropy.double().quantile(1 - 1 / MEAN_BP)) / UNIT
    budget_bits = MEAN_BP * float(entropy.double().mean()) / UNIT
    entropy_rule = EntropyPatchConfig(kind="entropy", threshold_bits=threshold_bits)
    budget_rule = BudgetPatchConfig(kind="budget", budget_bits=budget_bits)
    roomy = {"cap": ROOMY_CAP}
    configs: dict[str, PatchConfig] = {
        "fixed": FixedPatchConfig(kind="fixed", size_bp=MEAN_BP),
        "syncmer": SyncmerPatchConfig(kind="syncmer"),
        "entropy": entropy_rule,
        "budget": budget_rule,
        f"entropy, cap {ROOMY_CAP}": entropy_rule.model_copy(update=roomy),
        f"budget, cap {ROOMY_CAP}": budget_rule.model_copy(update=roomy),
        TIGHT: budget_rule.model_copy(update={"cap": TIGHT_CAP}),
    }
    return {kind: build_patcher(config, "dna") for kind, config in configs.items()}


def closes(
    patcher: Patcher, model: EntropyModel, ids: Int[Tensor, "1 L"], piece: int
) -> tuple[Bool[Tensor, "1 L"], int]:
    """Return (where patches close, closes that the cap has merged), read in pieces."""
    seen = torch.cat([torch.full((1, model.past_bp), PAD), ids], 1)
    state, masks, merged = patcher.begin(1, CPU), [], 0
    for start in range(0, ids.shape[1], piece):
        part = ids[:, start : start + piece]
        score = None
        if patcher.reads == "entropy":
            score = model(seen[:, start : start + part.shape[1] + model.past_bp])
        length = torch.tensor([part.shape[1]])
        emission, state = patcher.emit(part, length, state, None, score)
        masks.append(emission.mask)
        merged += int(emission.overflow)
    return torch.cat(masks, 1), merged


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
    limits = Limits(patcher.min_bp, patcher.max_bp, patcher.cap)
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
    mean_bp, merged = {}, {}
    for name, patcher in patchers.items():
        whole, merged[name] = closes(patcher, model, ids, ids.shape[1])
        expected = expected_closes(patcher, ids[:, :SAMPLE], entropy[:, :SAMPLE])
        mask, merged_in_pieces = closes(patcher, model, ids, PIECE)
        assert torch.equal(whole, mask), f"{name}: pieces differ"
        assert merged[name] == merged_in_pieces, f"{name}: merged in pieces differ"
        assert torch.equal(whole[:, :SAMPLE], expected), f"{name} differs from the plain loop"
        assert (merged[name] > 0) == (name == TIGHT), f"{name}: its cap merges {merged[name]}"
        mean_bp[name] = round(LENGTH_BP / int(whole.sum()), 2)
    pieces = {"whole": ids.shape[1], "pieces": PIECE}
    seconds: dict[str, dict[str, list[float]]] = {
        name: {form: [] for form in pieces} for name in patchers
    }
    for _ in range(RUNS):
        for name, patcher in patchers.items():
            for form, piece in pieces.items():
                start = time.perf_counter()
                closes(patcher, model, ids, piece)
                seconds[name][form].append(time.perf_counter() - start)
    mb_per_s = {
        name: {
            form: round(LENGTH_BP / 1e6 / statistics.median(times), 1)
            for form, times in forms.items()
        }
        for name, forms in seconds.items()
    }
    without_limit = {TIGHT: mb_per_s.pop(TIGHT)}
    passed = min(min(forms.values()) for forms in mb_per_s.values()) >= LIMIT_MB_PER_S
    report = {
        "machine": here(),
        "threads": 1,
        "length_bp": LENGTH_BP,
        "piece_bp": PIECE,
        "runs": RUNS,
        "mean_bp": mean_bp,
        "closes_merged_by_the_cap": merged,
        "median_mb_per_s": mb_per_s,
        "limit_mb_per_s": LIMIT_MB_PER_S,
        "median_mb_per_s_without_limit": without_limit,
        "passed": passed,
    }
    show(report, arguments.out)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
