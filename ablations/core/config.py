"""Schema of conf/: every key with its type. Unknown keys and wrong types are errors."""

from dataclasses import dataclass, field
from typing import Any

MISSING: Any = "???"
"""OmegaConf's mark of a value that must be given. Written out, so that data and training do without OmegaConf."""


@dataclass(unsafe_hash=True)
class DataConfig:
    """Keys of every data set; subclasses add their own. Hashable, because a cache of resolved data sets uses it."""

    name: str = MISSING
    dir: str = "data"
    cache_dir: str = "cache"
    resolution: int = MISSING
    cache_resolution: int = MISSING
    train_images: int | None = None
    val_images: int = 0
    test_images: int | None = None
    evaluate: str = "test"


@dataclass(unsafe_hash=True)
class GlyphsConfig(DataConfig):
    """Characters rendered from matplotlib's fonts."""

    typefaces: str = "heldout"
    characters: str = "0123456789"
    rotation: float = 15.0
    shift: float = 3.0
    contrast: float = 0.5
    noise: float = 0.2
    data_seed: int = 0


@dataclass(unsafe_hash=True)
class CifarConfig(DataConfig):
    """CIFAR-10 and CIFAR-100 as torchvision distributes them."""

    download: bool = True


@dataclass(unsafe_hash=True)
class FolderConfig(DataConfig):
    """A folder tree train/<class>/* with val/<class>/* or test/<class>/*."""

    skip_broken: bool = False
    keep: str = "square"


@dataclass
class RecipeConfig:
    """Training hyperparameters."""

    name: str = MISSING
    epochs: int = MISSING
    batch_size: int = MISSING
    lr: float = MISSING
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = MISSING
    decay: str = "matrices"
    label_smoothing: float = 0.0
    warmup_epochs: float = 0.0
    crop: str = "none"
    pad: int = 0
    area: list[float] = field(default_factory=lambda: [1.0, 1.0])
    flip: bool = False
    jitter: float = 0.0
    ghost_batches: int = 1


@dataclass
class RuntimeConfig:
    """Where and how runs are executed. No part of a run's identity: nothing here may change what a result means."""

    device: str = "auto"
    workers: int | None = None
    threads: int = 1
    fuse: str = "auto"
    cells_at_once: str = "auto"
    kernels: str = "auto"
    gpus: Any = None
    runs_per_gpu: int = 1
    processes_per_run: int = 1
    results_dir: str = "results"
    deterministic: bool = False
    evaluate_every: int = 0
    checkpoint_every: float = 60.0
    run_timeout: float = 600.0
    retries: int = 1
    progress: str = "auto"
    publish: bool = True


@dataclass
class LoggerConfig:
    """Experiment logger that receives the metrics in addition to metrics.csv; no part of a run's identity."""

    name: str = "none"
    tracking_uri: str | None = None
    experiment: str = "shufflenet-ablations"


@dataclass
class Config:
    """One job: one variant, one protocol, one seed."""

    study: str = "single"
    family: str | None = None
    title: str | None = None
    cells: list[Any] = field(default_factory=list)
    exclude: list[Any] = field(default_factory=list)
    table: dict[str, Any] = field(default_factory=dict)
    figures: Any = None
    captions: dict[str, str] = field(default_factory=dict)
    margin: float | None = None
    claims: Any = None
    published: Any = None
    preset: str = "custom"
    note: str = ""
    seed: int = 0
    seeds: Any = None
    pilot: bool = False
    trial: bool = False
    precision: str = "auto"
    model: dict[str, Any] = field(default_factory=lambda: {"structure": "shufflenet", "stem": "imagenet"})
    """The family, the stem (part of the protocol), and axes: the fields of the family's Axes."""
    data: DataConfig = MISSING
    recipe: RecipeConfig = MISSING
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
