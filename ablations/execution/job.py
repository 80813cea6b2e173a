"""A job: a run and how to train it here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablations.core.config import LoggerConfig
from ablations.core.run_spec import Run


@dataclass(frozen=True)
class Job:
    """A run and how to execute it; plain data, so that it travels to any process."""

    run: Run
    data_folder: Path
    results: Path
    device: str
    threads: int
    deterministic: bool
    evaluate_every: int
    provenance: dict[str, Any]
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    checkpoint_every: float = 60.0
    kernels: str = "auto"
    processes: int = 1
    gpus: tuple[int, ...] = ()  # numbers of those to use, of the GPUs that this process sees; none: the first
    source: Path | None = None  # folder that the family is imported from, where it is not this project's own
    patience: float = 600.0  # seconds that processes of a run wait for one another

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where `model.family.load` looks for the run's family."""
        return (self.source,) if self.source else ()
