"""Pods for a run: what they are started with, how many there are, what is refused, and that none is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from distributed import Client

from groundbreak.cluster import policy
from groundbreak.cluster.connect import connect
from groundbreak.cluster.connectors import kubernetes as connector
from groundbreak.cluster.request import Request
from groundbreak.pipeline import workers
from groundbreak.pipeline.core.types import BadInput
from tests.cluster.kube import schemas
from tests.cluster.kube.kubelet import HIGHER, IMAGE
from tests.cluster.kube.service import NAMESPACE, Kubernetes, kubernetes
from tests.cluster.services import PATIENCE_S, until
from tests.packaging.environments import ROOT
from tests.world import configure

pytestmark = [
    # distributed and kr8s start event loops with calls that the standard library has deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

DASK = "apis/kubernetes.dask.org/v1"


@pytest.fixture(scope="module")
def with_operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """Start a Kubernetes in which the operator runs."""
    with kubernetes(tmp_path_factory.mktemp("kube")) as started:
        yield started


@pytest.fixture(scope="module")
def without_operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """Start a Kubernetes without the operator."""
    with kubernetes(tmp_path_factory.mktemp("bare"), operator=False) as started:
        yield started


@pytest.fixture
def kube(with_operator: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> Kubernetes:
    """Lead to the Kubernetes in which the operator runs."""
    monkeypatch.setenv("KUBECONFIG", str(with_operator.config))
    return with_operator


@pytest.fixture
def bare(without_operator: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> Kubernetes:
    """Lead to the Kubernetes without the operator."""
    monkeypatch.setenv("KUBECONFIG", str(without_operator.config))
    return without_operator


def left(kube: Kubernetes) -> list[str]:
    """Return what there is still: objects, and processes of schedulers and workers."""
    kinds = (DASK, "daskclusters"), (DASK, "daskworkergroups"), (DASK, "daskautoscalers"), ("api/v1", "pods")
    objects = [each["metadata"]["name"] for api, plural in kinds for each in kube.found(api, plural)]
    pods = [each for each in psutil.process_iter(["cwd", "cmdline"]) if each.info["cwd"] == str(kube.folder)]
    lines = [" ".join(each.info["cmdline"] or []) for each in pods]
    return objects + [line for line in lines if "kopf" not in line]


def nothing_is_left(kube: Kubernetes) -> None:
    until(lambda: not left(kube), f"there is still {left(kube)}")


def test_workers_are_started_as_they_are_asked_for(kube: Kubernetes) -> None:
    spot = {"nodeSelector": {"spot": "yes"}, "tolerations": [{"key": "spot", "operator": "Exists"}]}
    options = {
        "image": IMAGE,
        "env": {"AWS_REGION": "eu-central-1"},
        "custom_cluster_spec": {"spec": {"worker": {"spec": spot}}},
    }
    asked = {"workers": 2, "memory": "1GiB", "lifetime": "50 minutes", "options": options}
    with connect("kubernetes", **asked) as client:
        client.wait_for_workers(2, timeout=PATIENCE_S)
        environments = client.run(lambda: dict(os.environ)).values()
        # Lambdas travel whole: by its name a function would have workers import this module.
        threads = client.run(lambda dask_worker: dask_worker.state.nthreads).values()
        limits = client.run(lambda dask_worker: dask_worker.memory_manager.memory_limit).values()
        lifetimes = client.run(lambda dask_worker: dask_worker.lifetime).values()
        pods = [pod for pod in kube.found("api/v1", "pods") if "dask.org/workergroup-name" in pod["metadata"]["labels"]]
        (cluster,) = kube.found(DASK, "daskclusters")
    assert len(environments) == len(pods) == 2
    for found in environments:
        assert {**policy.ENVIRONMENT, "AWS_REGION": "eu-central-1"}.items() <= found.items()
    assert [*threads, *limits] == [1, 1, 2**30, 2**30]
    assert all(2700 <= seconds <= 3300 for seconds in lifetimes)
    assert [{key: pod["spec"][key] for key in spot} for pod in pods] == [spot] * 2
    assert cluster["spec"]["idleTimeout"] == policy.IDLE_TIMEOUT_S
    nothing_is_left(kube)


def test_workers_follow_their_work(kube: Kubernetes) -> None:
    with connect("kubernetes", workers=(1, 2), options={"image": IMAGE}) as client:
        (scaler,) = kube.found(DASK, "daskautoscalers")
        assert (scaler["spec"]["minimum"], scaler["spec"]["maximum"]) == (1, 2)
        busy = client.map(time.sleep, [0.5] * 60, pure=False)
        until(partial(_has, client, 2), "no second worker comes")
        client.cancel(busy)
    nothing_is_left(kube)


def test_nothing_is_left_after_an_error(kube: Kubernetes) -> None:
    with pytest.raises(ZeroDivisionError), connect("kubernetes", workers=1, options={"image": IMAGE}) as client:
        client.submit(lambda: 1 / 0, pure=False).result(timeout=PATIENCE_S)
    nothing_is_left(kube)


def test_the_manifest_of_the_recipes_is_a_cluster_that_can_be_scaled(kube: Kubernetes) -> None:
    manifest = yaml.safe_load((ROOT / "cluster/recipes/kubernetes/cluster.yaml").read_text())
    manifest["spec"]["worker"]["replicas"] = 1
    path = f"/{DASK}/namespaces/{NAMESPACE}"
    kube.ask(f"{path}/daskclusters", manifest)
    until(lambda: len(kube.found("api/v1", "pods")) == 2, "no pods come")
    (scheduler,) = [pod for pod in kube.found("api/v1", "pods") if "-scheduler-" in pod["metadata"]["name"]]
    address = scheduler["status"]["podIP"], 8786 + HIGHER
    until(lambda: socket.socket().connect_ex(address) == 0, "the scheduler does not start")
    with connect("address", address=f"tcp://{address[0]}:{address[1]}") as client:
        for count in 1, 2, 1:
            patch = {"spec": {"worker": {"replicas": count}}}
            kube.ask(f"{path}/daskworkergroups/groundbreak-default", patch, method="PATCH")
            until(partial(_has, client, count), f"there are not {count} workers")
    kube.ask(f"{path}/daskclusters/groundbreak", method="DELETE")
    nothing_is_left(kube)


def _has(client: Client, count: int) -> bool:
    return len(client.nthreads()) == count


def refused(tmp_path: Path, options: dict[str, Any], **cluster: Any) -> str:
    """Return the one error of a run whose cluster does not start."""
    asked = {"kind": "kubernetes", "workers": 1, "options": {"image": IMAGE, **options}, **cluster}
    config = configure(tmp_path, (0, 0, 1, 1), "2020/2021", cluster=asked)
    with pytest.raises(BadInput) as told, workers.connected(config, None):
        pass
    assert "\n" not in str(told.value)
    assert "[cluster] kind = 'kubernetes': cannot be started (" in str(told.value)
    return str(told.value)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (
            {"env": {"SCENES": 3}},
            r"spec.worker.spec.containers[0].env[6].value: Invalid value: 3 is not of type 'string'",
        ),
        ({"env": "SCENES=3"}, r"spec.worker.spec.containers[0].env: Invalid value: 'SCENES=3' is not of type 'array'"),
        ({"idle_timeout": "an hour"}, r"spec.idleTimeout: Invalid value: 'an hour' is not of type 'integer'"),
        ({"resources": {"limit": {"cpu": "1"}}}, "'limit' was unexpected"),
        ({"custom_cluster_spec": {"spec": {"worker": {"replica": 3}}}}, "'replica' was unexpected"),
        ({"name": "Works_1"}, "must consist of lower case alphanumeric characters"),
        ({"custom_cluster_spec": {"spec": {"worker": "ours"}}}, "custom_cluster_spec has 'ours' where"),
        ({"custom_cluster_spec": "absent.yaml"}, "No such file or directory: 'absent.yaml'"),
    ],
)
def test_what_the_server_refuses_is_told(bare: Kubernetes, tmp_path: Path, options: dict[str, Any], what: str) -> None:
    assert what in refused(tmp_path, options)
    assert not left(bare)


def test_an_image_that_nobody_has_is_not_waited_for_without_end(kube: Kubernetes, tmp_path: Path) -> None:
    told = refused(tmp_path, {"image": "absent"}, patience="6 s")
    assert "its scheduler does not answer after 6 s: its pod is Pending, ImagePullBackOff" in told
    nothing_is_left(kube)


def test_a_scheduler_that_ends_is_told_with_its_last_words(kube: Kubernetes, tmp_path: Path) -> None:
    told = refused(tmp_path, {"env": {"PATH": "/absent"}, "resource_timeout": 5})
    assert "its scheduler does not start: its pod is Running, CrashLoopBackOff, " in told
    assert "No such file or directory: 'dask'" in told
    nothing_is_left(kube)


def test_a_missing_operator_is_told(bare: Kubernetes, tmp_path: Path) -> None:
    assert "is the Dask Operator running?" in refused(tmp_path, {"resource_timeout": 1})
    assert not left(bare)


def test_a_server_that_does_not_answer_is_named(bare: Kubernetes, tmp_path: Path, monkeypatch: Any) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(bare.config.read_text().replace(bare.url, "http://127.0.0.1:9"))
    monkeypatch.setenv("KUBECONFIG", str(config))
    assert "http://127.0.0.1:9 does not answer" in refused(tmp_path, {})


def test_a_cluster_of_somebody_else_is_neither_taken_nor_deleted(bare: Kubernetes, tmp_path: Path) -> None:
    theirs = connector._manifest(Request(workers=1, options={"image": IMAGE, "name": "theirs"}))
    path = f"/{DASK}/namespaces/{NAMESPACE}/daskclusters"
    bare.ask(path, theirs)
    assert "Cluster theirs already exists" in refused(tmp_path, {"name": "theirs"})
    assert left(bare) == ["theirs"]
    bare.ask(f"{path}/theirs", method="DELETE")


def test_a_server_that_is_gone_in_the_end_is_no_error(tmp_path: Path, monkeypatch: Any, caplog: Any) -> None:
    with ExitStack() as stack, kubernetes(tmp_path / "kube") as service:
        monkeypatch.setenv("KUBECONFIG", str(service.config))
        stack.enter_context(connect("kubernetes", workers=1, options={"image": IMAGE}))
    assert "kubectl delete daskcluster groundbreak-" in caplog.text


def test_a_run_that_is_told_to_stop_while_it_waits_leaves_nothing(kube: Kubernetes, tmp_path: Path) -> None:
    asked = "kind='kubernetes', workers=1, options={'image': 'absent'}"
    lines = f"from groundbreak.cluster.connect import connect\nwith connect({asked}): pass"
    with (tmp_path / "told").open("w") as told:
        started = subprocess.Popen([sys.executable, "-c", lines], stderr=told)
    until(lambda: kube.found("api/v1", "pods"), "no pod comes")
    started.send_signal(signal.SIGINT)
    assert started.wait(PATIENCE_S) != 0
    nothing_is_left(kube)


def test_the_server_completes_objects_as_a_real_one_does() -> None:
    manifest = connector._manifest(Request(workers=1, options={"image": IMAGE, "idle_timeout": None}))
    del manifest["spec"]["worker"]["replicas"]
    kept = schemas.admitted("DaskCluster", {**manifest, "status": {"phase": "Created", "kopf": {}}})
    assert kept["spec"]["worker"]["replicas"] == 1
    assert kept["spec"]["idleTimeout"] == 0
    assert kept["status"] == {"phase": "Created"}
