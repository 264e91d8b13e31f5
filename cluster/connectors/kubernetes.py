"""A cluster of pods that the operator of dask-kubernetes starts.

Inside a Kubernetes cluster its network policies say who reaches whom: the operator speaks plain TCP with the schedulers
that it starts. `recipes/kubernetes` has a policy that lets nobody else in.
"""

from __future__ import annotations

import inspect
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client

from groundbreak.cluster import policy
from groundbreak.cluster.request import Request

LOG = logging.getLogger(__name__)

OURS = {
    "n_workers": "say [cluster] workers",
    "worker_command": "say [cluster] memory and lifetime",
    "shutdown_on_close": "what a run has started ends with it",
    "create_mode": "every run has a cluster of its own",
}
"""Option of KubeCluster that the policy of workers decides -> how."""

UNSAID = {"self", "kwargs", "loop", "asynchronous", "jupyter", "quiet"}
"""Parameters of it that no configuration can give."""


def option_names() -> frozenset[str]:
    """Return the options that KubeCluster takes, as the installed dask-kubernetes has them."""
    from dask_kubernetes.operator import KubeCluster

    return frozenset(set(inspect.signature(KubeCluster.__init__).parameters) - set(OURS) - UNSAID)


@contextmanager
def opened(request: Request) -> Iterator[Client]:
    """Create a DaskCluster, from which the operator makes pods; it is deleted when the block ends."""
    from dask_kubernetes.operator import KubeCluster

    with KubeCluster(**_arguments(request)) as cluster, Client(cluster) as client:
        LOG.info("the pods of %s speak plain TCP: who may reach them is said by a network policy", cluster.name)
        if isinstance(request.workers, tuple):
            policy.scale(cluster, request)
        yield client


def _arguments(request: Request) -> dict[str, Any]:
    """Return what KubeCluster is told: the options as they were given, and the policy of workers."""
    options = dict(request.options)
    environment = options.pop("env", {})
    if isinstance(environment, list):
        environment = [*({"name": k, "value": v} for k, v in policy.ENVIRONMENT.items()), *environment]
    else:
        environment = {**policy.ENVIRONMENT, **environment}
    command = ["dask", "worker", "--nthreads", "1", "--death-timeout", str(policy.DEATH_TIMEOUT_S)]
    if request.memory is not None:
        memory = str(policy.memory_bytes(request.memory))
        command += ["--memory-limit", memory]
        options.setdefault("resources", {"limits": {"memory": memory}, "requests": {"memory": memory}})
    return {
        "name": f"groundbreak-{secrets.token_hex(4)}",
        "idle_timeout": policy.IDLE_TIMEOUT_S,
        **options,
        "n_workers": request.fewest,
        "worker_command": command + policy.worker_arguments(request),
        "env": environment,
        "shutdown_on_close": True,
        "quiet": True,
    }
