"""ShuffleNet on the CPU in C++: the same training maths as `model.shufflenet` in 13 to 38 % of the time.

`engine` runs it, `build` compiles it ahead of time (`make setup` does), `library` finds what was built. Where there is
no compiler, or the network is not one that it knows, PyTorch computes: the reference that it is tested against.
It is made for batches: for one image PyTorch is faster, but for the smallest networks.
"""
