"""A scheduler that runs already, and outlives its client."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, Security

from groundbreak.cluster.request import Request

LOG = logging.getLogger(__name__)

ANSWER_S = 20
"""Seconds within which the scheduler must answer."""


@contextmanager
def opened(request: Request) -> Iterator[Client]:
    """Connect to the scheduler; with certificates, by TLS alone."""
    LOG.info("connecting to %s", request.address)
    with Client(request.address, timeout=ANSWER_S, security=_security(request)) as client:
        yield client


def _security(request: Request) -> Security | None:
    """Return the certificates that were named; without any, those of Dask's own settings are used."""
    if request.tls_ca_file is None:
        return None
    return Security(
        tls_ca_file=request.tls_ca_file,
        tls_client_cert=request.tls_cert,
        tls_client_key=request.tls_key,
        require_encryption=True,
    )
