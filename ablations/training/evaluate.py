"""Evaluation: loss, top-1 and top-5 error over a split, and whether each prediction is correct."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ablations.training.input.augment import centre
from ablations.training.input.color_jitter import piece
from model.backend import evaluation_scorer

BATCH = 256
"""Images per forward pass."""


@dataclass(frozen=True)
class Evaluation:
    """Errors are fractions; `correct` is (N,) bool, top-1."""

    loss: float
    error: float
    top5_error: float
    correct: np.ndarray


def normalise(images: Tensor, stats: tuple[Tensor, Tensor]) -> Tensor:
    """(B, H, W, C) in 0..255 -> (B, C, H, W) float32 of zero mean and unit variance, channels_last."""
    mean, std = (
        value.repeat(images.shape[2]) for value in stats
    )  # whole rows: loops over three channels do not vectorise
    out, step = torch.empty(images.shape, device=images.device), piece(images)
    for source, target in zip(torch.split(images, step), torch.split(out, step), strict=True):
        target.copy_(source).flatten(2).sub_(mean).div_(std)
    return out.permute(0, 3, 1, 2)


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    stats: tuple[Tensor, Tensor],
    resolution: int,
    tick: Callable[[], None] = lambda: None,
    kernels: str = "auto",
) -> Evaluation:
    """Evaluate in float32, without augmentation, on the central crop.

    Args:
        images: (N, H, W, C) uint8, on the CPU.
        labels: (N,) int64, on the CPU.
        stats: per-channel mean and standard deviation (C,), in units of 0..255, on the model's device.
        tick: called after each batch; an exception from it ends the evaluation.
        kernels: see model.backend.
    """
    score = evaluation_scorer(model, min(BATCH, len(labels)), resolution, kernels)
    device = stats[0].device
    loss, top1, top5 = 0.0, [], []
    for start in range(0, len(labels), BATCH):
        x = centre(images[start : start + BATCH].to(device), resolution)
        y = labels[start : start + BATCH].to(device)
        scores = score(normalise(x, stats))
        loss += nn.functional.cross_entropy(scores, y, reduction="sum").item()
        ranked = scores.topk(min(5, scores.shape[1]), dim=1).indices
        hits = ranked == y[:, None]
        top1.append(hits[:, 0].cpu())
        top5.append(hits.any(1).cpu())
        tick()
    right, among5 = torch.cat(top1), torch.cat(top5)
    return Evaluation(
        loss=loss / len(labels),
        error=(len(labels) - int(right.sum())) / len(labels),
        top5_error=(len(labels) - int(among5.sum())) / len(labels),
        correct=right.numpy(),
    )
