"""From raw outputs to answers, and how answers with missing labels are measured."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hyena_glt.config.tasks import BasesTaskConfig, RegressionTaskConfig, SignalTaskConfig
from hyena_glt.data.examples.batch import TaskBatch
from hyena_glt.finetune.answers import Answers, answer, measure
from hyena_glt.finetune.predict import Predictor
from hyena_glt.model import TaskNetwork
from hyena_glt.model.task_heads import BasesHead
from hyena_glt.tokenize import alphabet

VALUES = RegressionTaskConfig(kind="regression")


class Emitting(TaskNetwork):
    """A network with a chain, whose emissions are 0 but for the base after BOS: class 1."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.task = BasesTaskConfig(kind="bases", crf=True)
        self.head = BasesHead(2, 2, crf=True)
        self.standard = None
        # Whatever a base is, the next one is too, nearly surely.
        nn.init.eye_(self.head.get_parameter("crf.transitions"))
        with torch.no_grad():
            self.head.get_parameter("crf.transitions").mul_(20)

    def forward(
        self,
        ids: Tensor,
        length: Tensor,
        alternative_ids: Tensor | None = None,
        alternative_length: Tensor | None = None,
    ) -> Tensor:
        outputs = torch.zeros(*ids.shape, 2)
        outputs[:, 1, 1] = 9
        return outputs


def test_answers_of_a_chain_know_its_transitions() -> None:
    pytest.importorskip("torchcrf")
    network = Emitting()
    ids = torch.zeros(2, 6, dtype=torch.long)
    target = torch.tensor([[-1, 1, 1, 1, 1, 1], [-1, 1, 1, 1, -1, -1]])
    batch = TaskBatch(ids, torch.tensor([6, 4]), target, torch.arange(2))
    found = answer(network, [batch], "cpu", labelled=True)
    assert [len(row) for row in found.values] == [5, 3]
    # The emissions alone would say 1/2 from the second base on.
    assert all((row[:, 1] > 0.99).all() for row in found.values)
    assert measure(network.task, found, ("no", "yes"))["accuracy"] == 1
    predictor = Predictor.__new__(Predictor)
    predictor.networks, predictor.task = [network, network], network.task
    predictor.device, predictor.alphabet = torch.device("cpu"), alphabet("dna")
    sequences = [np.frombuffer(letters, np.uint8) for letters in (b"ACGTA", b"ACG")]
    for one, other in zip(predictor.values(sequences, None), found.values, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_each_number_is_measured_where_it_is_known() -> None:
    nan = math.nan
    targets = [np.array(row) for row in ([1.0, nan], [2.0, 1.0], [4.0, 3.0], [nan, 5.0])]
    values = [np.array(row) for row in ([1.0, 9.0], [2.0, 2.0], [5.0, 3.0], [7.0, 5.0])]
    found = measure(VALUES, Answers(values, targets, None), ("a", "b"))
    assert found["mae/a"] == pytest.approx(1 / 3)
    assert found["mae/b"] == pytest.approx(1 / 3)
    assert found["rmse"] == pytest.approx(math.sqrt(1 / 3))
    assert found["r2/b"] == pytest.approx(1 - 1 / 8)


def test_a_track_without_a_label_is_undefined_and_the_others_are_not() -> None:
    nan = math.nan
    task = SignalTaskConfig(kind="signal", bin_bp=2)
    targets = [np.array([[nan, 1.0], [nan, 2.0]]), np.array([[nan, nan]])]
    values = [np.array([[5.0, 1.0], [5.0, 3.0]]), np.array([[5.0, 9.0]])]
    found = measure(task, Answers(values, targets, None), ("a", "b"))
    assert found["mae/b"] == 0.5
    assert math.isnan(found["mae/a"])
    assert math.isnan(found["mae"])
    nothing = measure(task, Answers(values[1:], targets[1:], None), ("a", "b"))
    assert nothing.keys() == found.keys()
    assert all(math.isnan(value) for value in nothing.values())
