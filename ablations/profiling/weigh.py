"""What one image costs a run's network; asked in a process of its own (`ask`), for it needs torch."""

import json
import sys

import torch

from ablations.core.run_spec import from_json
from ablations.profiling.measure_networks import weigh

if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps([weigh(from_json(text)) for text in json.load(sys.stdin)]))
