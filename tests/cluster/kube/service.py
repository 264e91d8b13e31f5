"""The simulated Kubernetes with the real operator in it, as a service of the tests."""

from __future__ import annotations

import contextlib
import gc
import json
import sys
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kube.kubelet import IMAGE
from tests.cluster.kube.server import TOKEN
from tests.cluster.services import free_ports, process, until
from tests.packaging.environments import ROOT

NAMESPACE = "works"


class Kubernetes:
    """A server that runs, asked as kubectl would ask it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.config = folder / "kubeconfig"
        cluster = {"name": "tests", "cluster": {"server": self.url}}
        user = {"name": "tests", "user": {"token": TOKEN}}
        context = {"name": "tests", "context": {"cluster": "tests", "user": "tests", "namespace": NAMESPACE}}
        whole = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "tests"}
        self.config.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **whole}))

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """Return what is answered to a path, as JSON; a body is created there."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Authorization": f"Bearer {TOKEN}"}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def up(self) -> bool:
        """Whether the server answers."""
        with contextlib.suppress(OSError):
            return bool(self.ask("/version"))
        return False

    def found(self, api: str, plural: str) -> list[dict[str, Any]]:
        """Return the objects of a kind in the namespace of the tests."""
        items: list[dict[str, Any]] = self.ask(f"/{api}/namespaces/{NAMESPACE}/{plural}")["items"]
        return items

    def install_operator(self) -> None:
        """Have the operator of dask-kubernetes run as a deployment, as its Helm chart would."""
        told = str(Path(__file__).with_name("operator_settings.py"))
        command = ["kopf", "run", "--standalone", "--all-namespaces", "-m", "dask_kubernetes.operator.controller", told]
        variables = [{"name": "KUBECONFIG", "value": str(self.config)}]
        container = {"name": "operator", "image": IMAGE, "command": command, "env": variables}
        template = {"metadata": {"labels": {}}, "spec": {"containers": [container]}}
        body = {"metadata": {"name": "operator"}, "spec": {"replicas": 1, "template": template}}
        self.ask("/apis/apps/v1/namespaces/dask-operator/deployments", body)


@contextlib.contextmanager
def kubernetes(folder: Path, operator: bool = True) -> Iterator[Kubernetes]:
    """Start a server; whoever has its ``config`` as KUBECONFIG is led there."""
    if sys.platform != "linux":
        pytest.skip("needs Linux, where all of 127.0.0.0/8 is loopback")
    (port,) = free_ports(1)
    folder.mkdir(exist_ok=True)
    found = Kubernetes(folder, port)
    command = [sys.executable, "-m", "tests.cluster.kube.server", str(port), str(folder)]
    with process(command, folder / "server.out", {"PYTHONPATH": str(ROOT)}):
        until(found.up, "the server does not start")
        if operator:
            found.install_operator()
        yield found
    with warnings.catch_warnings():
        # kr8s does not close its connections; they must not be found in another test.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
