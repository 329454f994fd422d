"""One cell: train, measure, keep the result."""

import csv
import json
import os
import platform
import resource
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch

from hyena_glt.calibrate import refuse_seen
from hyena_glt.checkpoint import build_network, load_checkpoint
from hyena_glt.config import Recipe
from hyena_glt.data import Genome, Region, open_genome
from hyena_glt.model import HyenaGLT
from hyena_glt.model.account import count_flops, count_parameters
from hyena_glt.score import surprisal_bits
from hyena_glt.tokenize import alphabet
from hyena_glt.train import train
from hyena_glt.train.record import holds_run
from patching.boundaries import Letters, boundary_figures
from patching.plan import BEST_DYNAMIC, CANDIDATES, RULES, Cell, plan_sha256
from patching.results import PlanError, add_result, locked, read_results

ROOT = Path(__file__).parents[2]
WINDOW_BP = 1024


class Place(NamedTuple):
    """Where a run of the plan works and keeps its results.

    A trial, of fewer bases, works beside and reads nothing that is held out.
    """

    results: Path
    work: Path
    trial_bases: int | None = None

    def folder(self, cell: Cell) -> Path:
        """Return where the cell is trained."""
        return self.work / cell.name

    @property
    def lock(self) -> Path:
        """The lock on the results."""
        return self.work / "results.lock"


def place(results: Path, trial_bases: int | None) -> Place:
    """Return the place of the plan itself, or of a trial of it."""
    if trial_bases is None:
        return Place(results, ROOT / "runs" / "patchers")
    work = ROOT / "runs" / f"patchers-trial-{trial_bases}"
    return Place(work / "results.json", work, trial_bases)


def data_folder() -> Path:
    """Return the folder of real data: $HYENA_GLT_DATA, or ../shared/data."""
    return Path(os.environ.get("HYENA_GLT_DATA", ROOT.parent / "shared" / "data"))


def chosen_dynamic(plan: Mapping[str, Any], done: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the rule that the screen chooses: lowest validation bits, over genomes and seeds.

    Each genome counts as much as the other. Raises PlanError while a cell that decides is not run.
    """
    screen = plan["phases"]["screen"]
    of_rule: dict[str, list[float]] = {rule: [] for rule in CANDIDATES}
    missing = []
    for rule, bits in of_rule.items():
        for genome in screen["genomes"]:
            for seed in screen["seeds"]:
                name = Cell("screen", genome, rule, seed).name
                if name in done:
                    bits.append(done[name]["validation_bits_per_base"])
                else:
                    missing.append(name)
    if missing:
        raise PlanError(
            f"{BEST_DYNAMIC} is what the screen chooses, and {len(missing)} of its cells are not "
            f"run ({', '.join(missing[:4])}, ...); run 'screen' first"
        )
    return min(of_rule, key=lambda rule: sum(of_rule[rule]))


def recipe_of(plan: Mapping[str, Any], cell: Cell, rule: str, trial_bases: int | None) -> Recipe:
    """Return the cell's recipe, with ``rule`` in the place of the screen's choice."""
    phase, genome = plan["phases"][cell.phase], plan["genomes"][cell.genome]
    training = dict(phase["train"])
    if trial_bases is not None:
        steps = max(1, trial_bases // (training["batch_windows"] * WINDOW_BP))
        training |= {"bases": trial_bases, "validate_every_steps": max(1, steps // 3)}
        training["validation_bases"] = 16 * WINDOW_BP
    gpu = phase["device"] == "cuda"
    content = {
        "name": cell.name,
        "seed": cell.seed,
        "modality": "dna",
        "data": {
            "genome": str(data_folder() / genome["file"]),
            "window_bp": WINDOW_BP,
            "split": genome["split"],
            "reverse_complement": True,
        },
        "model": plan["arms"][f"{cell.phase}/{cell.genome}/{rule}"]["model"],
        "objective": plan["masked_objective"] if RULES[rule].masked else {"kind": "causal"},
        "train": {
            **training,
            "optimiser": "muon",
            "lr": 3e-3,
            "muon_lr": 0.02,
            "weight_decay": 0.0,
            "schedule": "constant_then_decay",
            "decay_fraction": 1.0,
            "precision": "bf16" if gpu else "fp32",
            "save_every_steps": training["validate_every_steps"],
        },
    }
    return Recipe.model_validate(content)


def run_cell(plan: Mapping[str, Any], cell: Cell, here: Place) -> bool:
    """Train and measure ``cell`` and keep its result; false where a signal ended it before.

    What was trained before a kill is gone on from. Nothing is done for a cell that is kept already
    or in another's hands.
    """
    checksum = plan_sha256(plan)
    out = here.folder(cell)
    with locked(here.work / f"{cell.name.replace('/', '-')}.lock", wait=False) as mine:
        done = read_results(here.results, checksum)
        if not mine or cell.name in done:
            return True
        rule = chosen_dynamic(plan, done) if cell.rule == BEST_DYNAMIC else cell.rule
        device = plan["phases"][cell.phase]["device"]
        if device == "cpu":
            torch.set_num_threads(1)
        recipe = recipe_of(plan, cell, rule, here.trial_bases)
        report = train(
            recipe, out, resume=holds_run(out), device=device, command=f"patchers.py {cell.name}"
        )
        if report.stopped == "terminated":
            return False
        curve, bases_per_second = read_curve(out / "metrics", recipe)
        result = {
            "rule": rule,
            "bases": report.training_bases,
            "validation_bits_per_base": report.validation_bits_per_base,
            "curve": curve,
            "bases_per_second": bases_per_second,
            "training_s": round(report.seconds, 1),
            **measure(plan, cell, here, device),
            "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "machine": machine(device),
        }
        add_result(here.results, here.lock, checksum, cell.name, result)
    for name in ("genome", "resume", "tensorboard"):
        shutil.rmtree(out / name, ignore_errors=True)
    return True


def measure(plan: Mapping[str, Any], cell: Cell, here: Place, device: str) -> dict[str, Any]:
    """Return what is measured of a trained cell."""
    out = here.folder(cell)
    checkpoint = load_checkpoint(out / "checkpoint")
    network = build_network(checkpoint).to(device)
    about = plan["genomes"][cell.genome]
    source = str(data_folder() / about["file"])
    genome, sha256 = open_genome(source, alphabet("dna"), out / "genome")
    if sha256 != about["sha256"]:
        raise PlanError(f"{source}: has SHA-256 {sha256}, the plan {about['sha256']}")
    limits = plan["boundaries"]
    (validation,) = checkpoint.splits[source].validation
    starts = spread(validation, limits["windows"], limits["window_bp"])
    windows = letters_of(genome, validation.contig, starts, limits["window_bp"])
    near_first, near_last = limits["near_bp"]
    figures = boundary_figures(network, windows, limits["deleted_base"], (near_first, near_last))
    # Masks cut patches of their own in training: there the mean is the one asked for.
    mean_bp = None if network.direction == "bidirectional" else figures.mean_patch_bp
    recipe, count = checkpoint.recipe, count_parameters(network)
    results = {
        "parameters": count.total,
        "table_parameters": count.tables,
        "forward_flops_per_base": round(count_flops(network, mean_bp).forward),
        **asdict(figures),
        "patches": [_in_short(stage.patch.model_dump()) for stage in recipe.model.stages],
    }
    if cell.phase != "screen" and here.trial_bases is None:
        split = checkpoint.splits[source]
        seen, heldout = split.train + split.validation, Region(*about["heldout"])
        refuse_seen({source: seen}, {source: [heldout]}, cell.name)
        results["heldout_bits"] = heldout_bits(plan, cell.genome, genome, network)
    return results


def _in_short(patch: dict[str, Any]) -> dict[str, Any]:
    """A calibrated rule; of byte pairs, how many."""
    return patch | ({"merges": len(patch["merges"])} if "merges" in patch else {})


def heldout_bits(
    plan: Mapping[str, Any], name: str, genome: Genome, network: HyenaGLT
) -> list[float]:
    """Return the bits per base of each held-out block, both strands, each block a document."""
    about, block_bp = plan["genomes"][name], plan["block_bp"]
    region = Region(*about["heldout"])
    starts = spread(region, about["heldout_blocks"], block_bp)
    blocks = letters_of(genome, region.contig, starts, block_bp)
    found = surprisal_bits(network, [b.tobytes().decode("ascii") for b in blocks], True)
    return [round(float(np.nanmean(bits)), 6) for bits in found]


def spread(region: Region, count: int, size_bp: int) -> list[int]:
    """Return the starts of ``count`` intervals spread evenly over ``region``, from end to end."""
    room_bp = region.length_bp - size_bp
    return [region.start + round(i * room_bp / max(1, count - 1)) for i in range(count)]


def letters_of(genome: Genome, contig: str, starts: list[int], size_bp: int) -> list[Letters]:
    """Return the ids of each interval."""
    return [genome.fetch_bytes(contig, start, start + size_bp) for start in starts]


def read_curve(metrics: Path, recipe: Recipe) -> tuple[list[tuple[int, float]], int]:
    """Return ((bases, validation bits per base) in order, training bases a second).

    An attempt that went on after a kill replays steps: the last attempt's are taken. The speed is
    that of the median step, so that validations and saving are no part of it.
    """
    step_bases = recipe.train.batch_windows * recipe.data.window_bp
    bits: dict[int, float] = {}
    speeds: dict[int, float] = {}
    attempts = sorted(metrics.glob("version_*"), key=lambda path: int(path.name.split("_")[1]))
    for attempt in attempts:
        with (attempt / "metrics.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                if row.get("validation_bits_per_base"):
                    bits[int(row["step"])] = float(row["validation_bits_per_base"])
                if row.get("kb_per_s"):
                    speeds[int(row["step"])] = float(row["kb_per_s"])
    curve = [(step * step_bases, round(bits[step], 6)) for step in sorted(bits)]
    return curve, round(1e3 * median(speeds.values()))


def machine(device: str) -> dict[str, str]:
    """Return the processor and the versions that a cell ran on."""
    name = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.is_file():
        lines = about.read_text().splitlines()
        name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), name)
    if device == "cuda":
        name = torch.cuda.get_device_name()
    packages = ("hyena-glt", "torch", "numpy")
    return {
        "processor": name,
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def read_plan(path: Path) -> dict[str, Any]:
    """Return the plan as it was written down. Raises PlanError where it wasn't."""
    if not path.is_file():
        raise PlanError(f"{path}: no such file; 'patchers.py plan' writes the plan down")
    plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return plan
