"""The trainer: one function from a run's description and its data to a trained network, on whatever device there is."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

import model as networks
from ablations.augment import draw_epoch, generator
from ablations.data import Splits
from ablations.describe import Run
from ablations.evaluate import evaluate, logits, normalise
from ablations.feed import to_feed
from ablations.keeper import Keeper, Trained
from ablations.meter import Meter, Observer
from ablations.optimiser import Sgd, learning_rate

__all__ = ["Diverged", "Trained", "build_model", "train"]


class Diverged(Exception):
    """The loss is no longer finite."""


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
    checkpoint_every: float = 60.0,
    stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train one run to its end.

    A seed fixes everything: initial weights, data order and crops are drawn on the CPU from `run.seed` alone, so they
    are the same for every cell, and the same run twice on the same machine gives bit-equal results on the CPU, whether
    it was stopped and resumed on the way or not.

    Args:
        checkpoint_path: where to keep the state, and to go on from when it is there.
        evaluate_every: evaluate every so many epochs besides the last (0: the last only). Results do not depend on it.
        observe: called with plain events: {"step", "loss", "images_per_second"} as steps pass, {"history"} after each
            epoch.
        checkpoint_every: seconds between checkpoints inside an epoch; after each epoch there is one besides.
        stop: asked after each step and each evaluated batch; True: write a checkpoint and leave.

    Raises:
        Diverged: the loss is not finite.
        Stopped: `stop` said so.
        OSError: a checkpoint cannot be written.
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
    torch.manual_seed(generator(run.seed, "global").initial_seed())
    keeper = Keeper(checkpoint_path, run.run_id, trained, optimiser, checkpoint_every, stop)
    inside = keeper.restore()
    for epoch in range(len(trained.history), recipe.epochs):
        meter = Meter(per_epoch, epoch * per_epoch, batch, place, observe)
        if inside:
            meter.load_state_dict(inside)
            inside = None
        draws = draw_epoch(run.seed, epoch, images)
        net.train()
        for k in range(meter.count, per_epoch):
            step = epoch * per_epoch + k
            x, y = feed.batch(draws, slice(k * batch, (k + 1) * batch), protocol)
            with torch.autocast(place.type, dtype=getattr(torch, protocol.precision), enabled=mixed):
                scores = logits(net, normalise(x, feed.stats))
            loss = loss_of(scores.float(), y)
            loss.backward()
            optimiser.step(learning_rate(step, steps, warmup, recipe.lr))
            if not meter.update(loss.detach(), scores.detach(), y):
                raise Diverged(f"The loss was not finite at step {step + 1} of {steps} (epoch {epoch + 1}).")
            keeper.after_step(meter)
        step = (epoch + 1) * per_epoch
        rate = learning_rate(step - 1, steps, warmup, recipe.lr)
        row = {"epoch": epoch + 1, "step": step, "lr": rate, **meter.summary()}
        spent = meter.seconds()
        if epoch + 1 == recipe.epochs or (evaluate_every and (epoch + 1) % evaluate_every == 0):
            began = time.perf_counter()
            tick = partial(keeper.leave_if_asked, meter)
            trained.last = evaluate(net, feed.eval_images, feed.eval_labels, feed.stats, protocol.resolution, tick)
            trained.seconds["evaluate"] += time.perf_counter() - began
            row |= {f"test_{key}": getattr(trained.last, key) for key in ("loss", "error", "top5_error")}
        trained.seconds["train"] += spent
        trained.history.append(row)
        if epoch + 1 < recipe.epochs:
            keeper.save()
        observe({"history": trained.history})
    return trained
