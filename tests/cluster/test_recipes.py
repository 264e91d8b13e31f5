"""The recipes: manifests by the schemas that the operator installs, scripts by bash, values by their kind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask_kubernetes
import jsonschema
import pytest
import yaml
from dask_kubernetes.operator.kubecluster.kubecluster import make_cluster_spec

from groundbreak.cluster import policy
from groundbreak.cluster.connectors import kubernetes
from groundbreak.cluster.request import Request
from tests.packaging.environments import ROOT

RECIPES = ROOT / "cluster/recipes"
MANIFESTS = sorted((RECIPES / "kubernetes").glob("*.yaml"))


def schema(kind: str) -> dict[str, Any]:
    """Return the schema of one of the operator's kinds, as the API server would hold objects to it: no other keys."""
    folder = Path(dask_kubernetes.__file__).parent / "operator/deployment/helm/dask-kubernetes-operator/crds"
    for file in folder.glob("*.yaml"):
        for found in yaml.safe_load_all(file.read_text()):
            if found["spec"]["names"]["kind"] == kind:
                version: dict[str, Any] = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
                version["properties"] |= {name: {"type": "string"} for name in ("apiVersion", "kind")}
                version["properties"]["metadata"] = {"type": "object"}
                found_schema: dict[str, Any] = closed(version)
                return found_schema
    raise LookupError(kind)


def closed(part: Any) -> Any:
    """Return a schema that refuses keys which it does not name, and takes null for what may be left out."""
    if isinstance(part, list):
        return [closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {key: closed(value) for key, value in part.items()}
    if "properties" in found and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


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
    named = {"name", "image", "n_workers", "resources", "env", "worker_command", "idle_timeout"}
    manifest = make_cluster_spec(**{name: asked[name] for name in named})
    # KubeCluster leaves out what is None; the API server prunes it.
    jsonschema.validate(_pruned(manifest), schema("DaskCluster"))
    (container,) = manifest["spec"]["worker"]["spec"]["containers"]
    told = " ".join(container["args"])
    assert "--nthreads 1 --death-timeout 60 --memory-limit 2147483648 --lifetime 3000s --lifetime-stagger 300s" in told
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment == {**policy.ENVIRONMENT, "AWS_REGION": "eu-central-1"}
    assert manifest["spec"]["worker"]["replicas"] == 1
    assert manifest["spec"]["idleTimeout"] == policy.IDLE_TIMEOUT_S
    assert asked["namespace"] == "works"
    assert asked["shutdown_on_close"] is True


def _pruned(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _pruned(value) for key, value in part.items() if value is not None}
    return [_pruned(each) for each in part] if isinstance(part, list) else part


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
