"""What is asked of a cluster, whatever its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """A cluster as it is wanted; each kind takes some of it, and leaves the rest out (`kinds.KINDS`)."""

    workers: int | tuple[int, ...] | None = None
    """Worker processes of one thread each; (least, most) follow the work that there is."""
    memory: str | None = None
    """Memory limit of a worker ("4GiB")."""
    lifetime: str | None = None
    """How long a worker stays ("50 minutes"): it then gives its work to others, and another one takes its place."""
    address: str | None = None
    """Where a scheduler or a gateway answers."""
    tls_ca_file: str | None = None
    """Path of the certificate of the authority that has signed those of a running cluster."""
    tls_cert: str | None = None
    """Path of the client's certificate."""
    tls_key: str | None = None
    """Path of the client's key; it may stand in the file of the certificate."""
    patience_s: float = 3600.0
    """Seconds to wait for what must be there before workers can come: the scheduler in its pod."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the kind's library takes beside: name -> value."""

    @property
    def fewest(self) -> int:
        """The workers that there are at least."""
        return self.workers[0] if isinstance(self.workers, tuple) else self.workers or 0

    @property
    def most(self) -> int:
        """The workers that there are at most."""
        return self.workers[-1] if isinstance(self.workers, tuple) else self.workers or 0
