"""The short forms of all benchmarks of speed, one after another; none hides another's failure."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measuring.kept import ROOT, read

Found = Mapping[str, Any]


def of_train_step(found: Found) -> str:
    """Return how much faster the patched network is, at the longest rows."""
    last = found["steps"][-1]
    ratios = (
        f"{about['patched_is_faster_by']:.1f}x {name}"
        for name, about in last["contenders"].items()
        if name != "patched"
    )
    return f"{last['length_bp']:,} bp, {last['precision']}: {', '.join(ratios)}"


def of_operators(found: Found) -> str:
    """Return the long convolution's speed over its other forms', at the longest row of all."""
    last = [at for at in found["results"] if "vortex" in at][-1]
    ratios = (f"{last[name]['with_gradients_over_ours']:.1f}x {name}" for name in ("fft", "vortex"))
    return f"long convolution, {last['length']:,} bp: {', '.join(ratios)}"


def of_stream(found: Found) -> str:
    """Return speed, slope and growth of memory."""
    speed = f"{found['lengths'][-1]['kb_per_second']:.0f} kb/s"
    return f"{speed}, slope {found['log_log_slope']:.3f}, memory {found['peak_growth']:.3f}x"


def of_decode(found: Found) -> str:
    """Return speed far over near, of many rows over one, and over the Transformer's."""
    first = found["decoding"][0]
    far = found["last_position_over_first"]["1"]
    rows = min(found["batch_64_over_1"].values())
    beside = first["transformer"]["patched_is_faster_by"]
    return f"far {far:.2f}x near, 64 rows {rows:.1f}x one, {beside:.1f}x transformer at 1 kb"


def of_vep(found: Found) -> str:
    """Return what all alleles of a site cost."""
    six, four = found["of_six_windows"]["forked"], found["of_four_windows"]["forked"]
    return f"{six:.2f} of six windows, {four:.2f} of four"


def of_long_step(found: Found) -> str:
    """Return time and memory of the exact step over the whole row's."""
    exact, whole = found["steps"]["exact"], found["steps"]["whole"]
    time_share, memory = exact["step_s"] / whole["step_s"], exact["peak_mib"] / whole["peak_mib"]
    return f"in segments: {time_share:.2f}x the time, {memory:.2f}x the memory"


def of_embed_speed(found: Found) -> str:
    """Return the speed over that of a plain forward pass."""
    ratios = (about["ratio_to_forward"] for about in found["cases"].values())
    return f"{min(ratios):.2f}x forward"


def of_patch_speed(found: Found) -> str:
    """Return the slowest rule's speed over the limit."""
    slowest = min(min(forms.values()) for forms in found["median_mb_per_s"].values())
    return f"{slowest / found['limit_mb_per_s']:.1f}x the limit"


def of_entropy_speed(found: Found) -> str:
    """Return the slowest table's speed over the limit."""
    tables = (speed for name, speed in found["median_read_mb_per_s"].items() if name != "conv")
    return f"{min(tables) / found['limits']['kmer_read_mb_per_s']:.1f}x the limit"


def of_patch_quality(found: Found) -> str:
    """Return what patching takes of a training step."""
    return f"patching: {found['training_step']['share']:.1%} of a step"


def of_tokenize_speed(found: Found) -> str:
    """Return the slowest function's speed over the limit."""
    slowest = min(found["median_mb_per_s"].values())
    return f"{slowest / found['limit_mb_per_s']:.1f}x the limit"


def of_vcf_stream_memory(found: Found) -> str:
    """Return how memory grows from a tenth of the records to all."""
    small, large = (about["peak_bytes"] for about in found["records"].values())
    return f"memory {large / small:.3f}x"


def of_input_pipeline(found: Found) -> str:
    """How fast batches of labelled records are made."""
    rates = {name: found["batches"][name]["bases_per_s"] / 1e6 for name in ("100_bp", "8_kb")}
    return f"{rates['100_bp']:.0f} Mb/s of records of 100 bp, {rates['8_kb']:.0f} of 8 kb"


def of_muon(found: Found) -> str:
    """Return our Muon's speed over torch's."""
    return f"a step of Muon: {found['torch_over_ours']:.1f}x torch's"


# In the order of what matters most: a run that is stopped has seen that.
HEADLINES: dict[str, Callable[[Found], str]] = {
    "train_step": of_train_step,
    "operators": of_operators,
    "stream": of_stream,
    "decode": of_decode,
    "vep": of_vep,
    "long_step": of_long_step,
    "muon": of_muon,
    "embed_speed": of_embed_speed,
    "patch_speed": of_patch_speed,
    "entropy_speed": of_entropy_speed,
    "patch_quality": of_patch_quality,
    "input_pipeline": of_input_pipeline,
    "tokenize_speed": of_tokenize_speed,
    "vcf_stream_memory": of_vcf_stream_memory,
}


class Ran(NamedTuple):
    """A benchmark that has ended."""

    name: str
    minutes: float
    status: int
    found: dict[str, Any] | None  # None: it failed before it had anything to keep

    @property
    def outcome(self) -> str:
        """What became of it, in words."""
        if self.status == 0:
            return "fine"
        return "failed" if self.found is None else "missed a limit"


def run_short_forms(
    names: Sequence[str], out: Path, scripts: Path = ROOT / "benchmarks"
) -> Iterator[Ran]:
    """Run benchmarks by name, one at a time; yield each as it ends.

    NAME.json and NAME.log, what it printed, are written into ``out``.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        kept = out / f"{name}.json"
        kept.unlink(missing_ok=True)  # of a run before
        start_s = time.monotonic()
        with kept.with_suffix(".log").open("wb") as log:
            done = subprocess.run(
                [sys.executable, str(scripts / f"{name}.py"), "--out", str(kept)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                check=False,
            )
        minutes = (time.monotonic() - start_s) / 60
        yield Ran(name, minutes, done.returncode, read(out, name))


def row(ran: Ran) -> str:
    """Return a line of the table: benchmark, minutes, exit status, what was found."""
    headline = "" if ran.found is None else HEADLINES[ran.name](ran.found)
    about = f"{ran.name:<18}{ran.minutes:>8.1f}{ran.status:>8}  {ran.outcome:<16}"
    return f"{about}{headline}".rstrip()


HEAD = f"{'benchmark':<18}{'minutes':>8}{'status':>8}  {'outcome':<16}headline"
