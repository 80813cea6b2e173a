"""From overrides to trained runs: Hydra application, composition, plan, sweeper, launchers, publishing.

Imports every package of `ablations` but `profiling`; `analysis` runs in a process of its own.
"""
