"""Held-out bits per base of every contender after the same training: does speed cost quality?

    python benchmarks/quality.py                # prints what has been run, and the comparison
    python benchmarks/quality.py run [--jobs 2] [--only REGEX] [--minutes N] [--device cuda]

A cell is a contender, a peak rate and a seed: 2 M bases of E. coli K-12 in windows of 8,192 bp, one
a step, in fp32 on one thread or a GPU; AdamW, cosine decay, no weight decay. What is compared is
the bits per base of the validation region at the end, the mean over seeds, each contender at the
better of its rates. Finished cells are kept in benchmarks/results/peers_quality.json right away,
and a run goes on where it was stopped. The data folder is $HYENA_GLT_DATA or ../shared/data.
``--trial
STEPS`` tries the runs at so many steps: its results stay in runs/.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from patching.cells import ROOT, data_folder, machine
from patching.plan import GENOMES, RESULTS, plan_sha256
from patching.results import add_result, locked, read_results
from patching.running import launcher, run_side_by_side
from peers import CONTENDERS, REFERENCE, SHAPES, build_contender, letter_logits, size_of
from peers.letters import EMBED
from peers.matrices import now_s
from torch import nn

from hyena_glt.checkpoint.tree import load_tree, save_tree
from hyena_glt.config import Recipe
from hyena_glt.data import Batch, Window, collate, held_windows, open_sources, training_windows
from hyena_glt.errors import HyenaGLTError
from hyena_glt.objective import Loss, base_loss
from hyena_glt.train.optimiser import rate_at

GENOME = "ecoli_k12"
WINDOW_BP = 8192
STEPS = 244  # the whole windows in 2 M bases
SEEDS = (1, 2)
RATES = ("1e-3", "3e-3")
TRAIN = {"weight_decay": 0.0, "warmup_fraction": 0.05, "schedule": "cosine", "clip_norm": 1.0}
VALIDATION_BASES = 200_000
SAVE_EVERY_STEPS = 20
NATS_PER_BIT = 0.6931471805599453


class Place(NamedTuple):
    """Where results are kept and cells work; a trial works beside."""

    results: Path
    work: Path
    steps: int
    options: tuple[str, ...]


def place(trial_steps: int | None) -> Place:
    """Return the place of the comparison itself, or of a trial of it."""
    if trial_steps is None:
        return Place(RESULTS / "peers_quality.json", ROOT / "runs" / "peers-quality", STEPS, ())
    work = ROOT / "runs" / f"peers-quality-trial-{trial_steps}"
    return Place(work / "results.json", work, trial_steps, ("--trial", str(trial_steps)))


def all_cells() -> list[str]:
    """Return every cell's name, in the order of running."""
    return [f"{name}/{rate}/{seed}" for rate in RATES for seed in SEEDS for name in CONTENDERS]


def make_plan(steps: int) -> dict[str, Any]:
    """Return what decides the results, as plain data."""
    plan = {
        "genome": GENOMES[GENOME],
        "window_bp": WINDOW_BP,
        "steps": steps,
        "train": TRAIN,
        "validation_bases": VALIDATION_BASES,
        "embed": EMBED.model_dump(),
        "shapes": SHAPES,
        "cells": all_cells(),
    }
    as_data: dict[str, Any] = json.loads(json.dumps(plan))
    return as_data


def recipe_of(rate: str, seed: int, steps: int) -> Recipe:
    """Return the data and the training of a cell; the network is the contender's own."""
    genome = GENOMES[GENOME]
    content = {
        "name": "quality",
        "seed": seed,
        "modality": "dna",
        "data": {
            "genome": str(data_folder() / genome["file"]),
            "window_bp": WINDOW_BP,
            "split": genome["split"],
        },
        "model": {"embed": EMBED.model_dump(), **SHAPES[REFERENCE]},
        "train": {
            **TRAIN,
            "bases": steps * WINDOW_BP,
            "batch_windows": 1,
            "lr": float(rate),
            "validation_bases": VALIDATION_BASES,
        },
    }
    return Recipe.model_validate(content)


class Run:
    """A contender in training, its state kept every few steps."""

    def __init__(self, name: str, recipe: Recipe, steps: int, folder: Path, device: str) -> None:
        torch.manual_seed(recipe.seed)
        self.config, self.steps, self.folder = recipe.train, steps, folder
        self.device = torch.device(device)
        self.network = build_contender(name, WINDOW_BP).to(self.device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.config.lr,
            betas=self.config.betas,
            weight_decay=self.config.weight_decay,
            fused=True,
        )
        self.done_steps, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        # Both files of a state are whole where the second one stands.
        kept = sorted(folder.glob("step-*.safetensors"))
        if kept:
            tree = load_tree(kept[-1])
            self.network.load_state_dict(tree["network"])
            self.optimiser.load_state_dict(tree["optimiser"])
            self.done_steps, self.seconds = tree["done_steps"], tree["seconds"]

    def step(self, batch: Batch) -> None:
        """Take one step."""
        start_s = now_s(self.device)
        loss = loss_of(self.network, batch)
        (loss.nll_nats / loss.weight).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm or torch.inf)
        share = rate_at(self.config, self.steps)(self.done_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = share * self.config.lr
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.done_steps += 1
        self.seconds += now_s(self.device) - start_s

    def keep(self) -> None:
        """Keep the state instead of the one before."""
        before = list(self.folder.glob("step-*"))
        tree = {
            "network": dict(self.network.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "done_steps": self.done_steps,
            "seconds": self.seconds,
        }
        save_tree(tree, self.folder / "aside")
        for suffix in (".json", ".safetensors"):
            aside = (self.folder / "aside").with_suffix(suffix)
            aside.replace(self.folder / f"step-{self.done_steps:06d}{suffix}")
        for path in before:
            path.unlink()


def loss_of(network: nn.Module, batch: Batch) -> Loss:
    """Return the loss of a causal batch."""
    batch = batch.to(next(network.parameters()).device)
    return base_loss(letter_logits(network, batch.ids), batch.target, batch.weight)


@torch.no_grad()
def bits_per_base(network: nn.Module, windows: list[Window]) -> float:
    """Return the mean of -log2 p over the windows' bases."""
    losses = [loss_of(network, collate([window])["causal"]) for window in windows]
    nats = sum(loss.nll_nats.item() for loss in losses)
    return nats / sum(loss.weight.item() for loss in losses) / NATS_PER_BIT


def run_cell(cell: str, here: Place, device: str) -> None:
    """Train and measure ``cell`` and keep its result, once."""
    checksum = plan_sha256(make_plan(here.steps))
    folder = here.work / cell.replace("/", "-")
    with locked(folder.with_suffix(".lock"), wait=False) as mine:
        if not mine or cell in read_results(here.results, checksum):
            return
        torch.set_num_threads(1)
        name, rate, seed = cell.split("/")
        recipe = recipe_of(rate, int(seed), here.steps)
        sources = open_sources(recipe, here.work / "genome")
        windows = training_windows(sources, recipe, here.steps)
        run = Run(name, recipe, here.steps, folder, device)
        while run.done_steps < here.steps:
            run.step(collate([windows[run.done_steps]])["causal"])
            if run.done_steps % SAVE_EVERY_STEPS == 0:
                run.keep()
        result = {
            "validation_bits_per_base": round(
                bits_per_base(run.network, held_windows(sources, recipe)), 6
            ),
            "bases": here.steps * WINDOW_BP,
            "training_s": round(run.seconds, 1),
            **size_of(run.network)._asdict(),
            "machine": machine(device),
        }
        add_result(here.results, here.work / "results.lock", checksum, cell, result)
        for path in folder.glob("*"):
            path.unlink()


def comparison(done: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return each contender's mean over seeds at its better rate, of those run with all seeds.

    ``gain_bits`` is how much lower the patched network's is.
    """
    found: dict[str, Any] = {}
    for name in CONTENDERS:
        of_rate = {}
        for rate in RATES:
            cells = [done.get(f"{name}/{rate}/{seed}") for seed in SEEDS]
            bits = [cell["validation_bits_per_base"] for cell in cells if cell is not None]
            if len(bits) == len(SEEDS):
                of_rate[rate] = round(fmean(bits), 6)
        if of_rate:
            best = min(of_rate, key=lambda rate: of_rate[rate])
            found[name] = {"bits_per_base": of_rate[best], "rate": best, "by_rate": of_rate}
    if REFERENCE in found:
        for about in found.values():
            gain = about["bits_per_base"] - found[REFERENCE]["bits_per_base"]
            about["gain_bits"] = round(gain, 6)
    return found


def summary(here: Place) -> dict[str, Any]:
    """Return which cells wait, and the comparison of those that are done.

    Raises PlanError for results of another plan.
    """
    done = read_results(here.results, plan_sha256(make_plan(here.steps)))
    waiting = [name for name in all_cells() if name not in done]
    return {"not_run": waiting, "contenders": comparison(done)}


def parsed_arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description="Held-out bits per base of every contender.")
    parser.add_argument("action", nargs="?", choices=("run", "cell"))
    parser.add_argument("name", nargs="?", help="of the cell, with the action 'cell'")
    parser.add_argument("--jobs", type=int, default=2, help="cells side by side")
    parser.add_argument("--only", default="", help="regular expression that a cell's name holds")
    parser.add_argument("--minutes", type=float, help="stop after so many, to go on later")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--trial", type=int, metavar="STEPS", help="try at so many steps")
    return parser.parse_args()


def main() -> int:
    """Do what was asked for; return 1 where a cell failed."""
    arguments = parsed_arguments()
    here = place(arguments.trial)
    if arguments.action == "cell":
        run_cell(arguments.name, here, arguments.device)
        return 0
    found = summary(here)
    if arguments.action is None:
        print(json.dumps(found, indent=1))
        return 0
    names = [name for name in found["not_run"] if re.search(arguments.only, name)]
    options = (*here.options, "--device", arguments.device)
    launch = launcher(Path(__file__), here.work, options)
    statuses = run_side_by_side(names, arguments.jobs, arguments.minutes, launch)
    failed = [name for name, status in statuses.items() if status not in (0, -15)]  # -15: stopped
    for name in failed:
        print(f"{name} failed: {here.work / name.replace('/', '-')}.log says why", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except HyenaGLTError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
