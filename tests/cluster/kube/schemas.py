"""The operator's kinds, and what an API server makes of their objects by the schemas that dask-kubernetes installs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import dask_kubernetes
import jsonschema
import yaml

FOLDER = Path(dask_kubernetes.__file__).parent / "operator/deployment/helm/dask-kubernetes-operator/crds"


class Invalid(Exception):
    """An object is not what the schema of its kind says."""


@cache
def definitions() -> dict[str, dict[str, Any]]:
    """Return kind -> CustomResourceDefinition."""
    found = [each for file in sorted(FOLDER.glob("*.yaml")) for each in yaml.safe_load_all(file.read_text())]
    return {each["spec"]["names"]["kind"]: each for each in found}


@cache
def schema(kind: str) -> dict[str, Any]:
    """Return the schema of one of the operator's kinds, which refuses keys that it does not name.

    An API server that is not told to be strict drops such keys, and warns: a mistake would go by unseen here.
    """
    version: dict[str, Any] = dict(definitions()[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    standard = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    found: dict[str, Any] = _closed({**version, "properties": {**version["properties"], **standard}})
    return found


def _closed(part: Any) -> Any:
    """Return a part of a schema which refuses keys that it does not name."""
    if isinstance(part, list):
        return [_closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {key: _closed(value) for key, value in part.items()}
    if "properties" in found and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def admitted(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return an object as it is kept: without nulls, with defaults, its status without what nobody has declared.

    Raises
    ------
    Invalid
        The schema of its kind refuses it; the text names each place.
    """
    rules = schema(kind)
    found: dict[str, Any] = _completed(value, rules)
    known = rules["properties"]["status"].get("properties", {})
    if "status" in found:
        found["status"] = {name: each for name, each in found["status"].items() if name in known}
    errors = jsonschema.Draft202012Validator(rules).iter_errors(found)
    if told := [f"{error.json_path.removeprefix('$.')}: Invalid value: {error.message}" for error in errors]:
        raise Invalid(f'{kind}.kubernetes.dask.org "{value["metadata"].get("name")}" is invalid: {", ".join(told)}')
    return found


def _completed(value: Any, rules: dict[str, Any]) -> Any:
    """Return a value without nulls, and with the defaults of its schema."""
    if isinstance(value, list):
        return [_completed(each, rules.get("items", {})) for each in value]
    if not isinstance(value, dict):
        return value
    named = rules.get("properties", {})
    others = rules.get("additionalProperties") or {}
    found = {
        name: _completed(each, named.get(name, others))
        for name, each in value.items()
        if not (each is None and name in named)
    }
    defaults = {name: each["default"] for name, each in named.items() if "default" in each}
    return {**defaults, **found}
