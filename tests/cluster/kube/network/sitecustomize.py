"""The network of a pod, for a process that has only the loopback of its machine.

Python imports this as it starts (the kubelet puts the folder into PYTHONPATH). A pod has an address of its own
(127.x.y.z): whoever listens at all addresses, or connects from any, does so at this one. Names of services are those
of a file of "NAME.NAMESPACE ADDRESS" lines. A port that is named (8786) is one 10,000 higher: any program of the
machine may listen at 8787 of all addresses.
"""

import os
import socket
from pathlib import Path
from typing import Any

ADDRESS = os.environ["POD_ADDRESS"]
HOSTS = Path(os.environ["POD_HOSTS"])
ANY = "0.0.0.0"  # noqa: S104 (this replaces it)
HIGHER = int(os.environ["POD_PORTS_HIGHER"])

_bind, _connect, _getaddrinfo = socket.socket.bind, socket.socket.connect, socket.getaddrinfo


def resolved(host: Any, port: Any) -> tuple[Any, Any]:
    """Return the address and the port of a service; what is none stays as it is."""
    if isinstance(host, str) and HOSTS.exists():
        known = dict(line.split() for line in HOSTS.read_text().splitlines())
        if found := known.get(host.removesuffix(".svc.cluster.local")):
            return found, int(port or 0) + HIGHER
    return host, port


def bind(self: socket.socket, address: Any) -> None:
    """Listen at the address of the pod where all addresses are asked for."""
    if self.family == socket.AF_INET and address[0] in ("", ANY):
        address = (ADDRESS, address[1] + HIGHER if address[1] else 0)
    _bind(self, address)


def connect(self: socket.socket, address: Any) -> None:
    """Connect from the address of the pod; by a datagram socket a program only asks what that is."""
    if self.family == socket.AF_INET:
        if self.getsockname()[0] == ANY:
            _bind(self, (ADDRESS, 0))
        if self.type & socket.SOCK_DGRAM:
            return
        address = resolved(*address)
    _connect(self, address)


def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
    """Look names of services up in the file."""
    return _getaddrinfo(*resolved(host, port), *args, **kwargs)


socket.socket.bind = bind  # type: ignore[method-assign, assignment]
socket.socket.connect = connect  # type: ignore[method-assign, assignment]
socket.getaddrinfo = getaddrinfo
