"""SNVs scored a second: the shared left flank against two explicit windows a variant.

    python benchmarks/variant_speed.py [CHECKPOINT] [--snvs 500]

Prints JSON. Both forms alternate within one process, on parts of the same SNVs, and medians are
compared, after a check that both give the same effects. The demo's checkpoint is the default; where
there is none, an untrained network of the demo's recipe computes the same amount. One strand,
windows of 1,500 bp, two threads.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median

import numpy as np

ROUNDS = 5
WINDOW_BP = 1500
THREADS = 2
TARGET_SNVS = 10_000
TARGET_MINUTES = 6
# Relative to the log-likelihood of a window, about 1.3 nats a base.
MOST_DIFFERENCE_NATS = 1e-6 * 1.3 * WINDOW_BP

# Read when PyTorch is loaded, as the command line does.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch  # noqa: E402

from hyena_glt.api import load  # noqa: E402
from hyena_glt.config import load_recipe  # noqa: E402
from hyena_glt.demo.run import demo_recipe_path  # noqa: E402
from hyena_glt.io import Record, Reference, Variant, write_fasta  # noqa: E402
from hyena_glt.model import HyenaGLT  # noqa: E402
from hyena_glt.score import Effect, score_variants, score_variants_reference  # noqa: E402

Scored = Iterable[tuple[Variant, tuple[Effect, ...]]]


def network_at(checkpoint: Path) -> tuple[HyenaGLT, str]:
    """Return the checkpoint's network, or an untrained one of the demo's recipe, and what it is."""
    if checkpoint.exists():
        return load(checkpoint).network, str(checkpoint)
    recipe = load_recipe(demo_recipe_path())
    torch.manual_seed(0)
    network = HyenaGLT(recipe.model, recipe.modality).eval()
    torch.nn.init.normal_(network.head.out.weight)
    return network, "untrained network of the demo's recipe"


def random_snvs(reference: Reference, count: int) -> Iterator[Variant]:
    """Yield SNVs at random positions of the first contig, sorted."""
    contig = reference.names[0]
    rng = np.random.default_rng(0)
    for position in sorted(rng.choice(reference.length_bp(contig), count, replace=False).tolist()):
        ref = reference.fetch(contig, position, position + 1)
        yield Variant(contig, position, ref, (str(rng.choice([b for b in "ACGT" if b != ref])),))


def effects_nats(scored: Scored) -> np.ndarray:
    """Return the effect of every ALT."""
    return np.array([effect.dll_nats for _, effects in scored for effect in effects])


def compare(network: HyenaGLT, reference: Reference, snvs: list[Variant]) -> dict[str, float]:
    """Return medians of alternating runs, in SNVs a second, and the largest difference."""

    def fast(part: list[Variant]) -> Scored:
        return score_variants(network, reference, part, window_bp=WINDOW_BP, both_strands=False)

    def explicit(part: list[Variant]) -> Scored:
        return score_variants_reference(network, reference, part, window_bp=WINDOW_BP)

    forms: dict[str, Callable[[list[Variant]], Scored]] = {"fast": fast, "explicit": explicit}
    rates: dict[str, list[float]] = {name: [] for name in forms}
    difference = 0.0
    for part in (snvs[start::ROUNDS] for start in range(ROUNDS)):
        found = []
        for name, form in forms.items():
            start_s = time.perf_counter()
            found.append(effects_nats(form(part)))
            rates[name].append(len(part) / (time.perf_counter() - start_s))
        difference = max(difference, float(np.abs(found[0] - found[1]).max()))
    assert difference < MOST_DIFFERENCE_NATS, f"both forms disagree by {difference} nats"
    fast_rate, explicit_rate = median(rates["fast"]), median(rates["explicit"])
    return {
        "snvs_per_second": round(fast_rate, 2),
        "explicit_snvs_per_second": round(explicit_rate, 2),
        "ratio": round(fast_rate / explicit_rate, 2),
        "largest_difference_nats": difference,
        f"minutes_for_{TARGET_SNVS}_snvs": round(TARGET_SNVS / fast_rate / 60, 2),
    }


def main() -> int:
    """Print the results; return 1 if 10,000 SNVs would take longer than the target."""
    parser = argparse.ArgumentParser(description="SNVs scored a second.")
    parser.add_argument("checkpoint", nargs="?", type=Path, default=Path("runs/demo/checkpoint"))
    parser.add_argument("--snvs", type=int, default=500)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    network, name = network_at(arguments.checkpoint)
    letters = "".join(np.random.default_rng(1).choice(list("ACGT"), 1_000_000))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "genome.fa"
        write_fasta(path, [Record("random", "", letters)])
        with Reference(path) as reference:
            snvs = list(random_snvs(reference, arguments.snvs))
            results = compare(network, reference, snvs)
    about = {"network": name, "snvs": arguments.snvs, "window_bp": WINDOW_BP, "threads": THREADS}
    print(json.dumps({**about, **results, "target_minutes": TARGET_MINUTES}, indent=2))
    return int(results[f"minutes_for_{TARGET_SNVS}_snvs"] > TARGET_MINUTES)


if __name__ == "__main__":
    raise SystemExit(main())
