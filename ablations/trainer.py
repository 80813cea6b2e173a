"""The trainer: one function from a run's description and its data to a trained network, on whatever device there is."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

import model as networks
from ablations import checkpoint
from ablations.augment import draw_epoch, generator
from ablations.data import Splits
from ablations.describe import Run
from ablations.evaluate import Evaluation, evaluate, logits, normalise
from ablations.feed import to_feed
from ablations.meter import Meter, Observer
from ablations.optimiser import Sgd, learning_rate


class Diverged(Exception):
    """The loss is no longer finite."""


@dataclass
class Trained:
    """What a run ends with: the network, its last evaluation, a row per epoch, seconds spent by kind."""

    model: nn.Module
    last: Evaluation | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"train": 0.0, "evaluate": 0.0})


def build_model(run: Run) -> nn.Module:
    """The run's network with the weights of its seed: the same for both arms of a shuffle ablation."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator(run.seed, "weights").get_state())
        return networks.build(
            run.variant.structure,
            groups=run.variant.groups,
            width=run.variant.width,
            shuffle=run.variant.shuffle,
            num_classes=run.protocol.data.classes,
            in_channels=run.protocol.data.channels,
            stem=run.protocol.stem,
            stem_channels=run.variant.stem_channels,
        )


def train(
    run: Run,
    splits: Splits,
    device: str = "cpu",
    checkpoint_path: Path | None = None,
    evaluate_every: int = 0,
    observe: Observer = lambda event: None,
) -> Trained:
    """Train one run to its end.

    A seed fixes everything: initial weights, data order and crops are drawn on the CPU from `run.seed` alone, so they
    are the same for every cell, and the same run twice on the same machine gives bit-equal results on the CPU.

    Args:
        checkpoint_path: where to keep the state after each epoch, and to go on from when it is there.
        evaluate_every: evaluate every so many epochs besides the last (0: the last only). Results do not depend on it.
        observe: called with plain events: {"step", "loss", "images_per_second"} as steps pass, {"history"} after each
            epoch.

    Raises:
        Diverged: the loss is not finite.
    """
    protocol, recipe = run.protocol, run.protocol.recipe
    place = torch.device(device)
    net = build_model(run).to(place).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = Sgd(net, recipe)
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    feed = to_feed(splits, place)
    images = len(feed.train_index)
    batch = min(recipe.batch_size, images)
    per_epoch = images // batch  # the last, smaller batch is left out: BatchNorm's statistics need a full one
    steps, warmup = recipe.epochs * per_epoch, round(recipe.warmup_epochs * per_epoch)
    mixed = protocol.precision != "float32"

    trained = Trained(net)
    state = checkpoint.load(checkpoint_path, run.run_id) if checkpoint_path else None
    if state:
        _restore(state, optimiser, trained)
    for epoch in range(len(trained.history), recipe.epochs):
        began = time.perf_counter()
        meter = Meter(per_epoch, epoch * per_epoch, batch, place, observe)
        draws = draw_epoch(run.seed, epoch, images)
        net.train()
        for k in range(per_epoch):
            step = epoch * per_epoch + k
            rate = learning_rate(step, steps, warmup, recipe.lr)
            x, y = feed.batch(draws, slice(k * batch, (k + 1) * batch), protocol)
            with torch.autocast(place.type, dtype=getattr(torch, protocol.precision), enabled=mixed):
                scores = logits(net, normalise(x, feed.stats))
            loss = loss_of(scores.float(), y)
            loss.backward()
            optimiser.step(rate)
            if not meter.update(loss.detach(), scores.detach(), y):
                raise Diverged(f"The loss was not finite at step {step + 1} of {steps} (epoch {epoch + 1}).")
        row = {"epoch": epoch + 1, "step": (epoch + 1) * per_epoch, "lr": rate, **meter.summary()}
        trained.seconds["train"] += time.perf_counter() - began
        if epoch + 1 == recipe.epochs or (evaluate_every and (epoch + 1) % evaluate_every == 0):
            began = time.perf_counter()
            trained.last = evaluate(net, feed.eval_images, feed.eval_labels, feed.stats, protocol.resolution)
            trained.seconds["evaluate"] += time.perf_counter() - began
            row |= {f"test_{key}": getattr(trained.last, key) for key in ("loss", "error", "top5_error")}
        trained.history.append(row)
        if checkpoint_path and epoch + 1 < recipe.epochs:
            checkpoint.save(checkpoint_path, _state(run.run_id, optimiser, trained))
        observe({"history": trained.history})
    return trained


def _state(run_id: str, optimiser: Sgd, trained: Trained) -> dict[str, Any]:
    """All that the next epoch depends on; order and crops follow from the seed and the epoch's number."""
    return {
        "run_id": run_id,
        "model": trained.model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "history": trained.history,
        "seconds": trained.seconds,
    }


def _restore(state: dict[str, Any], optimiser: Sgd, trained: Trained) -> None:
    """Put a state that `_state` made back."""
    trained.model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    trained.history, trained.seconds = state["history"], state["seconds"]
