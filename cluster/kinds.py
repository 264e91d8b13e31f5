"""The kinds of cluster: what each needs, takes and passes on, and what opens it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec

from distributed import Client

from groundbreak.cluster.connectors import address, gateway, jobqueue, kubernetes, local, ssh
from groundbreak.cluster.request import Request

AT_ONCE_S = 60.0
"""Seconds that a cluster may be without workers whose workers need not wait for machines."""

QUEUED_S = 3600.0
"""The same, where jobs and pods wait for machines that others use."""


@dataclass(frozen=True)
class Kind:
    """A way to get a cluster."""

    open: Callable[[Request], AbstractContextManager[Client]]
    """Gives a connected client, and ends what it has started."""
    takes: tuple[str, ...]
    """Keys of ``[cluster]`` that mean something to it, those included that it needs."""
    needs: tuple[str, ...] = ()
    """Keys that must be given."""
    needs_options: tuple[str, ...] = ()
    """Entries of ``[cluster.options]`` that must be given."""
    options: Callable[[], frozenset[str]] | None = None
    """Names of the options that its library takes; None where only a server knows them."""
    ours: Mapping[str, str] = field(default_factory=dict)
    """Options of its library that the policy of workers decides -> how."""
    ranged: bool = True
    """Whether ``workers`` may be (least, most)."""
    module: str | None = None
    """The module of the library that it needs, if any."""
    extra: str = ""
    """The extra of groundbreak that brings this library."""
    patience_s: float = AT_ONCE_S
    """Seconds that it may be without workers before a run refuses it."""
    remedy: str = "Look at [cluster] workers and memory, and at the workers' log"
    """What a user can do where it cannot be opened."""

    @property
    def installed(self) -> bool:
        """Whether the library that it needs is there."""
        return self.module is None or find_spec(self.module) is not None


def _none() -> frozenset[str]:
    return frozenset()


def _batch(kind: str) -> Kind:
    """Return a batch system of dask-jobqueue: they differ in the options alone."""
    return Kind(
        partial(jobqueue.opened, kind=kind),
        takes=("workers", "memory", "lifetime"),
        needs=("workers", "memory"),
        options=partial(jobqueue.option_names, kind),
        ours=jobqueue.OURS,
        module="dask_jobqueue",
        extra=kind,
        patience_s=QUEUED_S,
        remedy="Look at [cluster.options], and whether jobs can be submitted from here",
    )


KINDS: dict[str, Kind] = {
    "local": Kind(local.opened, takes=("workers", "memory"), options=_none),
    "address": Kind(
        address.opened,
        takes=("address", "tls_ca_file", "tls_cert", "tls_key"),
        needs=("address",),
        options=_none,
        remedy="Start the scheduler, or mend the address",
    ),
    "ssh": Kind(
        ssh.opened,
        takes=("workers", "memory"),
        needs_options=("hosts",),
        options=ssh.option_names,
        ours=ssh.OURS,
        ranged=False,
        module="asyncssh",
        extra="ssh",
        remedy="Look at [cluster.options], and whether ssh leads to each host and finds groundbreak there",
    ),
    **{kind: _batch(kind) for kind in jobqueue.CLASSES},
    "kubernetes": Kind(
        kubernetes.opened,
        takes=("workers", "memory", "lifetime"),
        needs=("workers",),
        needs_options=("image",),
        options=kubernetes.option_names,
        ours=kubernetes.OURS,
        module="dask_kubernetes",
        extra="kubernetes",
        patience_s=QUEUED_S,
        remedy="Look at [cluster.options], whether kubectl reaches the cluster, and whether the operator runs there",
    ),
    "gateway": Kind(
        gateway.opened,
        takes=("workers", "address"),
        needs=("workers", "address"),
        module="dask_gateway",
        extra="gateway",
        patience_s=QUEUED_S,
        remedy="Look at [cluster] address and options, and at the log of the gateway",
    ),
}
"""Name, as ``[cluster] kind`` gives it -> the kind."""
