"""A network whose loss on the evaluated images is not finite has diverged: that is no result."""

import pytest
import torch

from ablations import evaluate as evaluation
from ablations import trainer
from ablations.errors import Diverged
from tests.make import run
from tests.test_trainer import splits


def test_a_loss_that_is_not_finite_in_evaluation_is_named(monkeypatch):
    torch.set_num_threads(1)
    one = run(groups=2, recipe={"epochs": 1})
    real = evaluation.evaluate

    def broken(model, *rest):
        with torch.no_grad():
            model.stage3[1].bn1.running_var.fill_(float("nan"))
        return real(model, *rest)

    monkeypatch.setattr(trainer, "evaluate", broken)
    with pytest.raises(Diverged, match="evaluated images was not finite after epoch 1"):
        trainer.train(one, splits(one.protocol.data))
