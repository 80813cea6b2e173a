"""What a fused network is made of on NVIDIA's GPUs: 1x1 convolutions as matrix products, the rest as Triton kernels.

Each does what its counterpart in model/ops.py does, on channels-last data, in few passes over it. Arithmetic is in
float32 (in float64 for float64), whatever activations are stored in.
"""

from model.gpu.depthwise import depthwise
from model.gpu.norm import norm
from model.gpu.pointwise import pointwise
from model.ops import Ops

OPS = Ops(pointwise, norm, depthwise)
