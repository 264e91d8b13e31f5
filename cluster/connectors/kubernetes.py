"""A cluster of pods that the operator of dask-kubernetes starts.

Inside a Kubernetes cluster its network policies say who reaches whom: the operator speaks plain TCP with the schedulers
that it starts. `recipes/kubernetes` has a policy that lets nobody else in.
"""

from __future__ import annotations

import inspect
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
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

IN_MANIFEST = ("image", "resources", "env", "scheduler_service_type", "idle_timeout")
"""Options that say what stands in the manifest; the others say how it is reached."""

INSIDE = "KUBERNETES_SERVICE_HOST"
"""The variable that every pod has, and nobody outside."""


def option_names() -> frozenset[str]:
    """Return the options that KubeCluster takes, as the installed dask-kubernetes has them."""
    from dask_kubernetes.operator import KubeCluster

    return frozenset(set(inspect.signature(KubeCluster.__init__).parameters) - set(OURS) - UNSAID)


@contextmanager
def opened(request: Request) -> Iterator[Client]:
    """Create a DaskCluster, from which the operator makes pods; it is deleted when the block ends."""
    from groundbreak.cluster.connectors.operated import Operated

    with Operated(**_arguments(request)) as cluster:
        cluster.sync(cluster.begin, request.patience_s)
        LOG.info("the pods of %s speak plain TCP: who may reach them is said by a network policy", cluster.name)
        with Client(cluster) as client:
            if isinstance(request.workers, tuple):
                policy.scale(cluster, request)
            yield client


def _arguments(request: Request) -> dict[str, Any]:
    """Return what KubeCluster is told: the manifest, and the options that say how it is reached."""
    reach = {name: value for name, value in request.options.items() if name not in IN_MANIFEST}
    manifest = _manifest(request)
    return {
        # Outside of the cluster names of services mean nothing; the library tries for 20 s before it forwards ports.
        "port_forward_cluster_ip": INSIDE not in os.environ,
        **reach,
        "name": manifest["metadata"]["name"],
        "custom_cluster_spec": manifest,
    }


def _manifest(request: Request) -> dict[str, Any]:
    """Return the DaskCluster that is asked for: the options, the policy of workers, and below them the user's own."""
    from dask_kubernetes.operator import make_cluster_spec

    options = request.options
    said = {name: options[name] for name in IN_MANIFEST if name in options}
    command = ["dask", "worker", "--nthreads", "1", "--death-timeout", str(policy.DEATH_TIMEOUT_S)]
    if request.memory is not None:
        memory = str(policy.memory_bytes(request.memory))
        command += ["--memory-limit", memory]
        said.setdefault("resources", {"limits": {"memory": memory}, "requests": {"memory": memory}})
    manifest = make_cluster_spec(
        **{
            "idle_timeout": policy.IDLE_TIMEOUT_S,
            **said,
            "name": options.get("name", f"groundbreak-{secrets.token_hex(4)}"),
            "n_workers": request.fewest,
            "worker_command": command + policy.worker_arguments(request),
            "env": _environment(said.get("env", {})),
        }
    )
    # The library names a program, dask-scheduler, that distributed no longer has.
    manifest["spec"]["scheduler"]["spec"]["containers"][0]["args"] = ["dask", "scheduler"]
    own = options.get("custom_cluster_spec", {})
    own = yaml.safe_load(Path(own).read_text()) if isinstance(own, str) else own
    whole: dict[str, Any] = _over(own, manifest)
    return whole


def _environment(own: Any) -> Any:
    """Return the variables of pods: those of the policy, unless the user says otherwise."""
    if isinstance(own, Mapping):
        own = [{"name": name, "value": value} for name, value in own.items()]
    if not isinstance(own, list):
        return own  # the server says what is wrong with it
    named = {each.get("name") for each in own if isinstance(each, Mapping)}
    return [*({"name": name, "value": value} for name, value in policy.ENVIRONMENT.items() if name not in named), *own]


def _over(below: Any, above: Any) -> Any:
    """Return a part of a manifest laid over another one, which holds where the first says nothing.

    Entries of lists go by their names (containers, variables); those of the upper one come first.

    Raises
    ------
    ValueError
        The lower part is of another kind.
    """
    if isinstance(above, dict) and isinstance(below, dict | None):
        below = below or {}
        both = {name: _over(below.get(name), above.get(name)) for name in {**above, **below}}
        return {name: value for name, value in both.items() if value is not None}
    if _named(above) and (below is None or _named(below)):
        under = {each["name"]: each for each in below or []}
        return [_over(under.pop(each["name"], None), each) for each in above] + list(under.values())
    if below is not None and (isinstance(above, dict) or _named(above)):
        raise ValueError(
            f"custom_cluster_spec has {below!r} where a manifest has a table, or a list of tables with names"
        )
    return below if above is None else above


def _named(part: Any) -> bool:
    """Whether this is a list of entries that have names."""
    return isinstance(part, list) and all(isinstance(each, dict) and "name" in each for each in part)
