"""What may stand in [cluster], by kind: keys, options of the libraries, and libraries that are not there."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import pytest

from groundbreak.cluster import kinds
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.mistakes import BadInput

BATCH = {"workers": 2, "memory": "2GiB"}


def read(**cluster: Any) -> Config:
    return Config(
        area={"bbox": [46.8, 40.0, 46.9, 40.1]},
        source={"items": "items.json", "datetime": "2020/2021"},
        output={"path": "out"},
        cluster=cluster,
    )


@pytest.mark.parametrize(
    "cluster",
    [
        {"workers": [0, 4]},
        {"kind": "address", "address": "tls://h:1", "tls_ca_file": "ca.pem", "tls_cert": "cert.pem"},
        {"kind": "ssh", "options": {"hosts": ["a", "b"], "remote_python": "/opt/python"}, "workers": 4},
        {"kind": "slurm", **BATCH, "lifetime": "50 minutes", "options": {"queue": "debug", "walltime": "01:00:00"}},
        {"kind": "pbs", **BATCH, "options": {"resource_spec": "select=1", "project": "p", "processes": 4}},
        {"kind": "lsf", **BATCH, "options": {"ncpus": 1, "mem": 10**9}},
        {"kind": "sge", **BATCH, "options": {"resource_spec": "h_vmem=2G"}, "patience": "2 hours"},
        {"kind": "kubernetes", "workers": [1, 9], "options": {"image": "groundbreak", "namespace": "works"}},
        {"kind": "gateway", "workers": 3, "address": "https://g.org", "options": {"whatever_it_knows": 1}},
    ],
)
def test_what_a_kind_takes(cluster: Mapping[str, Any]) -> None:
    assert read(**cluster).cluster.kind == cluster.get("kind", "local")


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ({"kind": "slurm"}, ["[cluster] workers", "[cluster] memory", "needs it"]),
        ({"kind": "slurm", **BATCH, "options": {"queu": "x"}}, ["[cluster.options] queu", "Did you mean 'queue'?"]),
        ({"kind": "slurm", **BATCH, "options": {"resource_spec": "x"}}, ["no such option", "walltime"]),
        ({"kind": "slurm", **BATCH, "options": {"cores": 8}}, ["cores", "not yours to set: a worker has one thread"]),
        ({"kind": "lsf", **BATCH, "options": {"security": True}}, ["security", "not yours"]),
        ({"options": {"queue": "x"}}, ["[cluster.options] queue", "no such option; it has none"]),
        ({"kind": "ssh"}, ["[cluster.options] hosts", "needs it"]),
        ({"kind": "ssh", "workers": [1, 2], "options": {"hosts": ["a", "b"]}}, ["takes one number"]),
        ({"kind": "kubernetes", "workers": 2}, ["[cluster.options] image", "needs it"]),
        ({"kind": "gateway", "workers": 2, "address": "tcp://h:1"}, ["must be the URL of a gateway"]),
        ({"kind": "local", "lifetime": "1 hour"}, ["[cluster] lifetime", "does not take it"]),
        ({"kind": "slurm", **BATCH, "lifetime": "50"}, ["lifetime = '50'", "a time with a unit"]),
        ({"kind": "slurm", **BATCH, "lifetime": "0 s"}, ["above zero"]),
        ({"patience": "soon"}, ["patience = 'soon'", "a time with a unit"]),
        ({"workers": [3, 2]}, ["workers = [3, 2]", "[least, most]"]),
        ({"workers": [1, 2, 3]}, ["[least, most]"]),
        ({"workers": [0, 0]}, ["1 <= most"]),
        ({"workers": 0}, ["must be positive"]),
        ({"kind": "address", "address": "tls://h:1", "tls_cert": "c"}, ["without [cluster] tls_ca_file and tls_cert"]),
        (
            {"kind": "address", "address": "tcp://h:1", "tls_ca_file": "a", "tls_cert": "c"},
            ["tcp://h:1", "speaks TLS", "--protocol tls"],
        ),
        ({"kind": "slurp"}, ["must be one of", "'slurm'"]),
    ],
)
def test_what_a_kind_does_not_take(cluster: Mapping[str, Any], told: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        read(**cluster)
    for text in told:
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "package", "extra"),
    [
        ("slurm", "dask-jobqueue", "slurm"),
        ("sge", "dask-jobqueue", "sge"),
        ("ssh", "asyncssh", "ssh"),
        ("kubernetes", "dask-kubernetes", "kubernetes"),
        ("gateway", "dask-gateway", "gateway"),
    ],
)
def test_a_library_that_is_not_there_is_asked_for(
    kind: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = package.replace("-", "_")
    found = importlib.util.find_spec
    monkeypatch.setattr(kinds, "find_spec", lambda name: None if name == module else found(name))
    with pytest.raises(BadInput) as caught:
        read(kind=kind, workers=1, options={"hosts": ["a"], "image": "i"})
    text = str(caught.value)
    assert f"[cluster] kind = '{kind}'" in text
    assert f"needs the package {package}" in text
    assert f'pip install "groundbreak[{extra}]"' in text


def test_the_workers_that_there_may_be() -> None:
    assert read(workers=[0, 5]).cluster.most_workers == 5
    assert read().cluster.most_workers is None
    assert read(kind="ssh", workers=2, options={"hosts": ["a", "b", "c"]}).cluster.most_workers == 4
