"""What a task's settings may be, and which would have no effect."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from hyena_glt.config.tasks import BalanceConfig, TaskConfig

TASK: TypeAdapter[Any] = TypeAdapter(TaskConfig)
BALANCE: TypeAdapter[Any] = TypeAdapter(BalanceConfig)


@pytest.mark.parametrize(
    "task",
    [
        {"kind": "classification", "class_weights": {"tata": 2.0, "none": 0.5}},
        {"kind": "classification", "pooling": {"kind": "last"}},
        {"kind": "multilabel", "positive_weights": "balanced", "focal_gamma": 2.0},
        {"kind": "regression", "learn_variance": True, "standardise": False},
        {"kind": "regression", "likelihood": "poisson"},
        {"kind": "bases", "crf": True},
        {"kind": "signal", "likelihood": "gaussian", "bin_bp": 128},
        {"kind": "pair", "answer": {"kind": "classification", "label_smoothing": 0.1}},
        {"kind": "pair", "answer": {"kind": "regression", "likelihood": "poisson"}},
    ],
)
def test_a_task_comes_back_from_its_own_json(task: dict[str, Any]) -> None:
    read = TASK.validate_python(task)
    assert read.kind == task["kind"]
    assert TASK.validate_json(TASK.dump_json(read)) == read


def test_targets_are_standardised_unless_they_are_counts() -> None:
    assert TASK.validate_python({"kind": "regression"}).standardise
    assert not TASK.validate_python({"kind": "regression", "likelihood": "poisson"}).standardise
    pair = {"kind": "pair", "answer": {"kind": "regression", "likelihood": "poisson"}}
    assert not TASK.validate_python(pair).answer.standardise


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"kind": "clasification"}, "clasification"),
        ({"kind": "classification", "crf": True}, "crf"),
        ({"kind": "classification", "label_smoothing": 1.0}, "less than 1"),
        ({"kind": "classification", "focal_gamma": -1}, "greater than or equal to 0"),
        ({"kind": "classification", "class_weights": {"tata": 0}}, "greater than 0"),
        ({"kind": "classification", "class_weights": "even"}, "balanced"),
        ({"kind": "classification", "pooling": {"kind": "sum"}}, "'last' or 'aligned'"),
        ({"kind": "multilabel", "label_smoothing": 0.1}, "label_smoothing"),
        (
            {"kind": "regression", "likelihood": "poisson", "standardise": True},
            "standardise can't be true with likelihood=poisson",
        ),
        (
            {"kind": "regression", "likelihood": "poisson", "learn_variance": True},
            "learn_variance has no effect with likelihood=poisson",
        ),
        ({"kind": "bases", "pooling": {}}, "pooling"),
        ({"kind": "bases", "crf": True, "focal_gamma": 2}, "focal_gamma has no effect with crf"),
        ({"kind": "bases", "crf": True, "label_smoothing": 0.1}, "label_smoothing has no effect"),
        (
            {"kind": "bases", "crf": True, "class_weights": "balanced"},
            "class_weights has no effect",
        ),
        ({"kind": "signal", "bin_bp": 0}, "greater than or equal to 1"),
        ({"kind": "pair"}, "answer"),
        (
            {"kind": "pair", "answer": {"kind": "classification", "standardise": True}},
            "standardise",
        ),
    ],
)
def test_what_can_not_be_or_has_no_effect_is_refused(task: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        TASK.validate_python(task)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "balance",
    [
        {"kind": "uncertainty", "temperature": 2},
        {"kind": "gradnorm", "alpha": -1},
        {"kind": "dynamic_average", "temperature": 0},
        {"kind": "fixed", "weights": {"a": 0}},
    ],
)
def test_a_balance_has_its_own_settings_alone(balance: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BALANCE.validate_python(balance)
