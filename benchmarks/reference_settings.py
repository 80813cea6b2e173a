"""What the reference loop is told: one run. A module of its own, so that asking for a loop does without torch."""

from dataclasses import dataclass

from omegaconf import MISSING

SHARED = (
    *("epochs", "batch_size", "lr", "momentum", "nesterov", "weight_decay", "label_smoothing", "warmup_epochs", "flip"),
)
"""Settings that `ablations.core.run_spec.Recipe` has under the same names."""


@dataclass
class Settings:
    """One run. The recipe's numbers are those of `ablations.core.run_spec.Recipe`."""

    data: str = MISSING  # folder that holds cifar-10-batches-py
    images: str = MISSING  # .npz: train, test (rows of the official batches), mean, std (of channels, 0..255)
    out: str = MISSING  # folder for what comes out
    network: str = "shufflenet"  # shufflenet | pytorchcv | blog
    groups: int = 3
    width: float = 1.0
    stem: str = "stride1"
    seed: int = 0
    device: str = "cpu"
    precision: str = "float32"
    workers: int = 2  # of each DataLoader
    threads: int = 2
    epochs: int = MISSING
    batch_size: int = MISSING
    lr: float = MISSING
    momentum: float = MISSING
    nesterov: bool = MISSING
    weight_decay: float = MISSING
    label_smoothing: float = MISSING
    warmup_epochs: float = MISSING
    pad: int = MISSING
    flip: bool = MISSING
