"""A Kubernetes on loopback: API server and kubelet are simulated, the operator, schedulers and workers are real.

`server` answers as an API server does, by `objects` and `schemas`; `kubelet` starts containers of pods as processes,
whose network is that of `network/sitecustomize.py`. `service` puts the operator of dask-kubernetes into it.
"""
