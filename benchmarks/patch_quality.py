"""Whether patches are what they are meant to be, on sequence that no calibration has seen.

    python benchmarks/patch_quality.py

Prints JSON, which ``--out`` keeps; exits 1 if a limit is missed, and names each that is; means that
are held to no limit stand apart, with the reason. Entropy table and numbers come from training
regions: the first 80 % of E. coli, and 40 Mb of human chr20 where that is at hand
($HYENA_GLT_DATA, or ../shared/data). Patches are measured on the last 10 %, and on a megabase
beside. A missing base is judged alone, in a window of its own that is read twice. The last part
times patching against a step of training that it is part of; runs alternate, medians are compared.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from measuring.kept import add_out, show
from measuring.machine import here

from hyena_glt.calibrate import Sample, prepare
from hyena_glt.calibrate.sample import emissions_of
from hyena_glt.config import Recipe, load_recipe
from hyena_glt.data import Source, collate, open_sources, training_windows, whole_rows_of
from hyena_glt.interpret.patch_map import map_contig
from hyena_glt.interpret.summary import Agreement, Lengths
from hyena_glt.model import HyenaGLT
from hyena_glt.objective import base_loss
from hyena_glt.patch import BudgetPatcher, anchor_words
from hyena_glt.patch.words import letters_of
from hyena_glt.tokenize import PAD, alphabet
from hyena_glt.train.optimiser import build_optimisers

ROOT = Path(__file__).parents[1]
MEAN_BP = 6.0
ENTROPY = "model.entropy={kind: kmer, k: 10}"
CALIBRATED = ("budget", "entropy", "entropy_jump")
KINDS = {
    **{kind: f"{{kind: {kind}, mean_bp: {MEAN_BP}}}" for kind in CALIBRATED},
    "syncmer": "{kind: syncmer}",
    "fixed": f"{{kind: fixed, size_bp: {MEAN_BP:g}}}",
}
HUMAN_FILE = "human_chr20_grch37/chr20_1-50000000.fa.gz"
HUMAN_SPLIT = (
    "{by: region, validation: ['20:40000000-42000000'], heldout: ['20:42010000-50000000'], "
    "guard_bp: 10_000}"
)
HUMAN_MEASURED = (41_000_000, 42_000_000)

STREAMED_BP = 1_000_000
PIECES = 200
SITES = 50
BEFORE_BP = 2_048  # of a window with a deletion
BINS_BP = (50, 200, 1_000, 4_000)  # behind the missing base; each ends with its last
RUNS = 7

LEAST_SHARE_4_TO_12 = 0.95
MOST_MEAN_OFF = 0.02
MEAN_HELD = {"ecoli": CALIBRATED, "human": ("budget",)}
WHY_MEANS_ARE_NOT_HELD = (
    "a threshold in bits holds for sequence like that which it was found on, and closes more often "
    "where sequence is harder to foresee; a chromosome changes along its length"
)
MOST_OVER_MEAN = {"ecoli": 1.1, "human": 1.3}
MOST_STEP_SHARE = 0.03

Letters = UInt8[np.ndarray, " L"]


def recipe_of(kind: str, *overrides: str) -> Recipe:
    """Return the demo's recipe with patches of ``kind``."""
    entropy = [ENTROPY] if kind in CALIBRATED else []
    patch = f"model.stages.0.patch={KINDS[kind]}"
    return load_recipe(ROOT / "recipes" / "demo.yaml", [patch, *entropy, *overrides])


def network_of(kind: str, recipe: Recipe, sources: Sequence[Source]) -> HyenaGLT:
    """Return a network whose patches are calibrated on the training regions; weights are random."""
    prepared = prepare(recipe, sources)
    torch.manual_seed(0)
    network = HyenaGLT(prepared.recipe.model, "dna").eval()
    prepared.fill(network)
    return network


@torch.no_grad()
def closes_of_rows(
    network: HyenaGLT, rows: list[Letters]
) -> tuple[Bool[np.ndarray, "B L"], Int64[np.ndarray, " B"]]:
    """Return (where patches of each row close, BOS first; closes that a cap has merged)."""
    ids, length = whole_rows_of(rows)
    entropy = None if network.entropy is None else network.entropy_of(ids)
    (emission,) = emissions_of(network.patchers, Sample(ids, length, entropy, None))
    return emission.mask.numpy(), emission.overflow.numpy()


@torch.no_grad()
def closes_in_pieces(network: HyenaGLT, bases: Letters) -> Bool[np.ndarray, " L"]:
    """Return the same of one row that is read in random pieces with carried state."""
    ids, length = whole_rows_of([bases])
    past_bp = 0 if network.entropy is None else network.entropy.past_bp
    seen = torch.nn.functional.pad(ids, (past_bp, 0), value=PAD)
    (patcher,) = network.patchers
    state, masks = patcher.begin(1, ids.device), []
    cuts = np.random.default_rng(0).choice(np.arange(1, int(length)), PIECES - 1, replace=False)
    bounds = [0, *sorted(cuts.tolist()), int(length)]
    for start, end in pairwise(bounds):
        score = None
        if network.entropy is not None:
            score = network.entropy(seen[:, start : end + past_bp])
        emission, state = patcher.emit(
            ids[:, start:end], torch.tensor([end - start]), state, None, score
        )
        masks.append(emission.mask[0].numpy())
    return np.concatenate(masks)


def windows_of(bases: Letters) -> list[Letters]:
    """Return windows, evenly apart, to take a base out of; none that holds anything but ACGT."""
    span_bp = BEFORE_BP + BINS_BP[-1] + 1
    starts = np.linspace(0, len(bases) - span_bp, SITES).astype(np.int64)
    windows = [bases[start : start + span_bp] for start in starts]
    return [window for window in windows if (alphabet("dna").letter_index(window) >= 0).all()]


def behind_a_deletion(network: HyenaGLT, bases: Letters) -> dict[str, Any]:
    """Return how boundaries agree behind a missing base, and how soon they do.

    Windows in which a block overflowed are counted and left out.
    """
    windows = windows_of(bases)
    whole, merged = closes_of_rows(network, windows)
    cut, merged_cut = closes_of_rows(network, [np.delete(w, BEFORE_BP) for w in windows])
    within_cap = merged + merged_cut == 0
    bins = [Agreement() for _ in BINS_BP[1:]]
    last_off = []
    for one, other in zip(whole[within_cap], cut[within_cap], strict=True):
        # Base i stands at position i + 1, and at i in the row that lacks a base before it.
        before = np.flatnonzero(one[BEFORE_BP + 1 :])
        after = np.flatnonzero(other[BEFORE_BP:])
        for agreement, (start, end) in zip(bins, pairwise(BINS_BP), strict=True):
            agreement.add(
                before[(before > start) & (before <= end)], after[(after > start) & (after <= end)]
            )
        last_off.append(int(np.setxor1d(before, after, assume_unique=True).max(initial=0)))
    return {
        "sites": len(last_off),
        "sites_with_overflow": len(windows) - len(last_off),
        "agreement": {
            f"{start}_to_{end}_bp": agreement.jaccard
            for agreement, (start, end) in zip(bins, pairwise(BINS_BP), strict=True)
        },
        "last_difference_bp": {
            "median": statistics.median(last_off),
            "most": max(last_off),
            "sites_beyond_1000": sum(off > BINS_BP[-2] for off in last_off),
        },
    }


def anchor_gaps(patcher: BudgetPatcher, bases: Letters) -> dict[str, int]:
    """Return how far the words lie apart at which patches fall back into step."""
    letters = letters_of(patcher.letters, torch.from_numpy(bases.astype(np.int64))[None])
    words = anchor_words(letters, patcher.anchor_k, patcher.anchor_every, patcher.base)
    gaps = np.diff(np.flatnonzero(words[0].numpy()))
    return {
        "mean_bp": round(float(gaps.mean())),
        "p99_bp": int(np.quantile(gaps, 0.99)),
        "most_bp": int(gaps.max()),
        "beyond_1000_bp": int((gaps > BINS_BP[-2]).sum()),
    }


def measure(network: HyenaGLT, measured: Letters, streamed: Letters) -> dict[str, Any]:
    """Return the figures of one rule on one genome."""
    lengths = Lengths()
    (found,) = map_contig(network, "measured", measured, surprisal=False)
    lengths.add(found)
    summary = lengths.as_dict()
    whole, _ = closes_of_rows(network, [streamed])
    figures = {
        "mean_bp": summary["mean_bp"],
        "mean_over_wanted": summary["mean_bp"] / MEAN_BP,
        "share_4_to_12_bp": summary["share_4_to_12_bp"],
        "length_quantiles_bp": summary["length_quantiles_bp"],
        "busiest_window_over_mean": summary["windows"]["most_over_mean"],
        "overflow": summary["overflow"],
        "pieces_equal_whole": bool(np.array_equal(whole[0], closes_in_pieces(network, streamed))),
        "deletion": behind_a_deletion(network, measured),
    }
    (patcher,) = network.patchers
    if isinstance(patcher, BudgetPatcher):
        figures["anchor_gaps"] = anchor_gaps(patcher, measured)
    return figures


def of_ecoli(cache: Path) -> dict[str, Any]:
    """Return the figures of every kind on the last 10 % of E. coli."""
    figures = {}
    for kind in KINDS:
        recipe = recipe_of(kind)
        sources = open_sources(recipe, cache)
        (source,) = sources
        (region,) = source.split.heldout
        bases = source.genome.fetch_bytes(region.contig, region.start, region.end)
        start = region.end - STREAMED_BP
        streamed = source.genome.fetch_bytes(region.contig, start, region.end)
        figures[kind] = measure(network_of(kind, recipe, sources), bases, streamed)
    return figures


def of_human(cache: Path) -> dict[str, Any] | str:
    """Return the same of a megabase of chr20, or why there is none."""
    folder = Path(os.environ.get("HYENA_GLT_DATA", ROOT.parent / "shared" / "data"))
    file = folder / HUMAN_FILE
    if not file.is_file():
        return f"skipped: needs {HUMAN_FILE}; name the folder that holds it in HYENA_GLT_DATA"
    figures = {}
    for kind in KINDS:
        recipe = recipe_of(kind, f"data={{genome: {file}, window_bp: 1024, split: {HUMAN_SPLIT}}}")
        sources = open_sources(recipe, cache)
        bases = sources[0].genome.fetch_bytes("20", *HUMAN_MEASURED)
        figures[kind] = measure(network_of(kind, recipe, sources), bases, bases)
    return figures


def share_of_a_step(cache: Path) -> dict[str, float]:
    """Return the seconds of a training step of the demo with budget patches, and of patching."""
    recipe = recipe_of("budget")
    sources = open_sources(recipe, cache)
    network = network_of("budget", recipe, sources).train()
    windows = training_windows(sources, recipe, recipe.train.batch_windows)
    (batch,) = collate([windows[i] for i in range(recipe.train.batch_windows)]).values()
    optimisers = build_optimisers(network, recipe.train)
    (patcher,) = network.patchers

    def step() -> None:
        output = network(batch.ids, batch.length)
        loss = base_loss(output.logits, batch.target, batch.weight)
        torch.autograd.backward(loss.nll_nats / loss.weight)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()

    def patch() -> None:
        state = patcher.begin(len(batch.ids), batch.ids.device)
        patcher.emit(batch.ids, batch.length, state, None, network.entropy_of(batch.ids))

    seconds: dict[str, list[float]] = {"step_s": [], "patching_s": []}
    step()
    for _ in range(RUNS):
        for name, run, times in (("step_s", step, 1), ("patching_s", patch, 5)):
            for _ in range(times):
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    return {**medians, "share": medians["patching_s"] / medians["step_s"]}


def missed_limits(report: Mapping[str, Any]) -> list[str]:
    """Return each limit that is missed, by name, with what was found."""
    checks: list[tuple[str, float, bool]] = []
    for genome, most_over_mean in MOST_OVER_MEAN.items():
        if isinstance(report[genome], str):
            continue
        for kind, figures in report[genome].items():
            name = f"{genome}.{kind}"
            equal = figures["pieces_equal_whole"]
            checks.append((f"{name}.pieces_equal_whole", equal, equal))
            if kind in MEAN_HELD[genome]:
                off = abs(figures["mean_over_wanted"] - 1)
                checks.append((f"{name}.mean_over_wanted", off, off <= MOST_MEAN_OFF))
        budget = report[genome]["budget"]
        share = budget["share_4_to_12_bp"]
        if genome == "ecoli":
            checks.append(
                (f"{genome}.budget.share_4_to_12_bp", share, share >= LEAST_SHARE_4_TO_12)
            )
        busiest = budget["busiest_window_over_mean"]
        checks.append(
            (f"{genome}.budget.busiest_window_over_mean", busiest, busiest <= most_over_mean)
        )
        far = budget["deletion"]["agreement"][f"{BINS_BP[-2]}_to_{BINS_BP[-1]}_bp"]
        checks.append((f"{genome}.budget.agreement_behind_1000_bp", far, far == 1))
    step_share = report["training_step"]["share"]
    checks.append(("training_step.share", step_share, step_share <= MOST_STEP_SHARE))
    return [f"{name}: {found}" for name, found, fine in checks if not fine]


def means_without_limit(report: Mapping[str, Any]) -> dict[str, float]:
    """Return how far means are from those that rules were calibrated to, where none is held."""
    return {
        f"{genome}.{kind}.mean_over_wanted": report[genome][kind]["mean_over_wanted"]
        for genome, held in MEAN_HELD.items()
        for kind in CALIBRATED
        if kind not in held and not isinstance(report[genome], str)
    }


def rounded(value: Any) -> Any:
    """Return ``value`` with its floats to six digits."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value


def main() -> int:
    """Print the report; 1 if a limit is missed, else 0."""
    parser = argparse.ArgumentParser(description="Are patches what they are meant to be?")
    add_out(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        report: dict[str, Any] = {
            "machine": here(),
            "threads": 1,
            "wanted_mean_bp": MEAN_BP,
            "ecoli": of_ecoli(Path(folder)),
            "human": of_human(Path(folder)),
            "training_step": share_of_a_step(Path(folder)),
        }
    missed = missed_limits(report)
    limits = {
        "ecoli.budget.share_4_to_12_bp": LEAST_SHARE_4_TO_12,
        "mean_over_wanted": {
            genome: f"1 +- {MOST_MEAN_OFF}: {', '.join(held)}" for genome, held in MEAN_HELD.items()
        },
        "busiest_window_over_mean": MOST_OVER_MEAN,
        "budget.agreement_behind_1000_bp": 1,
        "training_step.share": MOST_STEP_SHARE,
    }
    without_limit = {**means_without_limit(report), "why": WHY_MEANS_ARE_NOT_HELD}
    report |= {"limits": limits, "without_limit": without_limit}
    report |= {"missed": missed, "passed": not missed}
    show(rounded(report), arguments.out)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
