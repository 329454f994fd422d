"""Memory of writing effects into a VCF: the same for a tenth of the records and for all of them.

    python benchmarks/vcf_stream_memory.py             # 200,000 records
    python benchmarks/vcf_stream_memory.py --long      # a million

Prints JSON, which ``--out`` keeps. A stub stands in for the network, so that what is measured is
the file's way through. Each size runs in a process of its own, whose peak is compared with its
memory before the first record. Exits with 1 where the larger file needs more.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from measuring.kept import add_out, show

from hyena_glt.io import Variant, VcfReader
from hyena_glt.score import Effect, OnBad, annotate

SHORT_RECORDS, LONG_RECORDS = 200_000, 1_000_000
WAITING = 1000  # records that the stub holds, as a batch does
TOLERANCE_BYTES = 16_000_000
HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr1,length=248956422>\n"
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tsample\n"
)


def write_vcf(path: Path, records: int) -> None:
    """Write sorted records of one or two ALTs."""
    with path.open("w", encoding="ascii") as file:
        file.write(HEADER)
        for number in range(records):
            alt = "C,G" if number % 10 == 0 else "C"
            info = f"AC={number % 7};AF=0.0{number % 9};DP={number % 300}"
            place = f"chr1\t{10 + 200 * number}\trs{number}\tA\t{alt}"
            file.write(f"{place}\t50\tPASS\t{info}\tGT:DP\t0/1:{number % 60}\n")


def stub(
    variants: Iterable[Variant], on_bad: OnBad
) -> Iterator[tuple[Variant, tuple[Effect, ...]]]:
    """Yield made-up effects, a batch at a time."""
    waiting: list[Variant] = []
    for variant in variants:
        waiting.append(variant)
        if len(waiting) == WAITING:
            yield from _effects(waiting)
            waiting = []
    yield from _effects(waiting)


def _effects(variants: list[Variant]) -> Iterator[tuple[Variant, tuple[Effect, ...]]]:
    for variant in variants:
        nats = variant.start % 1000 / 7
        yield variant, tuple(Effect(nats, nats / 3, 1500, None) for _ in variant.alts)


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(records: int, suffix: str) -> dict[str, int]:
    """Write and annotate a file in this process; return its memory before and at the peak."""
    with tempfile.TemporaryDirectory() as folder:
        vcf = Path(folder) / "in.vcf"
        write_vcf(vcf, records)
        before = peak_bytes()
        reader = VcfReader(vcf)
        tally = annotate(iter(reader), reader.header, Path(folder) / f"out{suffix}", stub)
    assert tally.records == records
    return {"before_bytes": before, "peak_bytes": peak_bytes()}


def main() -> int:
    """Print the results; return the exit code."""
    parser = argparse.ArgumentParser(description="Memory of writing effects into a VCF.")
    parser.add_argument("--long", action="store_true", help=f"{LONG_RECORDS:,} records")
    parser.add_argument("--records", type=int)
    parser.add_argument("--suffix", default=".vcf.gz", help=".vcf, .vcf.gz, .tsv or .parquet")
    add_out(parser)
    parser.add_argument("--alone", action="store_true", help="measure one size in this process")
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(measure(arguments.records, arguments.suffix)))
        return 0
    records = arguments.records or (LONG_RECORDS if arguments.long else SHORT_RECORDS)
    sizes = [max(1, records // 10), records]
    results = {}
    for size in sizes:
        command = [sys.executable, __file__, "--alone", "--records", str(size)]
        output = subprocess.check_output([*command, "--suffix", arguments.suffix], text=True)
        results[str(size)] = json.loads(output)
    small, large = (results[str(size)]["peak_bytes"] for size in sizes)
    constant = large - small < TOLERANCE_BYTES
    report = {"suffix": arguments.suffix, "records": results, "constant": constant}
    show(report, arguments.out)
    return 0 if constant else 1


if __name__ == "__main__":
    raise SystemExit(main())
