"""The objects that an API server keeps, every change of them, and what follows from a deletion."""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.cluster.kube import schemas

type Object = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """A kind of objects, as discovery tells it."""

    api: str
    """Group and version: "v1", "apps/v1"."""
    kind: str
    plural: str

    @property
    def told(self) -> Object:
        """Its line in a list of resources."""
        verbs = ["create", "delete", "get", "list", "patch", "watch"]
        singular = self.kind.lower()
        return {"name": self.plural, "singularName": singular, "kind": self.kind, "namespaced": True, "verbs": verbs}


RESOURCES = [
    Resource("v1", "Event", "events"),
    Resource("v1", "Namespace", "namespaces"),
    Resource("v1", "Pod", "pods"),
    Resource("v1", "Service", "services"),
    Resource("apps/v1", "Deployment", "deployments"),
    Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions"),
    *(
        Resource("kubernetes.dask.org/v1", kind, each["spec"]["names"]["plural"])
        for kind, each in schemas.definitions().items()
    ),
]


class Refused(Exception):
    """A request is refused, with the code and the reason that a real server gives."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": code,
            "reason": reason,
            "message": message,
        }


@dataclass(frozen=True)
class Change:
    """An object as it was after a change; its resourceVersion is the number of changes until then."""

    type: str
    """ADDED, MODIFIED or DELETED."""
    resource: Resource
    object: Object


@dataclass
class Store:
    """All objects, and all changes since the start."""

    objects: dict[tuple[Resource, str], Object] = field(default_factory=dict)
    """(kind, name) -> object; names of the tests' few namespaces do not meet."""
    changes: list[Change] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, resource: Resource, since: int = 0) -> AsyncIterator[Change]:
        """Yield the changes of a kind after a resourceVersion, for ever."""
        while True:
            for change in self.changes[since:]:
                if change.resource == resource:
                    yield change
            since, news = len(self.changes), self.news
            if self.changes[since:] == []:
                await news.wait()

    def get(self, resource: Resource, name: str) -> Object:
        """Return an object; where there is none, that is told as a real server does."""
        try:
            return self.objects[resource, name]
        except KeyError:
            raise Refused(404, "NotFound", f'{resource.plural} "{name}" not found') from None

    def select(self, resource: Resource, wanted: Callable[[Object], bool] = lambda _: True) -> list[Object]:
        """Return the objects of a kind that are wanted."""
        return [each for (kind, _), each in self.objects.items() if kind == resource and wanted(each)]

    def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        """Keep a new object."""
        metadata = body.setdefault("metadata", {})
        metadata.setdefault("name", f"{metadata.get('generateName', '')}{uuid.uuid4().hex[:8]}")
        if (resource, metadata["name"]) in self.objects:
            raise Refused(409, "AlreadyExists", f'{resource.plural} "{metadata["name"]}" already exists')
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        given = {"uid": str(uuid.uuid4()), "creationTimestamp": now, "generation": 1, "namespace": namespace}
        whole = {"apiVersion": resource.api, "kind": resource.kind, **body, "metadata": {**metadata, **given}}
        kept = self._keep("ADDED", resource, self._admitted(resource, whole))
        self._collect()
        return kept

    def change(self, resource: Resource, name: str, make: Callable[[Object], Object]) -> Object:
        """Keep what a function makes of an object; one that was waiting for its last finalizer goes."""
        before = self.get(resource, name)
        after = self._admitted(resource, make(copy.deepcopy(before)))
        if after == before:
            return before
        after["metadata"]["generation"] += after.get("spec") != before.get("spec")
        kept = self._keep("MODIFIED", resource, after)
        if "deletionTimestamp" in kept["metadata"] and not kept["metadata"].get("finalizers"):
            self._remove(resource, kept)
        self._collect()
        return kept

    def delete(self, resource: Resource, name: str) -> Object:
        """Remove an object, or mark it where somebody has to finish with it first."""
        found = self.get(resource, name)
        if not found["metadata"].get("finalizers"):
            self._remove(resource, found)
            return found

        def mark(each: Object) -> Object:
            each["metadata"].setdefault("deletionTimestamp", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
            return each

        return self.change(resource, name, mark)

    def _remove(self, resource: Resource, gone: Object) -> None:
        """Forget an object, and delete those that it owns."""
        del self.objects[resource, gone["metadata"]["name"]]
        self._keep("DELETED", resource, gone)
        self._collect()

    def _collect(self) -> None:
        """Delete an object whose owners are gone, and what follows from that; the operator may have been late."""
        alive = {each["metadata"]["uid"] for each in self.objects.values()}
        for (kind, name), each in self.objects.items():
            owners = each["metadata"].get("ownerReferences", [])
            marked = "deletionTimestamp" in each["metadata"]
            if owners and not marked and not any(owner["uid"] in alive for owner in owners):
                self.delete(kind, name)
                return  # which has collected the others

    def _keep(self, type_: str, resource: Resource, whole: Object) -> Object:
        """Note a change, and wake those who follow."""
        whole["metadata"]["resourceVersion"] = str(len(self.changes) + 1)
        if type_ != "DELETED":
            self.objects[resource, whole["metadata"]["name"]] = whole
        self.changes.append(Change(type_, resource, copy.deepcopy(whole)))
        self.news.set()
        self.news = asyncio.Event()
        return whole

    @staticmethod
    def _admitted(resource: Resource, whole: Object) -> Object:
        if resource.kind not in schemas.definitions():
            return whole
        try:
            return schemas.admitted(resource.kind, whole)
        except schemas.Invalid as error:
            raise Refused(422, "Invalid", str(error)) from None
