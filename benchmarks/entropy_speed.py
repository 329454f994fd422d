"""Speed and memory of the entropy models, on one core.

    python benchmarks/entropy_speed.py [--length-bp 40000000]

Prints JSON, which ``--out`` keeps. Each k-mer table is fitted in a process of its own, whose peak
of memory is reported: `count_s` counts one strand of the sequence and folds the other in, `table_s`
is what follows and doesn't grow with the sequence; both are processor time, of one thread. Look-ups
alternate within one process and medians are compared. What is timed is compared with a plain loop
on a sample. Exits with 1 where a limit is missed.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from statistics import median

import numpy as np
import torch
from jaxtyping import UInt8
from measuring.kept import add_out, show
from measuring.machine import here

from hyena_glt.config import ConvEntropyConfig, EntropyConfig, KmerEntropyConfig
from hyena_glt.model.entropy import EntropyModel, build_entropy, kmer_entropy_reference
from hyena_glt.model.entropy.counting import count_following, left_out_entropies
from hyena_glt.model.entropy.kmer import KmerEntropy
from hyena_glt.tokenize import alphabet, encode

LENGTH_BP = 40_000_000
READ_BP = 1_000_000
SAMPLE_BP = 20_000
ROUNDS = 7
FITTED_KS = (10, 12)
READ: dict[str, EntropyConfig] = {
    "kmer_8": KmerEntropyConfig(kind="kmer", k=8),
    "kmer_10": KmerEntropyConfig(kind="kmer", k=10),
    "kmer_12": KmerEntropyConfig(kind="kmer", k=12),
    "conv": ConvEntropyConfig(kind="conv"),
}
COUNT_LIMIT_MB_PER_S = 8
PEAK_LIMIT_BYTES = 2**30
# The whole of patching is to reach 5 Mb/s, so a look-up may take a quarter of its time.
READ_LIMIT_MB_PER_S = 20


def sequence(length_bp: int) -> UInt8[np.ndarray, " L"]:
    """Return random ids, with more A and T than C and G."""
    letters = encode("ACGTATAT")
    return letters[np.random.default_rng(0).integers(0, len(letters), length_bp, dtype=np.uint8)]


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def check_counts(k: int) -> None:
    """Compare the counts of a sample with those of a loop over both strands."""
    ids = sequence(SAMPLE_BP)
    expected: Counter[bytes] = Counter()
    for strand in (ids, alphabet("dna").reverse_complement(ids)):
        letters = bytes(strand)
        expected.update(letters[t - k : t + 1] for t in range(k, SAMPLE_BP))
    (found,) = count_following([ids], k)[-1:]
    codes = found.ravel().nonzero()[0]
    places = 4 ** np.arange(k, -1, -1)
    words = encode("ACGT")[codes[:, None] // places % 4]
    assert {bytes(word): int(n) for word, n in zip(words, found.flat[codes], strict=True)} == dict(
        expected
    ), f"counts of k={k} differ from a plain loop"


def fit(k: int, length_bp: int) -> dict[str, float]:
    """Fit a table in this process; return seconds, speeds and peaks."""
    ids = sequence(length_bp)
    before = peak_bytes()
    start = time.process_time()
    following = count_following([ids], k)
    counted = time.process_time()
    left_out_entropies(following)
    end = time.process_time()
    peak = peak_bytes()
    check_counts(k)
    return {
        "count_s": round(counted - start, 2),
        "count_mb_per_s": round(length_bp / 1e6 / (counted - start), 1),
        "table_s": round(end - counted, 2),
        "before_bytes": before,
        "peak_bytes": peak,
    }


def read() -> dict[str, float]:
    """Return the median speed of each model's answers, after checking those of the tables."""
    ids = torch.from_numpy(sequence(READ_BP)).long()
    models: dict[str, EntropyModel] = {}
    for name, config in READ.items():
        model = build_entropy(config, alphabet("dna"))
        if isinstance(model, KmerEntropy):
            generator = torch.Generator().manual_seed(0)
            model.table.random_(0, 2048, generator=generator)
            seen = ids[None, :SAMPLE_BP]
            expected = kmer_entropy_reference(model.table, model.digit_of[seen], model.k)
            assert torch.equal(model(seen), expected), f"{name} differs from its reference"
        models[name] = model
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, model in models.items():
            bases = READ_BP if isinstance(model, KmerEntropy) else READ_BP // 20
            start = time.perf_counter()
            model(ids[None, : bases + model.past_bp])
            times[name].append((time.perf_counter() - start) / bases * 1e6)
    return {name: round(1 / median(seconds), 3) for name, seconds in times.items()}


def main() -> int:
    """Print the results; return the exit code."""
    parser = argparse.ArgumentParser(description="Speed and memory of the entropy models.")
    parser.add_argument("--length-bp", type=int, default=LENGTH_BP)
    add_out(parser)
    parser.add_argument("--alone", type=int, help="fit a table of this k in this process")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.alone is not None:
        print(json.dumps(fit(arguments.alone, arguments.length_bp)))
        return 0
    fits: dict[str, dict[str, float]] = {}
    for k in FITTED_KS:
        command = [sys.executable, __file__, "--length-bp", str(arguments.length_bp)]
        output = subprocess.check_output([*command, "--alone", str(k)], text=True)
        fits[f"kmer_{k}"] = json.loads(output)
    mb_per_s = read()
    passed = (
        min(result["count_mb_per_s"] for result in fits.values()) >= COUNT_LIMIT_MB_PER_S
        and max(result["peak_bytes"] for result in fits.values()) <= PEAK_LIMIT_BYTES
        and min(speed for name, speed in mb_per_s.items() if name != "conv") >= READ_LIMIT_MB_PER_S
    )
    report = {
        "machine": here(),
        "threads": 1,
        "length_bp": arguments.length_bp,
        "fit": fits,
        "median_read_mb_per_s": mb_per_s,
        "limits": {
            "count_mb_per_s": COUNT_LIMIT_MB_PER_S,
            "peak_bytes": PEAK_LIMIT_BYTES,
            "kmer_read_mb_per_s": READ_LIMIT_MB_PER_S,
        },
        "passed": passed,
    }
    show(report, arguments.out)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
