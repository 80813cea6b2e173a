"""Operations of fused networks on NVIDIA GPUs: 1x1 convolutions as matrix products, the rest as Triton kernels.

Each computes what its counterpart in model/ops.py does, on channels-last data, in few passes over memory. Arithmetic is
float32 (float64 for float64 activations), whatever type activations are stored in.
"""

from model.gpu.depthwise import depthwise
from model.gpu.norm import norm
from model.gpu.pointwise import pointwise
from model.ops import Ops

OPS = Ops(pointwise, norm, depthwise)
