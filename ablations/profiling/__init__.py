"""What a sweep will cost, and inference latency. Imports every other package of `ablations`."""
