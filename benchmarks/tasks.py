"""What pretraining gives on labelled sets: the plan, its runs, and the page.

    python benchmarks/tasks.py                        # prints what has been run, JSON
    python benchmarks/tasks.py plan                   # writes the plan down, before the first run
    python benchmarks/tasks.py pretrain [--jobs 2]    # the two recipes, an hour or two
    python benchmarks/tasks.py run [--jobs 2] [--only REGEX] [--minutes N] [--device cuda]
    python benchmarks/tasks.py report                 # writes docs/results/tasks.md

A cell is a network to pretrain, a set of `hyena-glt benchmark` from one start with all its seeds,
or BRCA1's variants without a label. A run goes on where it was stopped, and a finished cell is kept
in benchmarks/results/tasks.json right away. The data folder is $HYENA_GLT_DATA or ../shared/data.
``--trial BASES`` pretrains and fine-tunes on so many bases: its results stay in runs/.
"""

import argparse
import json
import re
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from answering.genes import FILES, gene_suite
from answering.page import page_text
from answering.plan import (
    BASES_A_RUN,
    FLOORS,
    FRESH,
    HEAD_RATE,
    OFTEN,
    PLAN_PATH,
    PRETRAINED,
    RECIPES,
    RESULTS,
    ROOT,
    SEEDS,
    STARTS,
    STAYS,
    TUNING_OF_SUITE,
    ZERO_SHOT_WINDOW_BP,
    Cell,
    batch_for,
    epochs_for,
    fresh_model,
    make_plan,
    patience_for,
    rate_for,
)
from patching.cells import data_folder, machine, read_plan
from patching.plan import plan_sha256
from patching.results import PlanError, add_result, locked, read_results
from patching.running import launcher, run_side_by_side

from hyena_glt.checkpoint import build_network, load_checkpoint
from hyena_glt.config import Recipe, load_recipe
from hyena_glt.config.suites import SetConfig, SuiteConfig
from hyena_glt.errors import HyenaGLTError
from hyena_glt.io import replacing_file
from hyena_glt.model.account import count_parameters
from hyena_glt.suites import BenchmarkOptions, absent_files, load_suite, run_suite
from hyena_glt.suites.datasets import prepared
from hyena_glt.train import train
from hyena_glt.train.record import holds_run
from hyena_glt.train.run import Device

PAGE_PATH = ROOT / "docs" / "results" / "tasks.md"
STOPPED = 75  # exit status of a cell that was stopped and can be gone on from (EX_TEMPFAIL)
ABSENT = 69  # of a cell whose files aren't there (EX_UNAVAILABLE)


class AbsentError(HyenaGLTError):
    """A set whose files aren't in the data folder."""


class Place(NamedTuple):
    """Where results are kept and cells work; a trial works beside."""

    results: Path
    work: Path
    trial_bases: int | None
    device: Device = "cpu"

    def folder(self, cell: Cell) -> Path:
        """Return where a cell works."""
        return self.work / cell.name

    def checkpoint(self, start: str) -> Path:
        """Return where a pretrained network lies."""
        return self.folder(Cell("pretrain", start, "")) / "checkpoint"


def place(trial_bases: int | None, device: Device) -> Place:
    """Return the place of the plan itself, or of a trial of it."""
    if trial_bases is None:
        return Place(RESULTS / "tasks.json", ROOT / "runs" / "tasks", None, device)
    work = ROOT / "runs" / f"tasks-trial-{trial_bases}"
    return Place(work / "results.json", work, trial_bases, device)


def pretraining_recipe(start: str, trial_bases: int | None) -> Recipe:
    """Return a recipe of pretraining, its genomes in the data folder."""
    recipe = load_recipe(ROOT / RECIPES[start])
    assert recipe.data.mixture is not None
    bed = ROOT / "recipes" / "pretraining" / "evaluation.bed"
    changes = [f"data.reserved.bed={json.dumps(str(bed))}"]
    for number, source in enumerate(recipe.data.mixture):
        # A recipe names files as they lie beside the project: folder and file are the last two.
        path = data_folder().joinpath(*Path(source.genome).parts[-2:])
        changes.append(f"data.mixture.{number}.genome={json.dumps(str(path))}")
    if trial_bases is not None:
        changes += [f"train.bases={trial_bases}", "train.validation_bases=20000"]
    return load_recipe(ROOT / RECIPES[start], changes)


def pretrain(cell: Cell, here: Place) -> dict[str, Any] | None:
    """Train one network; return what is kept of it, or None where a signal ended it before."""
    out = here.folder(cell)
    recipe = pretraining_recipe(cell.start, here.trial_bases)
    report = train(
        recipe, out, resume=holds_run(out), device=here.device, command=f"tasks.py {cell.name}"
    )
    if report.stopped == "terminated":
        return None
    network = build_network(load_checkpoint(out / "checkpoint"))
    count = count_parameters(network)
    return {
        "validation_bits_per_base": report.validation_bits_per_base,
        "training_bases": report.training_bases,
        "training_s": round(report.seconds, 1),
        "parameters": count.total,
        "table_parameters": count.tables,
    }


def check_present(names: Sequence[str]) -> None:
    """Raise AbsentError at the first file that isn't in the data folder."""
    for name in names:
        if not (data_folder() / name).exists():
            raise AbsentError(f"{data_folder() / name} is absent")


def answer_set(cell: Cell, here: Place, minutes: float | None) -> dict[str, Any] | None:
    """Answer one set from one start, with all seeds; None where time or a signal ended it.

    Raises AbsentError where the set's files aren't there, PlanError where a seed of ours failed.
    """
    out = here.folder(cell)
    if cell.kind == "genes":
        check_present(FILES)
    suite, each = set_of(cell, here.work)
    if cell.kind != "genes":
        check_present(absent_files(each, data_folder()))
    folds = getattr(each.split, "folds", None)
    seeds = SEEDS if folds is None else folds
    of_bases = each.task.kind == "bases"
    train = prepared(each, 0, data_folder(), out).manifest.parts["train"]
    epochs = 1 if here.trial_bases is not None else epochs_for(train.bases, cell.kind)
    changes = [f"train.epochs={epochs}", f"train.patience_epochs={patience_for(epochs)}"]
    floors = cell.start == "floors"
    if not floors:
        changes += [f"train.lr={rate_for(epochs)}", f"train.head_lr={HEAD_RATE}"]
        tuning: dict[str, object] = {**TUNING_OF_SUITE.get(cell.kind, {})}
        if of_bases:
            tuning["train.batch_examples"] = batch_for(train.bases, train.rows)
        changes += [f"{key}={value}" for key, value in tuning.items()]
    if cell.start == "scratch":
        model = pretraining_recipe(FRESH, None).model.model_dump(mode="json")
        changes.append(f"model={json.dumps(fresh_model(model, cell.kind, epochs))}")
    elif not floors and epochs >= OFTEN:
        changes.append(f"tuning={json.dumps({'kind': 'full', 'freeze': STAYS})}")
    options = BenchmarkOptions(
        data=data_folder(),
        out=out,
        seeds=seeds if here.trial_bases is None else 1,
        # Where bases are labelled the two are one: letters in a window around each.
        contenders=FLOORS[: 1 if of_bases else None] if floors else ("ours",),
        only=f"^{re.escape(each.name)}$",
        minutes=minutes,
        init=None if cell.start in ("floors", "scratch") else here.checkpoint(cell.start),
        overrides=changes,
        device=here.device,
        command=f"tasks.py {cell.name}",
    )
    results, terminated = run_suite(suite, options)
    if terminated or any(found.reason.startswith("out of time") for found in results.not_run):
        return None
    # A linear floor may have no answer to a set; ours must, with every seed.
    failed = [found for found in results.not_run if found.contender not in FLOORS]
    if failed:
        raise PlanError(f"{cell.name}, seed {failed[0].seed}: {failed[0].reason}")
    kept = results.as_dict()
    return {
        "metric": each.metrics[0],
        "epochs": epochs,
        "cells": kept["cells"],
        "not_run": kept["not_run"],
    }


def set_of(cell: Cell, work: Path) -> tuple[SuiteConfig, SetConfig]:
    """Return a cell's suite and set. Raises PlanError where the suite has no such set any more."""
    if cell.kind == "genes":
        suite = gene_suite(data_folder(), work / cell.name / "genome")
    else:
        suite = load_suite(cell.kind)
    for each in suite.sets:
        if each.name == cell.what:
            return suite, each
    raise PlanError(f"{cell.name}: suite {suite.name} has no set {cell.what}; write another plan")


def zero_shot(cell: Cell, here: Place) -> dict[str, Any]:
    """Return how a pretrained network ranks variants whose labels it never saw.

    Raises AbsentError where the variants aren't there.
    """
    script = runpy.run_path(str(ROOT / "scripts" / "brca1_sge.py"), run_name="brca1_sge")
    check_present([f"brca1_sge/{script[name]}" for name in ("FASTA", "TABLE")])
    asked = argparse.Namespace(
        checkpoint=here.checkpoint(cell.start),
        data=data_folder(),
        window_bp=ZERO_SHOT_WINDOW_BP,
        both_strands=True,
        device=here.device,
    )
    found: dict[str, Any] = script["report"](asked)
    found.pop("checkpoint")  # where it lies on this machine
    return found


def run_cell(cell: Cell, plan: Mapping[str, Any], here: Place, minutes: float | None) -> bool:
    """Run ``cell`` and keep its result, once; false where it was stopped before its end."""
    checksum = plan_sha256(plan)
    with locked(here.work / f"{cell.name.replace('/', '-')}.lock", wait=False) as mine:
        done = read_results(here.results, checksum)
        if not mine or cell.name in done:
            return True
        if cell.kind != "pretrain" and cell.start in PRETRAINED:
            begun = Cell("pretrain", cell.start, "").name
            if begun not in done:  # its checkpoint is the best so far, while it trains
                raise PlanError(f"{cell.name}: {begun} isn't done; 'tasks.py pretrain' goes on")
        torch.set_num_threads(1)
        if cell.kind == "pretrain":
            result = pretrain(cell, here)
        elif cell.kind == "zero_shot":
            result = zero_shot(cell, here)
        else:
            result = answer_set(cell, here, minutes)
        if result is None:
            return False
        result["machine"] = machine(here.device)
        add_result(here.results, here.work / "results.lock", checksum, cell.name, result)
    return True


def waiting(plan: Mapping[str, Any], here: Place, action: str, only: str) -> list[str]:
    """Return the cells of an action that aren't done, in the plan's order."""
    done = read_results(here.results, plan_sha256(plan))
    return [
        name
        for name in plan["cells"]
        if name not in done
        and (Cell.of(name).kind == "pretrain") == (action == "pretrain")
        and re.search(only, name)
    ]


def state(plan: Mapping[str, Any], here: Place) -> dict[str, Any]:
    """Return the plan in short, and how many cells of each kind are done."""
    done = read_results(here.results, plan_sha256(plan))
    kinds: dict[str, dict[str, int]] = {}
    for name in plan["cells"]:
        about = kinds.setdefault(Cell.of(name).kind, {"cells": 0, "done": 0})
        about["cells"] += 1
        about["done"] += name in done
    return {"starts": STARTS, "seeds": SEEDS, "bases_a_run": BASES_A_RUN, "cells": kinds}


def parsed_arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description="What pretraining gives on labelled sets.")
    actions = ("plan", "pretrain", "run", "cell", "report")
    parser.add_argument("action", nargs="?", choices=actions)
    parser.add_argument("name", nargs="?", help="of the cell, with the action 'cell'")
    parser.add_argument("--jobs", type=int, default=2, help="cells side by side")
    parser.add_argument("--only", default="", help="regular expression that a cell's name holds")
    parser.add_argument("--minutes", type=float, help="stop after so many, to go on later")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--trial", type=int, metavar="BASES", help="try at so many bases")
    return parser.parse_args()


def main() -> int:
    """Do what was asked for; return 1 where a cell failed."""
    arguments = parsed_arguments()
    here = place(arguments.trial, arguments.device)
    if arguments.action == "plan":
        with replacing_file(PLAN_PATH) as aside:
            aside.write_text(json.dumps(make_plan(), indent=1) + "\n", encoding="utf-8")
        return 0
    plan = read_plan(PLAN_PATH)
    if arguments.action == "cell":
        try:
            ended = run_cell(Cell.of(arguments.name), plan, here, arguments.minutes)
        except AbsentError as error:
            print(error, file=sys.stderr)
            return ABSENT
        return 0 if ended else STOPPED
    if arguments.action is None:
        print(json.dumps(state(plan, here), indent=1))
        return 0
    if arguments.action == "report":
        with replacing_file(PAGE_PATH) as aside:
            done = read_results(here.results, plan_sha256(plan))
            aside.write_text(page_text(plan, done), encoding="utf-8")
        return 0
    names = waiting(plan, here, arguments.action, arguments.only)
    trial = () if arguments.trial is None else ("--trial", str(arguments.trial))
    options = ("--device", arguments.device, *trial)
    launch = launcher(Path(__file__), here.work, options)
    statuses = run_side_by_side(names, arguments.jobs, arguments.minutes, launch)
    for name in (name for name, status in statuses.items() if status == ABSENT):
        print(f"{name} is left for later: its files are absent", file=sys.stderr)
    fine = (0, STOPPED, ABSENT, -15)
    failed = [name for name, status in statuses.items() if status not in fine]
    for name in failed:
        print(f"{name} failed: {here.work / name.replace('/', '-')}.log says why", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except HyenaGLTError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
