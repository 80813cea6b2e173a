"""From a configuration to stored results.

Packages import in one direction: core < data, store < training < execution, verification < monitor < sweep < profiling.
The modules beside them are addresses of commands. Uses `model`; starts `analysis` as a process and never imports it.
"""
