"""What is asked of each benchmark: its goals in one table, and whether they are met."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

Found = Mapping[str, Any]
Verdict = Literal["met", "not met", "not measured yet"]

GIB = 1 << 30
THRESHOLDS = ("entropy", "entropy_jump")
CALIBRATED = (*THRESHOLDS, "budget")
MB_50 = 50_000_000
MB_1 = 1 << 20


class Goal(NamedTuple):
    """A limit, an aim beyond it, or both; ``value`` is None where it wasn't measured."""

    benchmark: str
    text: str
    value: Callable[[Found], float | None]
    limit: float | None = None
    aim: float | None = None
    at_most: bool = False

    def reached(self, value: float, bound: float) -> bool:
        """Return whether ``value`` is on the right side of ``bound``."""
        return value <= bound if self.at_most else value >= bound

    def verdict(self, value: float | None) -> Verdict:
        """Return whether the limit, or an aim that stands alone, is met."""
        if value is None:
            return "not measured yet"
        bound = self.aim if self.limit is None else self.limit
        assert bound is not None
        return "met" if self.reached(value, bound) else "not met"


def measured(goal: Goal, kept: Mapping[str, Found]) -> float | None:
    """Return what was measured; None where it wasn't."""
    found = kept.get(goal.benchmark)
    return None if found is None else goal.value(found)


def place_of(places: list[dict[str, Any]], length_bp: int, precision: str) -> dict[str, Any] | None:
    """Return the contenders at a length in a precision."""
    for at in places:
        if (at["length_bp"], at["precision"]) == (length_bp, precision):
            contenders: dict[str, Any] = at["contenders"]
            return contenders
    return None


def of_contender(
    part: str, length_bp: int, precision: str, name: str, key: str
) -> Callable[[Found], float | None]:
    """Return what reads ``key`` of a contender in ``part``, ``steps`` or ``memory``."""

    def read(found: Found) -> float | None:
        contenders = place_of(found[part], length_bp, precision)
        return None if contenders is None or name not in contenders else contenders[name].get(key)

    return read


def flat_over_hyena2(length_bp: int) -> Callable[[Found], float | None]:
    """Return what reads the flat network's speed over the order-2 Hyena network's, in bf16."""

    def read(found: Found) -> float | None:
        contenders = place_of(found["steps"], length_bp, "bf16")
        if contenders is None:
            return None
        flat, hyena2 = (contenders[name]["bases_per_second"] for name in ("flat", "hyena2"))
        return float(flat / hyena2)

    return read


def long_over(name: str, kind: str) -> Callable[[Found], float | None]:
    """Return what reads another form's time over ours, of the long convolution at 64 kb in fp32."""

    def read(found: Found) -> float | None:
        for at in found["results"]:
            if (at["group"], at["length"], at["precision"]) == ("long", 65_536, "fp32"):
                return float(at[name][f"{kind}_over_ours"])
        return None

    return read


def stream_slope(found: Found) -> float | None:
    """Return the slope of log seconds against log length from 64 kb to 16 Mb."""
    points = [(at["length_bp"], at["seconds"]) for at in found["lengths"]]
    points = [point for point in points if 1 << 16 <= point[0] <= 1 << 24]
    if not points or (points[0][0], points[-1][0]) != (1 << 16, 1 << 24):
        return None
    x, y = np.log(np.array(points)).T
    return float(np.polyfit(x, y, 1)[0])


def stream_growth(found: Found) -> float | None:
    """Return peak memory at 50 Mb over that at 1 Mb."""
    peak_mib = {at["length_bp"]: at["peak_mib"] for at in found["lengths"]}
    return None if not {MB_1, MB_50} <= set(peak_mib) else peak_mib[MB_50] / peak_mib[MB_1]


def chr20_share(found: Found) -> float | None:
    """Return the share of the GEMM peak at 50 Mb."""
    shares = [at["share_of_peak"] for at in found["lengths"] if at["length_bp"] == MB_50]
    return shares[0] if shares else None


def decode_far(found: Found) -> float | None:
    """Return speed at 1,000,000 over that at 1,000, the least of all batches."""
    if max(at["position"] for at in found["decoding"]) != 1_000_000:
        return None
    return float(min(found["last_position_over_first"].values()))


def decode_batch(found: Found) -> float:
    """Return bases a second of 64 rows over those of one, the least of all positions."""
    return float(min(found["batch_64_over_1"].values()))


def decode_faster(found: Found) -> float:
    """Return the speed over the Transformer's, the least of all positions and batches."""
    beside = (at["transformer"].get("patched_is_faster_by") for at in found["decoding"])
    return float(min(ratio for ratio in beside if ratio is not None))


def long_step(key: str, scale: float = 1) -> Callable[[Found], float | None]:
    """Return what reads ``key`` of the exact step on 1,048,576 bases."""

    def read(found: Found) -> float | None:
        if found["length_bp"] != MB_1 or "exact" not in found["steps"]:
            return None
        return float(found["steps"]["exact"][key] * scale)

    return read


def gain(name: str) -> Callable[[Found], float | None]:
    """Return what reads by how many bits per base the patched network is ahead of ``name``."""

    def read(found: Found) -> float | None:
        gain_bits: float | None = found["contenders"].get(name, {}).get("gain_bits")
        return gain_bits

    return read


def patching_slowest(found: Found) -> float:
    """Return the slowest rule's speed, whole or in pieces, Mb/s."""
    return float(min(min(forms.values()) for forms in found["median_mb_per_s"].values()))


def of_patches(genome: str, *path: str) -> Callable[[Found], float | None]:
    """Return what reads a figure of a genome's patches; None where the genome wasn't there."""

    def read(found: Found) -> float | None:
        at = found[genome]
        if isinstance(at, str):
            return None
        for key in path:
            at = at[key]
        return float(at)

    return read


def calibration_off(genome: str, kinds: tuple[str, ...]) -> Callable[[Found], float | None]:
    """Return what reads by how much mean patches on a fresh region miss the wanted mean."""

    def read(found: Found) -> float | None:
        at = found[genome]
        if isinstance(at, str):
            return None
        return float(max(abs(at[kind]["mean_over_wanted"] - 1) for kind in kinds))

    return read


def step_goals(benchmark: str) -> Iterator[Goal]:
    """Yield the goals of a training step, eager or compiled."""
    key = "patched_is_faster_by"
    for precision, length_bp, limit, aim in (
        ("bf16", 8192, 16, 20),
        ("bf16", 32_768, 50, 80),
        ("fp32", 8192, 12, None),
        ("fp32", 32_768, 30, None),
    ):
        text = f"speed over the Transformer's, {length_bp // 1024} kb, {precision}"
        value = of_contender("steps", length_bp, precision, "transformer", key)
        yield Goal(benchmark, text, value, limit, aim)
    for length_bp in (8192, 32_768):
        text = f"speed over order-2 Hyena's, {length_bp // 1024} kb, bf16"
        value = of_contender("steps", length_bp, "bf16", "hyena2", key)
        yield Goal(benchmark, text, value, 8, 12)
    for length_bp in (8192, 32_768):
        text = f"the flat network's speed over order-2 Hyena's, {length_bp // 1024} kb, bf16"
        yield Goal(benchmark, text, flat_over_hyena2(length_bp), 2.5)
    for length_bp in (8192, 32_768):
        text = f"rate of matrix products over the GEMM peak, {length_bp // 1024} kb, bf16"
        value = of_contender("steps", length_bp, "bf16", "patched", "of_peak")
        yield Goal(benchmark, text, value, aim=0.5)


def memory_goals(benchmark: str) -> Iterator[Goal]:
    """Yield the goals of a step's peak memory: of the process, and above its libraries."""
    for key, what in (
        ("patched_over_peak_mib", "peak memory over order-2 Hyena's"),
        ("patched_over_above_start_mib", "the same, without the loaded libraries"),
    ):
        value = of_contender("memory", 32_768, "bf16", "hyena2", key)
        text = f"{what}, 32 kb, bf16"
        yield Goal(benchmark, text, value, 0.25, at_most=True)


GOALS = (
    Goal("patch_speed", "the slowest rule, Mb/s", patching_slowest, 5),
    Goal(
        "entropy_speed",
        "k-mer tables counted, Mb/s",
        lambda found: float(min(fit["count_mb_per_s"] for fit in found["fit"].values())),
        8,
    ),
    Goal(
        "entropy_speed",
        "peak memory of fitting, GiB",
        lambda found: float(max(fit["peak_bytes"] for fit in found["fit"].values()) / GIB),
        1,
        at_most=True,
    ),
    Goal(
        "patch_quality",
        "patching's share of a training step",
        lambda found: float(found["training_step"]["share"]),
        0.03,
        at_most=True,
    ),
    Goal(
        "patch_quality",
        "budget: patches of 4 to 12 bp, E. coli",
        of_patches("ecoli", "budget", "share_4_to_12_bp"),
        0.95,
    ),
    *(
        Goal(
            "patch_quality",
            f"budget: busiest 8 kb window over the mean, {name}",
            of_patches(genome, "budget", "busiest_window_over_mean"),
            limit,
            at_most=True,
        )
        for genome, name, limit in (("ecoli", "E. coli", 1.1), ("human", "human", 1.3))
    ),
    *(
        Goal(
            "patch_quality",
            f"mean patch on a fresh region, share off the wanted: {what}",
            calibration_off(genome, kinds),
            0.02,
            at_most=True,
        )
        for genome, what, kinds in (
            ("ecoli", "all rules, E. coli", CALIBRATED),
            ("human", "budget, human", ("budget",)),
            ("human", "rules with a threshold, human", THRESHOLDS),
        )
    ),
    *(
        Goal("operators", f"{form}'s time over ours, {how}, 64 kb, fp32", long_over(form, kind), n)
        for form, kind, how, n in (
            ("vortex", "with_gradients", "forward and backward", 8),
            ("fft", "with_gradients", "forward and backward", 2),
            ("fft", "forward", "forward", 2),
        )
    ),
    *step_goals("train_step"),
    *memory_goals("train_step"),
    *step_goals("train_step_compiled"),
    *memory_goals("train_step_compiled"),
    *(
        Goal("peers_quality", f"bits per base of {name} less ours", gain(name), 0)
        for name in ("transformer", "hyena2", "flat")
    ),
    Goal("stream", "log-log slope of time, 64 kb to 16 Mb", stream_slope, 1.03, at_most=True),
    Goal("stream", "peak memory at 50 Mb over that at 1 Mb", stream_growth, 1.05, at_most=True),
    Goal("stream_chr20", "rate of matrix products over the GEMM peak, 50 Mb", chr20_share, 0.25),
    Goal("decode", "speed at 1,000,000 over that at 1,000", decode_far, 0.95),
    Goal("decode", "bases a second of 64 rows over one", decode_batch, 10),
    Goal("decode", "speed over the Transformer's, at every position", decode_faster, 1),
    Goal(
        "decode",
        "steps against one pass: largest difference of logits",
        lambda found: float(found["largest_difference"]["patched"]),
        1e-4,
        at_most=True,
    ),
    Goal(
        "vep",
        "all three alleles over six windows",
        lambda found: float(found["of_six_windows"]["forked"]),
        0.45,
        at_most=True,
    ),
    Goal(
        "vep",
        "all three alleles over four windows",
        lambda found: float(found["of_four_windows"]["forked"]),
        0.67,
        at_most=True,
    ),
    Goal("long_step", "seconds", long_step("step_s"), 300, at_most=True),
    Goal("long_step", "peak memory, GiB", long_step("peak_mib", 1 / 1024), 16, at_most=True),
    Goal(
        "long_step",
        "largest difference of a gradient from the whole row's, fp64",
        lambda found: float(found["gradient_differences"]["fp64"]),
        1e-8,
        at_most=True,
    ),
)
