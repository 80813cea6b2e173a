"""One run by several processes, for real (gloo): the training of one process, across restarts and changes of number."""

import os
import signal
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import pytest
import torch

from ablations.errors import RankLost
from ablations.stopping import Stopped
from ablations.team import Task, team
from ablations.trainer import train
from tests.golden.numerics import _double
from tests.make import run
from tests.test_resume import after
from tests.test_trainer import splits, timeless

RECIPE = {"epochs": 5, "ghost_batches": 2, "lr": 0.02, "crop": "pad", "pad": 2, "flip": True, "label_smoothing": 0.1}
RUN = run(groups=3, recipe=RECIPE)
STEPS = 20
HELD = ExitStack()


def load(spec, double=True):
    """Data of the run in any of its processes, which from then on computes in double precision."""
    if double:
        HELD.enter_context(_double())
    return splits(spec)


def losses(history):
    return [[row[key] for key in ("train_loss", "train_error", "test_loss", "test_error")] for row in history]
