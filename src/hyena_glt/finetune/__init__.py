"""Takes a recipe and a prepared dataset; gives a network that answers a task, and its answers."""

from hyena_glt.finetune.answers import Answers, answer, measure
from hyena_glt.finetune.evaluation import Evaluation, evaluate
from hyena_glt.finetune.predict import Prediction, Predictor, predict
from hyena_glt.finetune.run import FinetuningReport, finetune

__all__ = [
    "Answers",
    "Evaluation",
    "FinetuningReport",
    "Prediction",
    "Predictor",
    "answer",
    "evaluate",
    "finetune",
    "measure",
    "predict",
]
