"""Evaluation: loss, top-1 and top-5 error over a split, and whether each prediction is correct."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ablations.training.input.augment import centre
from ablations.training.input.color_jitter import piece
from model.backend import evaluation_scorer
from model.fused import FusedShuffleNet

BATCH = 256
"""Images per forward pass; on a GPU at least as many."""

TOGETHER, FEWEST = 1 << 23, 64
"""Pixels per forward pass on a GPU (of all fused networks together), and the fewest images of fused ones."""


@dataclass(frozen=True)
class Evaluation:
    """Errors are fractions; `correct` is (N,) bool, top-1."""

    loss: float
    error: float
    top5_error: float
    correct: np.ndarray


def normalise(images: Tensor, stats: tuple[Tensor, Tensor]) -> Tensor:
    """(B, H, W, C) in 0..255 -> (B, C, H, W) float32 of zero mean and unit variance, channels_last."""
    # Whole rows: loops over three channels do not vectorise.
    mean, std = (value.repeat(images.shape[2]) for value in stats)
    out, step = torch.empty(images.shape, device=images.device), piece(images)
    for source, target in zip(torch.split(images, step), torch.split(out, step), strict=True):
        target.copy_(source).flatten(2).sub_(mean).div_(std)
    return out.permute(0, 3, 1, 2)


def batch_on(device: torch.device, resolution: int) -> int:
    """Images per forward pass of one network. Constant on the CPU, where results depend on it by rounding."""
    return BATCH if device.type == "cpu" else max(BATCH, TOGETHER // resolution**2)


@torch.inference_mode()
def evaluate_together(
    net: FusedShuffleNet,
    images: Tensor,
    labels: Tensor,
    stats: tuple[Tensor, Tensor],
    resolution: int,
    tick: Callable[[], None] = lambda: None,
) -> list[Evaluation]:
    """Evaluate all networks of a fused one in one pass over the images; see `evaluate`."""
    copies, device = net.copies, stats[0].device
    batch = max(FEWEST, TOGETHER // (resolution**2 * copies))
    loss, hits = torch.zeros(copies, device=device, dtype=torch.float64), []
    net.eval()
    try:
        for start in range(0, len(labels), batch):
            x = centre(images[start : start + batch].to(device), resolution)
            y = labels[start : start + batch].to(device).expand(copies, -1)
            same = normalise(x, stats).repeat(1, copies, 1, 1).contiguous(memory_format=torch.channels_last)
            scores = net(same)  # (S, B, classes)
            each = nn.functional.cross_entropy(scores.flatten(0, 1), y.flatten(), reduction="none")
            loss += each.view(copies, -1).sum(1)
            hits.append(scores.topk(min(5, scores.shape[2]), dim=2).indices == y[..., None])
            tick()
    finally:
        net.train()
    return [_evaluation(*each) for each in zip(loss.tolist(), torch.cat(hits, 1).cpu(), strict=True)]


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
    device = stats[0].device
    batch = batch_on(device, resolution)
    score = evaluation_scorer(model, min(batch, len(labels)), resolution, kernels)
    loss, hits = 0.0, []
    for start in range(0, len(labels), batch):
        x = centre(images[start : start + batch].to(device), resolution)
        y = labels[start : start + batch].to(device)
        scores = score(normalise(x, stats))
        loss += nn.functional.cross_entropy(scores, y, reduction="sum").item()
        ranked = scores.topk(min(5, scores.shape[1]), dim=1).indices
        hits.append((ranked == y[:, None]).cpu())
        tick()
    return _evaluation(loss, torch.cat(hits))


def _evaluation(loss: float, hits: Tensor) -> Evaluation:
    """From the summed loss and whether each of the first five guesses for an image is right, (N, 5)."""
    count, right = len(hits), hits[:, 0].contiguous()
    wrong, none = count - int(right.sum()), count - int(hits.any(1).sum())
    return Evaluation(loss / count, wrong / count, none / count, right.numpy())
