"""How fast letters become ids and back, on one core, against the limit of 300 Mb/s.

Prints JSON, which ``--out`` keeps; exits 1 if anything is slower. Runs alternate, so that a slow
spell of the machine falls on all of them alike, and the median is reported. Results are first
compared with plain Python on a sample.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from measuring.kept import add_out, show

from hyena_glt.tokenize import alphabet, decode, encode

LENGTH_BP = 20_000_000
LIMIT_MB_PER_S = 300
RUNS = 7
SAMPLE_BP = 10_000

PARTNER = dict(zip("ACGTNRYacgtnry", "TGCANYRtgcanyr", strict=True))


def main() -> int:
    """Print the report; 1 if a speed is below the limit, else 0."""
    parser = argparse.ArgumentParser(description="How fast letters become ids and back.")
    add_out(parser)
    arguments = parser.parse_args()
    letters = np.frombuffer("".join(PARTNER).encode(), dtype=np.uint8)
    choice = np.random.default_rng(0).integers(0, letters.size, LENGTH_BP)
    sequence = letters[choice].tobytes().decode()
    check(sequence[:SAMPLE_BP])
    ids = encode(sequence)
    dna = alphabet("dna")
    calls: dict[str, Callable[[], object]] = {
        "encode": lambda: encode(sequence),
        "decode": lambda: decode(ids),
        "letter_index": lambda: dna.letter_index(ids),
        "reverse_complement": lambda: dna.reverse_complement(ids),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(RUNS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    mb_per_s = {
        name: round(LENGTH_BP / 1e6 / statistics.median(times)) for name, times in seconds.items()
    }
    passed = min(mb_per_s.values()) >= LIMIT_MB_PER_S
    report = {
        "length_bp": LENGTH_BP,
        "runs": RUNS,
        "median_mb_per_s": mb_per_s,
        "limit_mb_per_s": LIMIT_MB_PER_S,
        "passed": passed,
    }
    show(report, arguments.out)
    return 0 if passed else 1


def check(sample: str) -> None:
    """Compare every function with plain Python, one letter at a time."""
    dna = alphabet("dna")
    ids = encode(sample)
    expected = {
        "encode": [ord(letter) for letter in sample],
        "letter_index": ["ACGT".find(letter.upper()) for letter in sample],
        "reverse_complement": [ord(PARTNER[letter]) for letter in reversed(sample)],
    }
    found = {
        "encode": ids.tolist(),
        "letter_index": dna.letter_index(ids).tolist(),
        "reverse_complement": dna.reverse_complement(ids).tolist(),
    }
    if found != expected or decode(ids) != sample:
        raise SystemExit("a result differs from plain Python: no speed is reported")


if __name__ == "__main__":
    raise SystemExit(main())
