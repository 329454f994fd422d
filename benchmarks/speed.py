"""Speed as a whole: the short forms of all benchmarks, and the page of the long ones.

    python benchmarks/speed.py                       # prints what was measured of each goal, JSON
    python benchmarks/speed.py short [--only REGEX]  # all short forms, a quarter of an hour
    python benchmarks/speed.py report                # docs/results/speed.md, with its plots

Short forms write NAME.json, NAME.log and plots into runs/bench/, one at a time, and a line of a
table each; the exit code is 1 where one failed or missed a limit. The page is made of what the long
forms have kept in benchmarks/results/.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import plots
import quality
from measuring.goals import GOALS, measured
from measuring.kept import LONG_FORMS, SHORT_FORMS, read
from measuring.page import SECTIONS, page_text
from measuring.short_forms import HEAD, HEADLINES, row, run_short_forms

from hyena_glt.io import replacing_file

PAGE = plots.PAGES / "speed.md"


def kept_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the JSON of each section that there is one of."""
    found = {name: read(folder, name) for name in SECTIONS}
    if found["peers_quality"] is not None:
        found["peers_quality"] = quality.summary(quality.place(None))
    return {name: of for name, of in found.items() if of is not None}


def run_short(only: str) -> int:
    """Run the short forms whose name holds ``only``; return 1 where one isn't fine."""
    print(HEAD, flush=True)
    ended = []
    for ran in run_short_forms([name for name in HEADLINES if re.search(only, name)], SHORT_FORMS):
        print(row(ran), flush=True)
        ended.append(ran)
    plots.draw(SHORT_FORMS, SHORT_FORMS)
    print(f"{'all':<18}{sum(ran.minutes for ran in ended):>8.1f}")
    print(f"JSON, logs and plots: {SHORT_FORMS}")
    return int(any(ran.status != 0 for ran in ended))


def write_page() -> None:
    """Write the page and draw its plots."""
    text = page_text(kept_results(LONG_FORMS))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    plots.draw(LONG_FORMS, PAGE.parent)
    with replacing_file(PAGE) as aside:
        aside.write_text(text, encoding="utf-8")


def main() -> int:
    """Do what was asked for; return 1 where a short form failed or missed a limit."""
    parser = argparse.ArgumentParser(description="Short forms of benchmarks, and their page.")
    parser.add_argument("action", nargs="?", choices=("short", "report"))
    parser.add_argument("--only", default="", help="regular expression that a name holds")
    arguments = parser.parse_args()
    if arguments.action == "short":
        return run_short(arguments.only)
    if arguments.action == "report":
        write_page()
        return 0
    kept = kept_results(LONG_FORMS)
    goals = [
        {"benchmark": goal.benchmark, "goal": goal.text, "measured": measured(goal, kept)}
        for goal in GOALS
    ]
    print(json.dumps(goals, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
