"""Operations of fused networks on NVIDIA GPUs: 1x1 convolutions as matrix products, the rest as Triton kernels.

Each computes what its counterpart in model/ops.py does, on channels-last data, in few passes over memory. Arithmetic is
float32 (float64 for float64 activations), whatever type activations are stored in.
"""

import torch
from torch import nn

from model.gpu.depthwise import depthwise
from model.gpu.norm import norm
from model.gpu.pointwise import cast_weights, pointwise
from model.ops import Ops

OPS = Ops(pointwise, norm, depthwise, cast_weights)


def check() -> None:
    """Compile and run a kernel. Raises what Triton raises where it cannot: without a C compiler or Python.h, say."""
    conv = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False).cuda()
    found = depthwise(torch.ones(1, 16, 1, 1, device="cuda"), conv).flatten()
    if not torch.allclose(found, conv.weight[:, 0, 1, 1]):
        raise RuntimeError("a kernel computed wrong numbers")
