"""The reference loop: how such a study is usually trained, as a Hydra application of its own.

`python -m benchmarks.reference_loop -m hydra/launcher=basic groups=1,2,3,4,8 width=0.25,0.5,1.0 ...` trains one run
after another in one process that uses all cores (or the GPU); images from torchvision's CIFAR10 through a DataLoader
with workers and per-sample transforms; the network as PyTorch makes it (NCHW, eager); torch.optim.SGD and a schedule.
It shares nothing with the trainer but the networks and the numbers of the recipe, which tests hold together.
"""

import json
import time
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms
from torchvision.datasets import CIFAR10

from benchmarks.networks import build
from benchmarks.reference_settings import Settings


def make_optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """SGD in two groups: weights of more than one dimension decay, BatchNorm's and biases do not."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov)


def make_schedule(optimizer: torch.optim.Optimizer, steps: int, warmup: int) -> LambdaLR:
    """Linear up in `warmup` steps, then linear down to 0, by step."""

    def factor(step: int) -> float:
        return (step + 1) / (warmup + 1) if step < warmup else (steps - step) / (steps - warmup)

    return LambdaLR(optimizer, factor)


def make_loaders(settings: Settings) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Batches to train on, shuffled and augmented, and batches to test on."""
    chosen = np.load(settings.images)
    normalise = transforms.Normalize((chosen["mean"] / 255).tolist(), (chosen["std"] / 255).tolist())
    plain = [transforms.ToTensor(), normalise]
    moved = [transforms.RandomCrop(32, padding=settings.pad)] if settings.pad else []
    moved += [transforms.RandomHorizontalFlip()] if settings.flip else []
    train: Dataset[Any] = CIFAR10(settings.data, train=True, transform=transforms.Compose([*moved, *plain]))
    test: Dataset[Any] = CIFAR10(settings.data, train=False, transform=transforms.Compose(plain))
    usual: dict[str, Any] = {
        "num_workers": settings.workers,
        "persistent_workers": settings.workers > 0,
        "pin_memory": settings.device == "cuda",
    }
    return (
        DataLoader(Subset(train, chosen["train"].tolist()), settings.batch_size, shuffle=True, drop_last=True, **usual),
        DataLoader(Subset(test, chosen["test"].tolist()), 250, **usual),
    )


def train(network: nn.Module, loader: Any, settings: Settings) -> list[float]:
    """Train to the end; seconds of each epoch. `loader` gives (images, labels) and has a length, in each epoch anew."""
    optimizer = make_optimizer(network, settings)
    warmup = round(settings.warmup_epochs * len(loader))
    schedule = make_schedule(optimizer, settings.epochs * len(loader), warmup)
    criterion = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    network.train()
    seconds = []
    for epoch in range(settings.epochs):
        began = time.perf_counter()
        total = torch.zeros((), device=settings.device)
        for images, labels in loader:
            total += step(network, optimizer, criterion, images, labels, settings)
            schedule.step()
        mean = total.item() / len(loader)  # waits for the GPU
        seconds.append(time.perf_counter() - began)
        print(f"epoch {epoch + 1}: loss {mean:.4f}, {seconds[-1]:.1f} s", flush=True)
    return seconds


def step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    criterion: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: Settings,
) -> Tensor:
    """One step of the optimiser; the loss, on the device."""
    images, labels = images.to(settings.device, non_blocking=True), labels.to(settings.device, non_blocking=True)
    mixed = settings.precision != "float32"
    optimizer.zero_grad()
    with torch.autocast(settings.device, dtype=torch.bfloat16, enabled=mixed):
        loss: Tensor = criterion(network(images), labels)
    loss.backward()
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def test(network: nn.Module, loader: Any, settings: Settings) -> float:
    """The error, 0 to 1."""
    network.eval()
    wrong = torch.zeros((), dtype=torch.int64, device=settings.device)
    images_seen = 0
    for images, labels in loader:
        found = network(images.to(settings.device, non_blocking=True)).argmax(1)
        wrong += (found != labels.to(settings.device)).sum()
        images_seen += len(labels)
    return wrong.item() / images_seen


def run(settings: Settings) -> dict[str, Any]:
    """Train, test and save one run; what is written of it."""
    began = time.perf_counter()
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    train_loader, test_loader = make_loaders(settings)
    network = build(settings.network, settings.groups, settings.width, 10, settings.stem).to(settings.device)
    seconds = train(network, train_loader, settings)
    error = test(network, test_loader, settings)
    folder = Path(settings.out) / f"{settings.network}-g{settings.groups}-{settings.width:g}x-seed{settings.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / "model.pt")
    record = {
        **{key: getattr(settings, key) for key in ("network", "groups", "width", "seed")},
        "error": error,
        "epoch_seconds": seconds,
        "images_per_epoch": len(train_loader) * settings.batch_size,
        "seconds": time.perf_counter() - began,
    }
    (folder / "result.json").write_text(json.dumps(record))
    return record


ConfigStore.instance().store("reference_loop", Settings)


@hydra.main(config_name="reference_loop", config_path=None, version_base="1.3")
def main(composed: Any) -> None:
    """One job of Hydra's."""
    settings = OmegaConf.to_object(composed)
    assert isinstance(settings, Settings)
    record = run(settings)
    print(f"{record['network']} g{record['groups']} {record['width']:g}x: {record['seconds']:.1f} s", flush=True)


if __name__ == "__main__":
    main()
