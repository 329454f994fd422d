"""Takes a recipe and a prepared dataset; gives a network that answers a task, and its answers."""

from hyena_glt.finetune.answers import Answers, answer, measure
from hyena_glt.finetune.evaluation import Evaluation, evaluate
from hyena_glt.finetune.multitask import MultitaskReport, finetune_tasks
from hyena_glt.finetune.overlap import Overlap, check_overlap, pretraining_overlap
from hyena_glt.finetune.predict import Prediction, Predictor, predict
from hyena_glt.finetune.run import FinetuningReport, finetune
from hyena_glt.finetune.sweep import SweepReport, TrialResult, sweep
from hyena_glt.finetune.zero_shot import Ranked, rank

__all__ = [
    "Answers",
    "Evaluation",
    "FinetuningReport",
    "MultitaskReport",
    "Overlap",
    "Prediction",
    "Predictor",
    "Ranked",
    "SweepReport",
    "TrialResult",
    "answer",
    "check_overlap",
    "evaluate",
    "finetune",
    "finetune_tasks",
    "measure",
    "predict",
    "pretraining_overlap",
    "rank",
    "sweep",
]
