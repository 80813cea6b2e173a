"""How fast devices are taken to train where nothing was measured: from data sheets, and marked as assumptions."""

from dataclasses import dataclass

PASSES = 6
"""How often training moves each value that a layer puts out: written and read forward, read, and its gradient written,
read and passed on backward. These networks are bound by that, not by arithmetic."""

ACTIVATION_BYTES = 2
"""Of each such value: bfloat16."""

EFFICIENCY = 1 / 3
"""Share of the data sheet's bandwidth and arithmetic that is reached. An assumption."""

BUILD_RATE = 400
"""Images/s that one core caches: 500 x 375 JPEGs, results/reference/bench-inputs."""

CORE = "CPU core"
CORE_SOURCE = "assumed: plan.relative_cost"


@dataclass(frozen=True)
class Device:
    """A type of GPU. `bandwidth`: bytes/s of its memory; `macs`: multiply-adds/s in dense bfloat16 (V100: float16)."""

    name: str
    bandwidth: float
    macs: float

    @property
    def source(self) -> str:
        """Where its speed comes from."""
        return f"assumed: a third of {self.bandwidth / 1e12:.3g} TB/s"


DEVICES = (
    Device("NVIDIA H200", 4.8e12, 495e12),
    Device("NVIDIA H100 SXM", 3.35e12, 495e12),
    Device("NVIDIA A100 80GB", 2.04e12, 156e12),
    Device("NVIDIA RTX 4090", 1.01e12, 82e12),
    Device("NVIDIA V100", 0.9e12, 62e12),
)
"""NVIDIA's data sheets; their FLOPs are two a multiply-add."""


def seconds_per_image(macs: int, activations: int, device: Device) -> float:
    """Training time of one image: the longer of moving its activations and of the arithmetic (a roofline)."""
    moving = PASSES * ACTIVATION_BYTES * activations / device.bandwidth
    return max(moving, 3 * macs / device.macs) / EFFICIENCY
