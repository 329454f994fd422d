"""A suite from its files to its tables: which cells there are, and which of them are done."""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import numpy as np

from hyena_glt.config import FinetuneRecipe, load_finetune_recipe
from hyena_glt.config.examples import Part
from hyena_glt.config.suites import SetConfig, SuiteConfig
from hyena_glt.data import file_sha256
from hyena_glt.data.examples import Dataset
from hyena_glt.data.examples.dataset import MANIFEST
from hyena_glt.data.examples.sketch import exact_hashes
from hyena_glt.errors import CheckpointError, DeviceError, HyenaGLTError, RecipeError, StorageError
from hyena_glt.finetune import Answers, measure
from hyena_glt.finetune.setup import answer_names, lengths_of
from hyena_glt.suites.contenders import Contender, Outcome, TerminatedError, run_contender
from hyena_glt.suites.datasets import prepared
from hyena_glt.suites.library import absent_files
from hyena_glt.suites.results import Cell, NotRun, Results, plain, read_results, save_results
from hyena_glt.suites.tables import write_tables
from hyena_glt.tokenize import alphabet
from hyena_glt.train.run import Device

CONTENDERS: Final[tuple[Contender, ...]] = get_args(Contender)
_PROTOCOL = 2  # a change of how cells are made and measured makes those before it another's
_OUT_OF_TIME = "out of time (--minutes)"


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """What of a suite is run, and how."""

    data: Path
    out: Path
    seeds: int = 5
    contenders: Sequence[Contender] = CONTENDERS
    only: str | None = None  # a regular expression that a set's name must match somewhere
    minutes: float | None = None
    init: Path | None = None
    recipe: Path | None = None
    overrides: Sequence[str] = field(default_factory=tuple)
    device: Device = "cpu"
    command: str = ""


class _Due(NamedTuple):
    """A cell to be made."""

    each: SetConfig
    contender: Contender
    seed: int


def run_suite(
    suite: SuiteConfig,
    options: BenchmarkOptions,
    told: Callable[[Cell | NotRun], None] = lambda _: None,
) -> tuple[Results, bool]:
    """Run what isn't finished of ``suite``; return all results, and whether it was terminated.

    results.json is written after each cell, results.csv and results.md at the end. A cell that is
    there already with the same recipe and dataset isn't run again. All sets have their first seed
    before any has its second. A set whose files are absent, a contender that has no answer, and
    what there was no time for is in ``not_run`` with its reason.

    Raises RecipeError for a wrong recipe, contender or regular expression; StorageError where
    ``out`` can't be written or holds another suite's results.
    """
    _check(options)
    sets = _chosen(suite, options.only)
    results = read_results(options.out, suite.name)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{options.out}: can't be written ({error.strerror}); choose another --out"
        ) from error
    began = time.monotonic()
    datasets: dict[tuple[str, int], Dataset] = {}
    terminated = False

    def leave_out(due: _Due, reason: str) -> None:
        found = NotRun(set=due.each.name, contender=due.contender, seed=due.seed, reason=reason)
        results.not_run.append(found)
        told(found)

    for due in _cells(sets, options):
        absent = absent_files(due.each, options.data)
        if absent:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            leave_out(due, f"{absent[0]} absent{more}")
            continue
        try:
            key = (due.each.name, due.seed)
            if key not in datasets:
                datasets[key] = prepared(due.each, due.seed, options.data, options.out)
            recipe = _recipe(due, datasets[key], options)
            checksum = _checksum(due, recipe, datasets[key])
            kept = _kept(results, due, checksum)
            if kept is not None:
                results.put(kept)
                told(kept)
            elif terminated:
                leave_out(due, "terminated")
            elif options.minutes is not None and (time.monotonic() - began >= 60 * options.minutes):
                leave_out(due, _OUT_OF_TIME)
            else:
                cell = _run(due, recipe, checksum, datasets[key], options)
                results.put(cell)
                told(cell)
            save_results(options.out, results)
        except TerminatedError:
            terminated = True
            leave_out(due, "terminated; the same command goes on")
        except (StorageError, DeviceError):
            raise
        except HyenaGLTError as error:
            leave_out(due, " ".join(str(error).split()))
    save_results(options.out, results)
    write_tables(options.out, suite, sets, options.contenders, results)
    return results, terminated


def _check(options: BenchmarkOptions) -> None:
    for name in options.contenders:
        if name not in CONTENDERS:
            raise RecipeError(
                f"contender {name!r}: there is none of that name; expected some of "
                f"{', '.join(CONTENDERS)}"
            )
    if not options.contenders:
        raise RecipeError(f"no contender is named; expected some of {', '.join(CONTENDERS)}")
    if options.seeds < 1:
        raise RecipeError(f"seeds is {options.seeds}; expected 1 or more")
    if options.init is not None and not options.init.is_dir():
        raise CheckpointError(f"{options.init}: no such folder; expected a checkpoint")


def _chosen(suite: SuiteConfig, only: str | None) -> list[SetConfig]:
    if only is None:
        return list(suite.sets)
    try:
        wanted = re.compile(only)
    except re.error as error:
        raise RecipeError(f"only={only!r}: is no regular expression ({error})") from None
    sets = [each for each in suite.sets if wanted.search(each.name)]
    if not sets:
        raise RecipeError(
            f"only={only!r}: no set of {suite.name} has such a name; there are "
            f"{', '.join(each.name for each in suite.sets)}"
        )
    return sets


def _cells(sets: Sequence[SetConfig], options: BenchmarkOptions) -> Iterator[_Due]:
    """Give all cells, the first seed of every set before the second of any."""
    for seed in range(options.seeds):
        for each in sets:
            for contender in options.contenders:
                yield _Due(each, contender, seed)


def _recipe(due: _Due, dataset: Dataset, options: BenchmarkOptions) -> FinetuneRecipe:
    """Return the template with what the cell says filled in."""
    said = {
        "name": f"{due.each.name}-{due.seed}",
        "seed": due.seed,
        "dataset": str(dataset.folder),
        "task": _task(due.each, dataset),
        "train.metric": due.each.metrics[0],
    }
    if options.init is not None:
        said |= {"init": str(options.init), "model": None}
    overrides = [*(f"{k}={json.dumps(v)}" for k, v in said.items()), *options.overrides]
    small = resources.files("hyena_glt.suites") / "recipes/small.yaml"
    with (
        resources.as_file(small) if options.recipe is None else nullcontext(options.recipe) as path
    ):
        recipe = load_finetune_recipe(path, overrides)
    if recipe.curriculum is not None:
        raise RecipeError(
            f"{path}: curriculum would give ours fewer examples than floors; remove it"
        )
    return recipe


def _task(each: SetConfig, dataset: Dataset) -> dict[str, Any]:
    """Return a set's task, pooled by place where all sequences have one length.

    Such sets are cut around something, and what stands where is half of the answer. A suite or an
    override may say otherwise.
    """
    said: dict[str, Any] = each.task.model_dump(mode="json", exclude_unset=True)
    if hasattr(each.task, "pooling") and "pooling" not in said:
        parts: tuple[Part, ...] = ("train", "validation", "test")
        lengths = np.concatenate([lengths_of(dataset.part(part)) for part in parts])
        if len(lengths) and lengths.min() == lengths.max():
            said["pooling"] = {"kind": "aligned", "length_bp": int(lengths[0])}
    return said


def _checksum(due: _Due, recipe: FinetuneRecipe, dataset: Dataset) -> str:
    """Return what stays the same as long as the cell would come out the same.

    A linear floor on sequences depends on neither seed nor training.
    """
    said = recipe.model_dump(mode="json", exclude={"dataset", "name"})
    if due.contender in ("kmer", "onehot"):
        kept = {"task", "seed"} if dataset.manifest.target == "bases" else {"task"}
        said = {name: value for name, value in said.items() if name in kept}
        said["metric"] = recipe.train.metric
    elif due.contender != "ours":
        said = {name: value for name, value in said.items() if name not in ("init", "model")}
    else:
        if recipe.init is not None:
            manifest = Path(recipe.init) / MANIFEST
            said["weights"] = file_sha256(manifest) if manifest.is_file() else ""
        if due.each.both_strands:
            said["both_strands"] = True
    data = file_sha256(dataset.folder / MANIFEST)
    text = json.dumps([_PROTOCOL, due.contender, due.each.strata, said, data], sort_keys=True)
    return sha256(text.encode()).hexdigest()


def _kept(results: Results, due: _Due, checksum: str) -> Cell | None:
    """Return the cell if it is finished, by this seed or by another with the same checksum."""
    for cell in results.of(due.each.name, due.contender):
        if cell.checksum == checksum:
            return Cell(**{**vars(cell), "seed": due.seed})
    return None


def _run(
    due: _Due, recipe: FinetuneRecipe, checksum: str, dataset: Dataset, options: BenchmarkOptions
) -> Cell:
    slug = due.each.name.replace("/", "-")
    folder = options.out / "runs" / slug / f"{due.contender}-{due.seed}-{checksum[:8]}"
    if not len(dataset.part("test")):
        raise RecipeError(f"{due.each.name}: its test part is empty; change the suite's split")
    began = time.perf_counter()
    outcome = run_contender(
        due.contender,
        recipe,
        dataset,
        folder,
        options.device,
        options.command,
        both_strands=due.each.both_strands,
    )
    seconds = time.perf_counter() - began
    leaked = leaked_rows(dataset)
    names = answer_names(dataset)

    def measured(rows: np.ndarray) -> dict[str, float]:
        return _measured(recipe, outcome, rows, names)

    clean = np.flatnonzero(~leaked)
    whole = measured(np.arange(len(leaked)))
    for metric in due.each.metrics:
        if metric not in whole:
            raise RecipeError(
                f"{due.each.name}: metric {metric} isn't measured; expected some of "
                f"{', '.join(sorted(whole))}"
            )
    return Cell(
        set=due.each.name,
        contender=due.contender,
        seed=due.seed,
        checksum=checksum,
        parameters=outcome.parameters,
        epochs=outcome.epochs,
        examples_seen=outcome.examples_seen,
        train_rows=len(dataset.part("train")),
        test_rows=len(leaked),
        seconds=round(seconds, 3),
        validation=plain(outcome.validation),
        metrics=plain(whole),
        leaked_rows=int(leaked.sum()),
        without_leaked=plain(measured(clean)) if leaked.any() and len(clean) else None,
        strata={
            name: plain(measured(rows)) | {"rows": float(len(rows))}
            for name, rows in _strata(due.each, dataset).items()
        },
    )


def _measured(
    recipe: FinetuneRecipe, outcome: Outcome, rows: np.ndarray, names: tuple[str, ...]
) -> dict[str, float]:
    """Return the metrics of some of the test rows."""
    values, targets = outcome.answers.values, outcome.answers.targets
    assert targets is not None, "the test part has labels"
    picked = rows.tolist()
    some = Answers([values[i] for i in picked], [targets[i] for i in picked], None)
    return measure(recipe.task, some, names)


def leaked_rows(dataset: Dataset) -> np.ndarray:
    """Return which test rows have a sequence (of pairs, both) that train or validation has too."""
    letters = alphabet(dataset.manifest.config.modality)

    def keys(part: str) -> np.ndarray:
        rows = dataset.part(part)  # type: ignore[arg-type]
        texts = [
            row.sequence.tobytes()
            + (b"" if row.alternative is None else b"/" + row.alternative.tobytes())
            for row in rows
        ]
        return exact_hashes(texts, letters) if texts else np.empty(0, np.uint64)

    seen = np.concatenate([keys("train"), keys("validation")])
    return np.asarray(np.isin(keys("test"), seen))


def _strata(each: SetConfig, dataset: Dataset) -> dict[str, np.ndarray]:
    """Return the test rows of each stratum, by its name."""
    if each.strata is None:
        return {}
    pattern = re.compile(each.strata)
    rows: dict[str, list[int]] = {}
    for number, row in enumerate(dataset.part("test")):
        found = pattern.search(row.name)
        rows.setdefault(found.group(1) if found else "other", []).append(number)
    return {name: np.array(numbers) for name, numbers in sorted(rows.items())}
