"""Do patches that the sequence cuts beat fixed ones? The plan, its runs, and the page.

    python benchmarks/patchers.py                     # prints the plan and what has been run, JSON
    python benchmarks/patchers.py plan                # writes the plan down, before the first run
    python benchmarks/patchers.py screen [--jobs 2] [--only REGEX] [--minutes N]
    python benchmarks/patchers.py confirm | gpu       # the same, on what the screen has chosen
    python benchmarks/patchers.py speed               # training steps of all arms, in turns
    python benchmarks/patchers.py report              # writes docs/results/patchers.md

A run goes on where it was stopped, and a finished one is kept in benchmarks/results/patchers.json
right away. The data folder is $HYENA_GLT_DATA or ../shared/data. ``--trial BASES`` tries the runs
at so many bases: its results stay in runs/, and it reads nothing that is held out.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from patching.cells import Place, chosen_dynamic, place, read_plan, run_cell
from patching.page import page_text
from patching.plan import (
    BEST_DYNAMIC,
    PLAN_PATH,
    RESULTS,
    Cell,
    all_cells,
    make_plan,
    plan_sha256,
    plan_text,
)
from patching.results import PlanError, read_results
from patching.running import launcher, run_side_by_side
from patching.speed import step_speeds

from hyena_glt.errors import HyenaGLTError
from hyena_glt.io import replacing_file

RESULTS_PATH = RESULTS / "patchers.json"
SPEEDS_PATH = RESULTS / "patchers.speed.json"
PAGE_PATH = RESULTS.parents[1] / "docs" / "results" / "patchers.md"
PHASES = ("screen", "confirm", "gpu")
STOPPED = 75  # exit status of a cell that was stopped and can be gone on from (EX_TEMPFAIL)


def state(plan: Mapping[str, Any] | None, results: Path) -> dict[str, Any]:
    """Return the plan in short, and which cells are done."""
    if plan is None:
        return {"plan": None, "cells": [cell.name for cell in all_cells()]}
    done = read_results(results, plan_sha256(plan))
    phases = {}
    for phase, about in plan["phases"].items():
        names = [name for name in plan["cells"] if name.startswith(f"{phase}/")]
        phases[phase] = {
            "bases": about["train"]["bases"],
            "cells": len(names),
            "done": sum(name in done for name in names),
            "not_run": [name for name in names if name not in done],
        }
    return {"plan": str(PLAN_PATH), "plan_sha256": plan_sha256(plan), "phases": phases}


def write_plan(path: Path, results: Path) -> None:
    """Write the plan down. Raises PlanError once there are results of another."""
    plan = make_plan()
    read_results(results, plan_sha256(plan))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(path) as aside:
        aside.write_text(plan_text(plan), encoding="utf-8")


def checked_plan(path: Path) -> dict[str, Any]:
    """Return the plan as written down. Raises PlanError where the code has another by now."""
    plan = read_plan(path)
    made = make_plan()
    if plan != made:
        differing = [key for key in made if plan.get(key) != made[key]]
        raise PlanError(
            f"{path}: isn't what this code plans ({', '.join(differing)}); a plan stays "
            "after its first run: put the code back; before any run, 'patchers.py plan' writes it"
        )
    return plan


def run_phase(
    plan: Mapping[str, Any], phase: str, arguments: argparse.Namespace, here: Place
) -> int:
    """Run the phase's cells that aren't done; return how many failed."""
    done = read_results(here.results, plan_sha256(plan))
    only = re.compile(arguments.only or "")
    cells = [Cell.named(name) for name in plan["cells"]]
    names = [
        cell.name
        for cell in cells
        if cell.phase == phase and cell.name not in done and only.search(cell.name)
    ]
    if any(Cell.named(name).rule == BEST_DYNAMIC for name in names):
        chosen_dynamic(plan, done)
    options = [] if here.trial_bases is None else ["--trial", str(here.trial_bases)]
    launch = launcher(Path(__file__), here.work, options)
    statuses = run_side_by_side(names, arguments.jobs, arguments.minutes, launch)
    # A cell that a signal ended (-15 before training, STOPPED in it) was stopped, not failed.
    failed = [name for name, status in statuses.items() if status not in (0, STOPPED, -15)]
    for name in failed:
        print(f"{name} failed: {here.work / name.replace('/', '-')}.log says why", file=sys.stderr)
    return len(failed)


def write_speeds(plan: Mapping[str, Any], path: Path, cache: Path) -> None:
    """Measure the arms that run on a CPU, and keep what was found."""
    phases = [phase for phase, about in plan["phases"].items() if about["device"] == "cpu"]
    speeds = {phase: step_speeds(plan, phase, cache) for phase in phases}
    with replacing_file(path) as aside:
        aside.write_text(json.dumps(speeds, indent=1) + "\n", encoding="utf-8")


def read_speeds(path: Path) -> dict[str, Any]:
    """Return the speeds by phase and rule; none where they weren't measured."""
    if not path.is_file():
        return {}
    speeds: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return speeds


def parsed_arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description="Do patches that the sequence cuts help?")
    parser.add_argument("action", nargs="?", choices=("plan", *PHASES, "speed", "report", "cell"))
    parser.add_argument("name", nargs="?", help="of the cell, with the action 'cell'")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--only", help="regular expression that a cell's name must hold")
    parser.add_argument("--minutes", type=float, help="stop after so many, to go on later")
    parser.add_argument("--trial", type=int, metavar="BASES", help="try at so many bases")
    return parser.parse_args()


def main() -> int:
    """Do what was asked for; return 1 where a cell failed."""
    arguments = parsed_arguments()
    here = place(RESULTS_PATH, arguments.trial)
    if arguments.action is None:
        plan = read_plan(PLAN_PATH) if PLAN_PATH.is_file() else None
        print(json.dumps(state(plan, here.results), indent=2))
        return 0
    if arguments.action == "plan":
        write_plan(PLAN_PATH, here.results)
        return 0
    if arguments.action == "report":
        plan = read_plan(PLAN_PATH)
        done = read_results(here.results, plan_sha256(plan))
        page = PAGE_PATH if here.trial_bases is None else here.work / PAGE_PATH.name
        page.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(page) as aside:
            aside.write_text(page_text(plan, done, read_speeds(SPEEDS_PATH)), encoding="utf-8")
        return 0
    if arguments.action == "speed":
        write_speeds(read_plan(PLAN_PATH), SPEEDS_PATH, here.work / "genome")
        return 0
    if arguments.action == "cell":
        # The runner has checked the plan; a cell of it is run as it is written down.
        return 0 if run_cell(read_plan(PLAN_PATH), Cell.named(arguments.name), here) else STOPPED
    return 1 if run_phase(checked_plan(PLAN_PATH), arguments.action, arguments, here) else 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except HyenaGLTError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
