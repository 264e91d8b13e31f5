"""A Kubernetes on loopback: an API server and a kubelet that are simulated, below an operator and workers that are real.

`server` answers as an API server does, by `objects` and `schemas`; `kubelet` starts the containers of pods as processes,
whose network is that of `network/sitecustomize.py`. `service` puts the operator of dask-kubernetes into it.
"""
