"""TensorBoard's event files, in the folder tensorboard/ of a run."""

from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from ablations.core.config import LoggerConfig
from ablations.core.run_spec import Run, name
from ablations.execution.loggers.fields import Rows, metrics, parameters


class TensorBoard:
    """Writes scalars by epoch, and the run's description as a table.

    After a resumption, or when a run is trained anew, all epochs are written again and readers are told (`purge_step`)
    to forget what stood there before: what the last process wrote may go beyond the checkpoint, or fall short of it.
    """

    def __init__(self, settings: LoggerConfig, run: Run, folder: Path, origin: dict[str, Any]) -> None:
        self.run, self.folder = run, folder / "tensorboard"
        self.writer: SummaryWriter | None = None
        self.written = 0

    def epochs(self, rows: Rows) -> None:
        """Write the epochs that this process has not written, and flush, so that a viewer sees them."""
        if self.writer is None:
            self.writer = SummaryWriter(str(self.folder), purge_step=0)  # type: ignore[no-untyped-call]
            lines = [f"|{key}|{value}|" for key, value in parameters(self.run).items()]
            text = "\n".join([f"|{name(self.run)}||", "|---|---|", *lines])
            self.writer.add_text("description", text, 0)  # type: ignore[no-untyped-call]
        for row in rows[self.written :]:
            for key, value in metrics(row).items():
                self.writer.add_scalar(tag(key), value, row["epoch"])  # type: ignore[no-untyped-call]
        self.written = len(rows)
        self.writer.flush()  # type: ignore[no-untyped-call]

    def close(self, status: str) -> None:
        """Close the file."""
        if self.writer:
            self.writer.close()  # type: ignore[no-untyped-call]


def tag(column: str) -> str:
    """`train/loss` for train_loss: TensorBoard groups charts by what stands before the slash."""
    split, _, rest = column.partition("_")
    return f"{split}/{rest}" if split in ("train", "test") else column
