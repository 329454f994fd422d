"""Many runs of one fine-tuning recipe whose settings vary, to find the best by validation."""

import csv
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import yaml

from hyena_glt.config import TuningRecipe, load_tuning_recipe
from hyena_glt.config.sweep import (
    ChoiceVaryConfig,
    FloatVaryConfig,
    SweepConfig,
    VaryConfig,
    setting_text,
    values_to_check,
    with_tuning_overrides,
)
from hyena_glt.errors import (
    CheckpointError,
    MissingExtraError,
    RecipeError,
    StorageError,
    TrainingError,
)
from hyena_glt.finetune.by_recipe import (
    datasets_sha256,
    is_lower_better,
    prepare,
    recipes_of,
    tune,
)
from hyena_glt.finetune.run import RECORD
from hyena_glt.finetune.setup import files_sha256
from hyena_glt.io import replacing_file
from hyena_glt.train.run import Device

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

_FILES = {
    "datasets_sha256": "dataset",
    "files_sha256": "checkpoint to begin with, or another table of a curriculum",
}
# Settings that nothing is checked against the data for: all values are alike before a step.
_OF_STEPS_ALONE = (
    "lr",
    "muon_lr",
    "head_lr",
    "weight_decay",
    "warmup_fraction",
    "clip_norm",
    "patience_epochs",
    "precision",
)
# What a task may have otherwise, and its loss on validation means the same.
_BESIDE_THE_LOSS = {"pooling", "strands", "class_weights", "positive_weights"}
_RECORD, _JOURNAL, TABLE, BEST = "sweep.json", "study.journal", "trials.csv", "best.yaml"


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """One run of a sweep, in OUT/trial-NNN; a failed one has an ``error`` and no ``value``."""

    number: int
    settings: dict[str, str]  # as overrides of the recipe take them
    value: float | None  # of the metric, at the best epoch
    best_epoch: int | None
    epochs: int | None
    error: str | None

    @property
    def folder(self) -> str:
        """The run's folder in that of the sweep."""
        return f"trial-{self.number:03}"


@dataclass(frozen=True, kw_only=True)
class SweepReport:
    """What a sweep found; ``best`` is None where no trial has finished yet."""

    metric: str
    lower_is_better: bool
    trials: tuple[TrialResult, ...]
    best: TrialResult | None
    stopped: Literal["finished", "minutes", "terminated"]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data, as JSON holds it."""
        return {**asdict(self), "trials": [asdict(trial) for trial in self.trials]}


def sweep(
    config: SweepConfig,
    out: Path,
    *,
    resume: bool = False,
    device: Device = "cpu",
    command: str = "",
    on_trial: Callable[[TrialResult], None] | None = None,
) -> SweepReport:
    """Run trials of ``config`` one after another, each a fine-tuning in ``out/trial-NNN``.

    The study, ``trials.csv`` and ``best.yaml``, a recipe, are kept up to date in ``out``;
    ``on_trial`` is called after each trial. ``resume`` goes on with the trial under way. A trial
    whose loss isn't finite, that runs out of a device's memory or whose settings don't go together
    has failed, and the sweep goes on. The test part is never read.

    Before anything trains raises RecipeError for a setting or a metric that there isn't and for
    values that the recipe refuses, MissingExtraError without optuna, and what `finetune` raises.
    Raises TrainingError where all trials failed.
    """
    _require_optuna()
    plan = _plan(config)
    record = {
        "vary": config.model_dump(mode="json")["vary"],
        "seed": config.seed,
        "recipe": plan.recipe.model_dump(mode="json"),
        "datasets_sha256": datasets_sha256(plan.recipe),
        "files_sha256": files_sha256(
            *chain.from_iterable(map(recipes_of, [plan.recipe, *chain(*plan.varied().values())]))
        ),
    }
    if resume:
        _check_same(out, record)
    else:
        _check(plan)
        _begin(out, record)
    with _quiet_optuna():
        return _run(plan, out, device, command, on_trial)


@dataclass(frozen=True)
class _Plan:
    config: SweepConfig
    recipe: TuningRecipe  # with the sweep's metric

    def recipe_with(self, settings: dict[str, str], where: str) -> TuningRecipe:
        """Return a trial's recipe; what ``settings`` say of the metric doesn't count."""
        overrides = [f"{name}={text}" for name, text in settings.items()]
        overrides.append(f"train.metric={setting_text(self.recipe.train.metric)}")
        return with_tuning_overrides(self.recipe, overrides, where)

    def varied(self) -> dict[str, list[TuningRecipe]]:
        """Return recipes with one value each of what varies, by its name.

        Raises RecipeError for a value that the recipe refuses.
        """
        return {
            name: [
                self.recipe_with({name: text}, f"vary: {name}={text}")
                for text in map(setting_text, values_to_check(vary))
            ]
            for name, vary in self.config.vary.items()
        }


def _plan(config: SweepConfig) -> _Plan:
    recipe = load_tuning_recipe(Path(config.recipe))
    if config.metric is not None:
        override = f"train.metric={setting_text(config.metric)}"
        recipe = with_tuning_overrides(recipe, [override], config.recipe)
    return _Plan(config, recipe)


def _check(plan: _Plan) -> None:
    """Raise what is wrong with the recipe, the metric, or any one value that varies."""
    base, varied = plan.recipe, plan.varied()
    prepare(base).check_metric("cpu")
    alike = {name: getattr(base.train, name) for name in _OF_STEPS_ALONE}
    seen = [base]
    for recipe in chain(*varied.values()):
        train = recipe.train.model_copy(update=alike)
        bare = recipe.model_copy(update={"train": train, "seed": base.seed})
        if bare not in seen:
            seen.append(bare)
            prepare(recipe)
    if base.train.metric.rpartition("/")[2] == "loss":
        for name, recipes in varied.items():
            _check_loss(name, recipes)


def _check_loss(name: str, recipes: list[TuningRecipe]) -> None:
    """Raise RecipeError where losses aren't one quantity, and the least says nothing."""
    losses = [
        [_without(one.task.model_dump(mode="json")) for one in recipes_of(recipe)]
        for recipe in recipes
    ]
    if any(loss != losses[0] for loss in losses):
        raise RecipeError(
            f"vary: {name} changes what the loss is, and trials are compared by it; set metric to "
            "one that means the same in all: nll_nats, rmse, mcc (of a task among several: "
            "TASK/mcc)"
        )


def _without(task: dict[str, Any]) -> dict[str, Any]:
    """Return what of a task says what its loss on validation is."""
    return {
        name: _without(value) if isinstance(value, dict) else value
        for name, value in task.items()
        if name not in _BESIDE_THE_LOSS
    }


def _begin(out: Path, record: dict[str, Any]) -> None:
    """Write down what the sweep is, in a folder that is free."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecipeError(f"{out}: is there already; go on with --resume, or choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{out}: can't be written ({error.strerror}); choose another") from error
    with replacing_file(out / _RECORD) as aside:
        aside.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _check_same(out: Path, record: dict[str, Any]) -> None:
    """Raise where ``out`` holds no sweep to resume, or another; ``trials`` may be more."""
    if not (out / _RECORD).is_file():
        raise CheckpointError(f"{out}: holds no sweep to resume; start it without --resume")
    written = json.loads((out / _RECORD).read_text(encoding="utf-8"))
    for key, value in record.items():
        # As text: tasks in another order are another run.
        if json.dumps(written.get(key)) != json.dumps(value):
            what = _FILES.get(key, key)
            raise RecipeError(
                f"{out}: was begun with another {what}; resume with the same (trials and minutes "
                "may be others)"
            )


def _run(
    plan: _Plan,
    out: Path,
    device: Device,
    command: str,
    on_trial: Callable[[TrialResult], None] | None,
) -> SweepReport:
    """Run the trials that are missing."""
    config = plan.config
    study = _open_study(out / _JOURNAL, is_lower_better(plan.recipe))
    end = math.inf if config.minutes is None else time.monotonic() + 60 * config.minutes
    stopped: Literal["finished", "minutes", "terminated"] = "finished"
    while (begun := _under_way(study)) or len(study.trials) < config.trials:
        if time.monotonic() > end:
            stopped = "minutes"
            break
        trial = _trial(study, config.seed, begun)
        settings = {name: _suggest(trial, name, vary) for name, vary in config.vary.items()}
        if not _run_trial(plan, study, trial, settings, out, device, command):
            stopped = "terminated"
            break
        report = _report(plan, study, stopped)
        _write(report, plan, out)
        if on_trial is not None:
            on_trial(report.trials[-1])
    report = _report(plan, study, stopped)
    _write(report, plan, out)
    if report.best is None and stopped == "finished":
        raise TrainingError(
            f"{out}: all {len(report.trials)} trials failed, the last with: "
            f"{report.trials[-1].error}"
        )
    return report


def _open_study(journal: Path, lower_is_better: bool) -> "Study":
    """Return the study that ``journal`` holds, or a new one."""
    from optuna import create_study
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if journal.is_file():
        # A power cut can leave half a line, which the next would be glued to.
        written = journal.read_bytes()
        whole = written[: written.rfind(b"\n") + 1]
        if whole != written:
            with replacing_file(journal) as aside:
                aside.write_bytes(whole)
    return create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name="sweep",
        direction="minimize" if lower_is_better else "maximize",
        load_if_exists=True,
    )


def _under_way(study: "Study") -> "FrozenTrial | None":
    """Return the trial that a killed sweep left, if it did."""
    from optuna.trial import TrialState

    return next(iter(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))), None)


def _trial(study: "Study", seed: int, begun: "FrozenTrial | None") -> "Trial":
    """Return the trial ``begun`` or else the next, to be asked for settings.

    Each trial has a random stream of its own, so that a resumed sweep draws what a whole one draws.
    """
    from optuna import Trial
    from optuna.samplers import TPESampler

    number = len(study.trials) if begun is None else begun.number
    stream = np.random.SeedSequence([seed, number])
    study.sampler = TPESampler(seed=int(stream.generate_state(1)[0]))
    return study.ask() if begun is None else Trial(study, begun._trial_id)


def _suggest(trial: "Trial", name: str, vary: VaryConfig) -> str:
    """Return what the study draws for a setting, as an override takes it; once for each trial."""
    if isinstance(vary, ChoiceVaryConfig):
        return trial.suggest_categorical(name, [setting_text(value) for value in vary.values])
    if isinstance(vary, FloatVaryConfig):
        return setting_text(trial.suggest_float(name, vary.low, vary.high, log=vary.log))
    return setting_text(trial.suggest_int(name, vary.low, vary.high, log=vary.log))


def _run_trial(
    plan: _Plan,
    study: "Study",
    trial: "Trial",
    settings: dict[str, str],
    out: Path,
    device: Device,
    command: str,
) -> bool:
    """Run a trial and tell the study; False where it was terminated, and stays under way."""
    from optuna.trial import TrialState

    trial.set_user_attr("settings", settings)
    folder = out / f"trial-{trial.number:03}"
    metric = plan.recipe.train.metric
    value, error = math.nan, f"{metric} isn't defined at any epoch"
    try:
        recipe = plan.recipe_with(settings, folder.name)
        begun = (folder / RECORD).is_file()
        ran = tune(recipe, folder, resume=begun, device=device, command=command)
    except (RecipeError, TrainingError, torch.OutOfMemoryError) as failure:
        error = str(failure)
    else:
        if ran.stopped == "terminated":
            return False
        value = ran.validation[metric]
        trial.set_user_attr("epochs", ran.epochs)
        trial.set_user_attr("best_epoch", ran.best_epoch)
    if math.isfinite(value):
        study.tell(trial, value)
    else:
        trial.set_user_attr("error", error)
        study.tell(trial, state=TrialState.FAIL)
    return True


def _report(
    plan: _Plan, study: "Study", stopped: Literal["finished", "minutes", "terminated"]
) -> SweepReport:
    """Return what the study holds; of trials as good as each other the first is best."""
    metric = plan.recipe.train.metric
    lower = is_lower_better(plan.recipe)
    trials = tuple(
        TrialResult(
            number=found.number,
            settings=found.user_attrs["settings"],
            value=found.value,
            best_epoch=found.user_attrs.get("best_epoch"),
            epochs=found.user_attrs.get("epochs"),
            error=found.user_attrs.get("error"),
        )
        for found in study.get_trials(deepcopy=False)
        if found.state.is_finished()
    )
    finished = [(trial.value, trial) for trial in trials if trial.value is not None]
    choose = min if lower else max
    best = choose(finished, key=lambda pair: pair[0])[1] if finished else None
    return SweepReport(
        metric=metric, lower_is_better=lower, trials=trials, best=best, stopped=stopped
    )


def _write(report: SweepReport, plan: _Plan, out: Path) -> None:
    """Write the table of trials, and the best one's recipe."""
    names = list(plan.config.vary)
    with (
        replacing_file(out / TABLE) as aside,
        aside.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["trial", report.metric, "best_epoch", "epochs", *names, "error"])
        for trial in report.trials:
            settings = [trial.settings[name] for name in names]
            numbers = [trial.value, trial.best_epoch, trial.epochs]
            table.writerow([trial.folder, *numbers, *settings, trial.error])
    if report.best is not None:
        recipe = plan.recipe_with(report.best.settings, report.best.folder)
        text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
        with replacing_file(out / BEST) as aside:
            aside.write_text(
                f"# {report.best.folder}: {report.metric} {report.best.value}\n{text}",
                encoding="utf-8",
            )


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Keep optuna from telling of each trial on stderr."""
    from optuna import logging

    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _require_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "a sweep needs the package optuna, which isn't installed; "
            'run: pip install "hyena-glt[sweep]"'
        ) from error
