"""Labelled data on its way into training: memory of inspecting and preparing, speed of batches.

    python benchmarks/input_pipeline.py             # 100,000 records
    python benchmarks/input_pipeline.py --long      # ten million: a GB and two in a folder of /tmp

Prints JSON, which ``--out`` keeps. Records of 100 bp are inspected and prepared in processes of
their own, a tenth of them and all; from both peaks follows what a record takes, and what ten
million would. Batches of 100 bp, the same changed at random, and of windows of 8 kb come from one
worker; runs alternate and medians are reported, after a check that batches hold the bases of the
dataset. Batches of 32 records of 100 bp, changed at random, are held against the training step
that the network of `hyena-glt benchmark`, and a tiny one, take with them on the CPU.
Exits with 1 where ten million records take more than 4 GB, batches are slower than their limits, or
one takes as long as its step.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from measuring.kept import Cells, add_out
from measuring.machine import here

from hyena_glt.config import load_finetune_recipe
from hyena_glt.config.finetune import AugmentConfig
from hyena_glt.data.examples import (
    Augment,
    Rows,
    guess_dataset,
    inspect_sources,
    open_dataset,
    prepare_dataset,
)
from hyena_glt.data.examples.loader import ExampleLoader
from hyena_glt.data.examples.order import EpochOrder
from hyena_glt.finetune.run import prepare
from hyena_glt.tokenize import BOS, PAD, alphabet
from hyena_glt.train.tasks import TaskModule

Stage = Literal["inspect", "prepare"]
Network = Literal["small", "tiny"]  # of suites, and about the least that there is

SHORT_RECORDS, LONG_RECORDS = 100_000, 10_000_000
LENGTH_BP = 100
LIMIT_BYTES = 4 * 10**9
CHUNK = 100_000
ROUNDS = 5
STEPS = 40
STEP_RECORDS = 32
NETWORKS: dict[Network, tuple[str, ...]] = {
    "small": (),
    "tiny": (
        "model.stages.0={width: 16, mlp_width: 16, encoder: S, decoder: S, "
        "patch: {kind: fixed, size_bp: 4}}",
        "model.backbone={width: 16, mlp_width: 16, layout: S}",
        "model.mixers={}",
    ),
}
SEED = 0


class Case(NamedTuple):
    """Batches of one kind."""

    length_bp: int
    rows: int
    batch: int  # rows
    limit: int  # bases a second
    augment: Augment | None


CHANGES = Augment(alphabet("dna"), reverse_complement=0.5, shift_bp=10, mutation=0.02)
CASES = {
    "100_bp": Case(100, 50_000, 256, 5_000_000, None),
    "100_bp_changed": Case(100, 50_000, 256, 5_000_000, CHANGES),
    "8_kb": Case(8192, 4_000, 8, 50_000_000, None),
}


def write_table(path: Path, records: int, length_bp: int) -> None:
    """Write a CSV of random sequences of two classes; some come twice."""
    rng = np.random.default_rng(SEED)
    with path.open("wb") as file:
        file.write(b"sequence,label\n")
        for start in range(0, records, CHUNK):
            count = min(CHUNK, records - start)
            lines = np.empty((count, length_bp + 3), np.uint8)
            letters = rng.integers(0, 4, (count, length_bp), dtype=np.uint8)
            lines[:, :length_bp] = np.frombuffer(b"ACGT", np.uint8)[letters]
            lines[:, length_bp:] = np.frombuffer(b",0\n", np.uint8)
            lines[1::2, length_bp + 1] = ord("1")
            lines[99::100, :length_bp] = lines[: count - count % 100 : 100, :length_bp]
            file.write(lines.tobytes())


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(stage: Stage, table: Path) -> dict[str, float]:
    """Inspect or prepare ``table`` in this process; return its memory before and at the peak."""
    import pyarrow  # noqa: F401, what it takes is no record's

    config = guess_dataset([str(table)])
    before, start_s = peak_bytes(), time.perf_counter()
    if stage == "inspect":
        parts = inspect_sources(config).report["parts"]
        records = sum(about["examples"] for about in parts.values())
    else:
        with tempfile.TemporaryDirectory(dir=table.parent) as folder:
            records = prepare_dataset(config, Path(folder)).rows
    seconds = time.perf_counter() - start_s
    return {
        "records": records,
        "seconds": round(seconds, 2),
        "records_per_s": round(records / seconds),
        "before_bytes": before,
        "peak_bytes": peak_bytes(),
    }


def measured_alone(stage: Stage, records: int) -> dict[str, Any]:
    """Return what `measure` finds in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        write_table(table, records, LENGTH_BP)
        command = [sys.executable, __file__, "--alone", stage, "--table", str(table)]
        found: dict[str, Any] = json.loads(subprocess.check_output(command, text=True))
    assert found["records"] == records
    return found


def memory_of(cells: Cells, stage: Stage, records: int) -> dict[str, Any]:
    """Return what a stage takes of a tenth of ``records`` and of all, and what a record does."""
    sizes = [records // 10, records]
    found = {
        str(size): cells.cell(f"{stage} {size}", partial(measured_alone, stage, size))
        for size in sizes
    }
    small, large = (found[str(size)]["peak_bytes"] for size in sizes)
    a_record = max(0.0, (large - small) / (sizes[1] - sizes[0]))
    of_long = large + a_record * (LONG_RECORDS - records)
    return {
        "sizes": found,
        "bytes_a_record": round(a_record, 1),
        "peak_bytes_of_10_million": round(of_long),
    }


def prepared(folder: Path, case: Case) -> Rows:
    """Return the rows of a new dataset of a case."""
    write_table(folder / "train.csv", case.rows, case.length_bp)
    prepare_dataset(guess_dataset([str(folder / "train.csv")]), folder / "dataset")
    return open_dataset(folder / "dataset").part("train")


def loader_of(rows: Rows, case: Case, workers: int) -> ExampleLoader:
    """Return what gives the batches of a case."""

    def order(epoch: int) -> EpochOrder:
        return EpochOrder(rows.lengths(), case.batch, SEED, epoch)

    return ExampleLoader(rows, "class", order, augment=case.augment, seed=SEED, workers=workers)


def bases_per_second(loader: ExampleLoader) -> float:
    """Return the speed of an epoch from its second batch on: the first waits for the worker."""
    loader.begin(0)
    bases, start_s = 0, 0.0
    for number, batch in enumerate(loader):
        if not number:
            start_s = time.perf_counter()
            continue
        bases += int(batch.length.sum()) - len(batch.length)
    return bases / (time.perf_counter() - start_s)


def check(rows: Rows, case: Case) -> None:
    """Compare an epoch's batches with the rows of the dataset; SystemExit where they differ."""
    loader = loader_of(rows, case, workers=0)
    seen = 0
    for batch in loader:
        for number, ids, length in zip(
            batch.rows.tolist(), batch.ids.numpy(), batch.length.tolist(), strict=True
        ):
            stored = rows[number].sequence
            lost = 0 if case.augment is None else case.augment.shift_bp
            same = case.augment is not None or np.array_equal(ids[1:length], stored)
            whole = length == len(stored) - lost + 1 and ids[0] == BOS
            if not (same and whole and (ids[length:] == PAD).all()):
                raise SystemExit(f"row {number} differs in its batch: no speed is reported")
            seen += 1
    if seen != len(rows):
        raise SystemExit(f"an epoch holds {seen} rows of {len(rows)}: no speed is reported")


def batches() -> dict[str, dict[str, Any]]:
    """Return the median speed of each case, beside its limit."""
    with tempfile.TemporaryDirectory() as folder:
        rows: dict[str, Rows] = {}
        for name, case in CASES.items():
            (Path(folder) / name).mkdir()
            rows[name] = prepared(Path(folder) / name, case)
            check(rows[name], case)
        speeds: dict[str, list[float]] = {name: [] for name in CASES}
        for _ in range(ROUNDS):
            for name, case in CASES.items():
                speeds[name].append(bases_per_second(loader_of(rows[name], case, workers=1)))
    return {
        name: {
            "bases_per_s": round(median(speeds[name])),
            "runs": [round(speed) for speed in speeds[name]],
            "limit_bases_per_s": case.limit,
        }
        for name, case in CASES.items()
    }


def training_steps(threads: int) -> dict[str, dict[str, Any]]:
    """Return, for each network, what a training step waits for its batch, and what it takes.

    Batches are made in the process that trains, which is the most that a step could wait.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            case = CASES["100_bp"]
            tables = [Path(folder) / f"{part}.csv" for part in ("train", "validation")]
            for table in tables:
                write_table(table, case.rows, case.length_bp)
            dataset = Path(folder) / "dataset"
            prepare_dataset(guess_dataset([str(table) for table in tables]), dataset)
            return {network: _step_of(network, dataset) for network in get_args(Network)}
    finally:
        torch.set_num_threads(before)


def _step_of(network: Network, dataset: Path) -> dict[str, Any]:
    augment = {name: getattr(CHANGES, name) for name in AugmentConfig.model_fields}
    changes = [
        f"dataset={dataset}",
        f"augment={json.dumps(augment)}",
        f"train.batch_examples={STEP_RECORDS}",
        *NETWORKS[network],
    ]
    small = resources.files("hyena_glt.suites") / "recipes/small.yaml"
    with resources.as_file(small) as path:
        recipe = load_finetune_recipe(path, changes)
    made = prepare(recipe, open_dataset(dataset))
    module = TaskModule(made.network, recipe.train, STEPS, None)
    module.log = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer
    optimiser = module.configure_optimizers()["optimizer"]
    batches = iter(made.batches)
    waited, stepped = [], []
    for _ in range(STEPS):
        start_s = time.perf_counter()
        batch = next(batches)
        begin_s = time.perf_counter()
        loss = module.training_step(batch, 0)
        assert loss is not None
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        waited.append(begin_s - start_s)
        stepped.append(time.perf_counter() - begin_s)
    batch_ms, step_ms = 1000 * median(waited), 1000 * median(stepped)
    return {
        "batch_ms": round(batch_ms, 3),
        "step_ms": round(step_ms, 2),
        "batch_over_step": round(batch_ms / step_ms, 5),
    }


def passed(found: dict[str, Any]) -> bool:
    """Return whether all limits hold."""
    of_memory = all(
        about["peak_bytes_of_10_million"] <= LIMIT_BYTES for about in found["memory"].values()
    )
    of_speed = all(
        about["bases_per_s"] >= about["limit_bases_per_s"] for about in found["batches"].values()
    )
    of_steps = all(about["batch_over_step"] < 1 for about in found["training_steps"].values())
    return of_memory and of_speed and of_steps


def main() -> int:
    """Print the results; return the exit code."""
    parser = argparse.ArgumentParser(description="Memory and speed of labelled data.")
    parser.add_argument("--long", action="store_true", help=f"{LONG_RECORDS:,} records")
    parser.add_argument("--records", type=int, help="so many, 10 or more")
    parser.add_argument("--threads", type=int, default=2, help="of training steps")
    add_out(parser)
    parser.add_argument("--alone", choices=get_args(Stage), help="measure --table in this process")
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(measure(arguments.alone, arguments.table)))
        return 0
    records = arguments.records or (LONG_RECORDS if arguments.long else SHORT_RECORDS)
    about = {"records": records, "length_bp": LENGTH_BP, "rounds": ROUNDS, "machine": here()}
    cells = Cells(arguments.out, about)
    found: dict[str, Any] = {
        "memory": {stage: memory_of(cells, stage, records) for stage in get_args(Stage)},
        "limit_bytes": LIMIT_BYTES,
        "batches": cells.cell("batches", batches),
        "threads": arguments.threads,
        "training_steps": cells.cell(
            f"training_steps {arguments.threads}", partial(training_steps, arguments.threads)
        ),
    }
    found["passed"] = passed(found)
    cells.show(found)
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
