"""A cluster that a dask-gateway server starts: it keeps the certificates, and says which options there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from distributed import Client

from groundbreak.cluster import policy
from groundbreak.cluster.request import Request

SERVER = ("auth", "proxy_address", "public_address")
"""Options that say how the server is reached; all others are the server's own, as its administrator has named them."""


class UnknownOption(ValueError):
    """The server does not know an option."""


@contextmanager
def opened(request: Request) -> Iterator[Client]:
    """Have the server start a cluster; it is shut down when the block ends."""
    from dask_gateway import Gateway

    reach = {name: value for name, value in request.options.items() if name in SERVER}
    wanted = {name: value for name, value in request.options.items() if name not in SERVER}
    gateway = Gateway(request.address, **reach)  # closes itself; after a second closing it complains
    _check(wanted, set(gateway.cluster_options()))
    with gateway.new_cluster(shutdown_on_close=True, **wanted) as cluster, cluster.get_client() as client:
        if isinstance(request.workers, tuple):
            policy.scale(cluster, request)
        else:
            cluster.scale(request.most)
        yield client


def _check(wanted: Iterable[str], known: set[str]) -> None:
    """Refuse options that the server does not know, all at once."""
    if unknown := sorted(set(wanted) - known):
        have = ", ".join(sorted(known)) or "none"
        raise UnknownOption(f"the server has no option {', '.join(unknown)}; it has {have}")
