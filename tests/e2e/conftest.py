"""What whole runs share: a real S3 API on loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Start a server with the buckets "results" and "archive", and an environment that leads to it."""
    program = Path(sys.executable).with_name("moto_server")
    if not program.exists():
        pytest.skip("moto's server is not here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    # A process of its own: it must answer while GDAL waits for it in this one.
    command = [str(program), "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        with contextlib.suppress(OSError):
            requests.get(url, timeout=1)
            break
        time.sleep(0.1)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("ACCESS_KEY_ID", "key"),
            ("SECRET_ACCESS_KEY", "SECRET"),
            ("REGION", "us-east-1"),
            ("ENDPOINT_URL", url),
            ("ALLOW_HTTP", "true"),
        ):
            patch.setenv(f"AWS_{name}", value)
        for bucket in ("results", "archive"):
            requests.put(f"{url}/{bucket}", timeout=10).raise_for_status()
        yield url
    server.kill()
    server.wait()
