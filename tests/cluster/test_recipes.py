"""The recipes: manifests by the schemas that the operator installs, scripts by bash, values by their kind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from groundbreak.cluster import policy
from groundbreak.cluster.connectors import kubernetes
from groundbreak.cluster.request import Request
from tests.cluster.kube.schemas import schema
from tests.packaging.environments import ROOT

RECIPES = ROOT / "cluster/recipes"
MANIFESTS = sorted((RECIPES / "kubernetes").glob("*.yaml"))


@pytest.mark.parametrize("file", [f for f in MANIFESTS if f.name != "network-policy.yaml"], ids=lambda f: f.name)
def test_manifests_are_what_the_operator_takes(file: Path) -> None:
    manifest = yaml.safe_load(file.read_text())
    jsonschema.validate(manifest, schema(manifest["kind"]))


def test_the_schemas_refuse_what_is_wrong() -> None:
    manifest = yaml.safe_load((RECIPES / "kubernetes/cluster.yaml").read_text())
    manifest["spec"]["worker"]["replica"] = manifest["spec"]["worker"].pop("replicas")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, schema("DaskCluster"))


def test_what_the_connector_asks_for_is_what_the_operator_takes() -> None:
    request = Request(
        workers=(1, 4),
        memory="2GiB",
        lifetime="50 minutes",
        options={"image": "groundbreak", "namespace": "works", "env": {"AWS_REGION": "eu-central-1"}},
    )
    asked = kubernetes._arguments(request)
    manifest = asked["custom_cluster_spec"]
    jsonschema.validate(manifest, schema("DaskCluster"))
    (container,) = manifest["spec"]["worker"]["spec"]["containers"]
    told = " ".join(container["args"])
    assert "--nthreads 1 --death-timeout 60 --memory-limit 2147483648 --lifetime 3000s --lifetime-stagger 300s" in told
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment == {**policy.ENVIRONMENT, "AWS_REGION": "eu-central-1"}
    assert manifest["spec"]["worker"]["replicas"] == 1
    assert manifest["spec"]["idleTimeout"] == policy.IDLE_TIMEOUT_S
    assert asked["namespace"] == "works"
    assert asked["name"] == manifest["metadata"]["name"]


def test_a_manifest_of_the_user_lies_below_what_the_policy_decides(tmp_path: Path) -> None:
    variables = [{"name": "OMP_NUM_THREADS", "value": "8"}, {"name": "SCENES", "value": "3"}]
    mounts = [{"name": "scratch", "mountPath": "/scratch"}]
    container = {"name": "worker", "image": "theirs", "args": ["sleep"], "env": variables, "volumeMounts": mounts}
    pod = {"serviceAccountName": "reader", "containers": [{"name": "sidecar", "image": "proxy"}, container]}
    own = {
        "metadata": {"name": "theirs", "labels": {"team": "forest"}},
        "spec": {"worker": {"replicas": 9, "spec": pod}},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    for given in own, str(tmp_path / "own.yaml"):
        request = Request(workers=2, options={"image": "ours", "custom_cluster_spec": given})
        manifest = kubernetes._arguments(request)["custom_cluster_spec"]
        jsonschema.validate(manifest, schema("DaskCluster"))
        assert manifest["metadata"]["labels"] == {"team": "forest"}
        assert manifest["metadata"]["name"].startswith("groundbreak-")
        worker = manifest["spec"]["worker"]
        assert (worker["replicas"], worker["spec"]["serviceAccountName"]) == (2, "reader")
        ours, sidecar = worker["spec"]["containers"]
        assert sidecar == {"name": "sidecar", "image": "proxy"}
        assert (ours["image"], ours["args"][:2], ours["volumeMounts"]) == ("ours", ["dask", "worker"], mounts)
        environment = {each["name"]: each["value"] for each in ours["env"]}
        assert environment == {**policy.ENVIRONMENT, "SCENES": "3"}


def test_policies_and_values_are_yaml_of_their_kind() -> None:
    found = yaml.safe_load((RECIPES / "kubernetes/network-policy.yaml").read_text())
    assert found["kind"] == "NetworkPolicy"
    values = yaml.safe_load((RECIPES / "gateway.yaml").read_text())["gateway"]
    assert values["backend"]["worker"]["threads"] == 1
    assert values["backend"]["environment"].items() <= policy.ENVIRONMENT.items()
    compile(values["extraConfig"]["policy"], "extraConfig", "exec")


def test_the_script_is_bash() -> None:
    assert shutil.which("bash")
    done = subprocess.run(["bash", "-n", RECIPES / "slurm.sbatch"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_certificates_can_be_made_by_hand(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "groundbreak.cluster.tls", str(tmp_path / "tls")]
    subprocess.run(command, check=True)
    assert {f.name: f.stat().st_mode & 0o777 for f in (tmp_path / "tls").iterdir()} == dict.fromkeys(
        ("ca.pem", "cert.pem", "key.pem"), 0o600
    )
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode != 0
    assert "FileExistsError" in again.stderr
