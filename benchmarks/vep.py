"""What all three SNVs of a site cost: forked, tiled and cut, against whole windows.

    python benchmarks/vep.py [CHECKPOINT] [--long]

Prints JSON, which ``--out`` keeps. Six windows are REF and ALT for each SNV, four are REF once and
each ALT; forked reads the left flank once, tiled shares it between neighbours too (``stride_bp``),
cut leaves a window where the effect has died out (``tail_tolerance_nats``). All take turns within
one process, on the same neighbouring sites, and medians are compared, after a check that forked and
tiled give the effects of whole windows. Of cut the error is reported. The demo's checkpoint is the
default; where there is none, an untrained network of the demo's recipe computes the same amount,
but its effects don't die out. One strand, windows of 1,500 bp, one thread. Exits with 1 where
forked costs more than it may.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

WINDOW_BP = 1500
STRIDE_BP = 64
TOLERANCE_NATS = 0.1
CHECKED_SITES = 4  # of each round, tiled against whole windows of its own
MOST_OF_SIX, MOST_OF_FOUR = 0.45, 0.67
# Relative to the log-likelihood of a window, about 1.3 nats a base.
MOST_DIFFERENCE_NATS = 1e-6 * 1.3 * WINDOW_BP

# Read when PyTorch is loaded, as the command line does.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch  # noqa: E402
from measuring.kept import add_out, show  # noqa: E402
from measuring.machine import here  # noqa: E402

from hyena_glt.api import load  # noqa: E402
from hyena_glt.config import load_recipe  # noqa: E402
from hyena_glt.demo.run import demo_recipe_path  # noqa: E402
from hyena_glt.io import Interval, Record, Reference, Variant, write_fasta  # noqa: E402
from hyena_glt.model import HyenaGLT  # noqa: E402
from hyena_glt.score import (  # noqa: E402
    Effect,
    saturation_variants,
    score_sequences,
    score_variants,
    score_variants_reference,
)

Scored = Iterable[tuple[Variant, tuple[Effect, ...]]]
Form = Callable[[list[Variant]], np.ndarray]


def network_at(checkpoint: Path) -> tuple[HyenaGLT, str]:
    """Return the checkpoint's network, or an untrained one of the demo's recipe, and what it is."""
    if checkpoint.exists():
        return load(checkpoint).network, str(checkpoint)
    recipe = load_recipe(demo_recipe_path())
    torch.manual_seed(0)
    network = HyenaGLT(recipe.model, recipe.modality).eval()
    torch.nn.init.normal_(network.head.out.weight)
    return network, "untrained network of the demo's recipe"


def effects_nats(scored: Scored) -> np.ndarray:
    """Return the effect of every ALT."""
    return np.array([effect.dll_nats for _, effects in scored for effect in effects])


def forms(network: HyenaGLT, reference: Reference) -> dict[str, Form]:
    """Return each way to the effects of SNVs, by name."""

    def whole(sites: list[Variant], stride_bp: int | None = None) -> np.ndarray:
        scored = score_variants_reference(
            network, reference, sites, window_bp=WINDOW_BP, stride_bp=stride_bp
        )
        return effects_nats(scored)

    def four(sites: list[Variant]) -> np.ndarray:
        found = []
        flank_bp = (WINDOW_BP - 1) // 2
        for site in sites:
            start, end = site.start - flank_bp, site.end + flank_bp
            left = reference.fetch(site.contig, start, site.start)
            right = reference.fetch(site.contig, site.end, end)
            windows = [left + allele + right for allele in (site.ref, *site.alts)]
            ref, *alts = score_sequences(network, windows, both_strands=False)
            found += [alt.loglik_nats - ref.loglik_nats for alt in alts]
        return np.array(found)

    def fast(
        sites: list[Variant], stride_bp: int | None = None, tolerance_nats: float = 0.0
    ) -> np.ndarray:
        scored = score_variants(
            network,
            reference,
            sites,
            window_bp=WINDOW_BP,
            stride_bp=stride_bp,
            tail_tolerance_nats=tolerance_nats,
            both_strands=False,
        )
        return effects_nats(scored)

    return {
        "six_windows": whole,
        "four_windows": four,
        "forked": fast,
        "tiled": partial(fast, stride_bp=STRIDE_BP),
        "cut": partial(fast, tolerance_nats=TOLERANCE_NATS),
        "tiled_and_cut": partial(fast, stride_bp=STRIDE_BP, tolerance_nats=TOLERANCE_NATS),
        "tiled_whole": partial(whole, stride_bp=STRIDE_BP),  # to check tiled by
    }


def compare(network: HyenaGLT, reference: Reference, rounds: list[list[Variant]]) -> dict[str, Any]:
    """Return medians of turns, in milliseconds a site, their ratios, and the differences."""
    ways = forms(network, reference)
    tiled_whole = ways.pop("tiled_whole")
    ms: dict[str, list[float]] = {name: [] for name in ways}
    differences: dict[str, float] = dict.fromkeys(("four_windows", "forked", "tiled", "cut"), 0.0)
    for sites in rounds:
        found = {}
        for name, form in ways.items():
            start_s = time.perf_counter()
            found[name] = form(sites)
            ms[name].append(1e3 * (time.perf_counter() - start_s) / len(sites))
        wanted = dict.fromkeys(differences, found["six_windows"])
        wanted["tiled"] = tiled_whole(sites[:CHECKED_SITES])
        for name, most in differences.items():
            error = np.abs(found[name][: len(wanted[name])] - wanted[name]).max()
            differences[name] = max(most, float(error))
    for name in ("four_windows", "forked", "tiled"):
        assert differences[name] < MOST_DIFFERENCE_NATS, f"{name} is off: {differences}"
    times = {name: median(every) for name, every in ms.items()}
    return {
        "ms_a_site": {name: round(time_ms, 2) for name, time_ms in times.items()},
        "of_six_windows": {name: round(t / times["six_windows"], 3) for name, t in times.items()},
        "of_four_windows": {name: round(t / times["four_windows"], 3) for name, t in times.items()},
        "largest_difference_nats": differences,
    }


def main() -> int:
    """Print the results; return 1 if forked costs more than it may."""
    parser = argparse.ArgumentParser(description="What all three SNVs of a site cost.")
    parser.add_argument("checkpoint", nargs="?", type=Path, default=Path("runs/demo/checkpoint"))
    parser.add_argument("--long", action="store_true", help="Nine rounds of 32 sites, not 3 of 16.")
    add_out(parser)
    arguments = parser.parse_args()
    count, sites = (9, 32) if arguments.long else (3, 16)
    torch.set_num_threads(1)
    network, name = network_at(arguments.checkpoint)
    letters = "".join(np.random.default_rng(1).choice(list("ACGT"), 100_000))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "genome.fa"
        write_fasta(path, [Record("random", "", letters)])
        with Reference(path) as reference:
            starts = range(10_000, 10_000 * (count + 1), 10_000)
            regions = [
                [Interval("random", start, start + sites, "block", "+", 1)] for start in starts
            ]
            rounds = [list(saturation_variants(reference, region)) for region in regions]
            list(score_variants(network, reference, rounds[0][:2]))  # the first call is slower
            results = compare(network, reference, rounds)
    about = {
        "network": name,
        "sites": sites,
        "rounds": count,
        "window_bp": WINDOW_BP,
        "stride_bp": STRIDE_BP,
        "tail_tolerance_nats": TOLERANCE_NATS,
        "threads": 1,
        "machine": here(),
        "most_of_six_windows": MOST_OF_SIX,
        "most_of_four_windows": MOST_OF_FOUR,
    }
    show({**about, **results}, arguments.out)
    six, four = results["of_six_windows"]["forked"], results["of_four_windows"]["forked"]
    return int(six > MOST_OF_SIX or four > MOST_OF_FOUR)


if __name__ == "__main__":
    raise SystemExit(main())
