"""An API server of Kubernetes on loopback, as far as dask-kubernetes, kr8s and kopf ask: a simulation.

    python -m tests.cluster.kube.server PORT FOLDER

It takes one token, keeps its objects in memory, refuses with 422 what the schemas of the operator refuse, and passes
ports of pods on through websockets. Logs of pods lie in the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonpatch
from aiohttp import WSMsgType, web

from tests.cluster.kube import schemas
from tests.cluster.kube.kubelet import Kubelet
from tests.cluster.kube.objects import RESOURCES, Object, Refused, Resource, Store

TOKEN = "kubernetes-of-the-tests"  # noqa: S105

FRAME = 32 * 1024
"""Bytes that a message of a port carries at most."""


def main(port: int, folder: Path) -> None:
    """Serve until SIGTERM; then the processes of all pods end."""
    # Tests run side by side: each server has addresses of its own.
    server = Server(folder, f"127.{64 + port // 256 % 128}.{port % 256}")
    app = web.Application(middlewares=[_told_as_status])
    app.router.add_route("*", "/{path:.*}", server.answer)
    app.cleanup_ctx.append(server.living)
    web.run_app(app, host="127.0.0.1", port=port, print=lambda *_: None, shutdown_timeout=1)


@web.middleware
async def _told_as_status(request: web.Request, handler: Any) -> web.StreamResponse:
    """Let only those in who have the token; tell errors as a real server does."""
    try:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refused(401, "Unauthorized", "Unauthorized")
        answer: web.StreamResponse = await handler(request)
        return answer
    except Refused as error:
        return web.json_response(error.status, status=error.code)


class Server:
    """What is answered to each request."""

    def __init__(self, folder: Path, network: str) -> None:
        self.store = Store()
        self.kubelet = Kubelet(self.store, folder, network)

    async def living(self, _: web.Application) -> AsyncIterator[None]:
        """Run the kubelet while the server runs."""
        for each in schemas.definitions().values():
            self.store.create(_resource("apiextensions.k8s.io/v1", "customresourcedefinitions"), "", dict(each))
        follow = self.kubelet.follow_deployments, self.kubelet.follow_services, self.kubelet.follow_pods
        tasks = [asyncio.create_task(each()) for each in follow]
        yield
        for task in tasks:
            task.cancel()
        await self.kubelet.close()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request by its path: /api/v1/namespaces/NAMESPACE/pods/NAME, or shorter."""
        prefix, *parts = request.match_info["path"].rstrip("/").split("/")
        if prefix == "version":
            return web.json_response({"major": "1", "minor": "34", "gitVersion": "v1.34.0"})
        size = 1 if prefix == "api" else 2
        if prefix not in ("api", "apis") or len(parts) <= size:
            return web.json_response(_discovery(prefix, "/".join(parts)))
        api, parts = "/".join(parts[:size]), parts[size:]
        namespace, parts = (parts[1], parts[2:]) if parts[0] == "namespaces" and len(parts) > 2 else ("", parts)
        resource, name = _resource(api, parts[0]), "/".join(parts[1:2])
        if parts[2:] == ["portforward"]:
            return await self._port(request, name)
        if parts[2:] == ["log"]:
            return web.Response(text=self.kubelet.log(name, int(request.query.get("tailLines", 1000))))
        if not name and request.query.get("watch") == "true":
            return await self._watch(request, resource, namespace)
        return web.json_response(await self._objects(request, resource, namespace, name))

    async def _objects(self, request: web.Request, resource: Resource, namespace: str, name: str) -> Object:
        """Do what is asked with objects, and return what is told of them."""
        body = json.loads(await request.text() or "{}")
        if request.method == "POST":
            return self.store.create(resource, namespace, body)
        if request.method == "PATCH":
            return self.store.change(resource, name, lambda whole: _patched(whole, body))
        if request.method == "DELETE":
            return self.store.delete(resource, name)
        if name:
            return self.store.get(resource, name)
        items = self.store.select(resource, lambda each: _chosen(each, namespace, request))
        version = {"resourceVersion": str(len(self.store.changes))}
        return {"kind": f"{resource.kind}List", "apiVersion": resource.api, "metadata": version, "items": items}

    async def _watch(self, request: web.Request, resource: Resource, namespace: str) -> web.StreamResponse:
        """Tell changes, one a line, until the time that was asked for has passed."""
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        since = int(request.query.get("resourceVersion") or 0)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", 600))):
                async for change in self.store.follow(resource, since):
                    if _chosen(change.object, namespace, request):
                        line = json.dumps({"type": change.type, "object": change.object})
                        await answer.write(line.encode() + b"\n")
        return answer

    async def _port(self, request: web.Request, name: str) -> web.StreamResponse:
        """Pass bytes between a websocket and a port of a pod: channel 0 has data, channel 1 what went wrong."""
        port = int(request.query["ports"])
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for channel in b"\0", b"\1":
            await socket.send_bytes(channel + port.to_bytes(2, "little"))
        try:
            reader, writer = await asyncio.open_connection(*self.kubelet.reach(name, port))
        except OSError as error:
            await socket.send_bytes(b"\1" + str(error).encode())
            await socket.close()
            return socket
        back = asyncio.create_task(_passed_back(reader, socket))
        with contextlib.suppress(ConnectionError):
            async for message in socket:
                if message.type == WSMsgType.BINARY:
                    writer.write(message.data[1:])
                    await writer.drain()
        back.cancel()
        writer.close()
        return socket


async def _passed_back(reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(FRAME):
            await socket.send_bytes(b"\0" + data)
        await socket.close()


def _resource(api: str, plural: str) -> Resource:
    for each in RESOURCES:
        if (each.api, each.plural) == (api, plural):
            return each
    raise Refused(404, "NotFound", "the server could not find the requested resource")


def _discovery(prefix: str, api: str) -> Object:
    """Return which groups there are, or the resources of one."""
    if api:
        told = [each.told for each in RESOURCES if each.api == api]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api, "resources": told}
    if prefix == "api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    groups = []
    for each in sorted({each.api for each in RESOURCES} - {"v1"}):
        group, _, version = each.partition("/")
        named = {"groupVersion": each, "version": version}
        groups.append({"name": group, "versions": [named], "preferredVersion": named})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _chosen(each: Object, namespace: str, request: web.Request) -> bool:
    """Whether an object is of a namespace, and has the labels and fields that are asked for."""
    if namespace and each["metadata"].get("namespace") != namespace:
        return False
    labels = each["metadata"].get("labels", {})
    wanted = [each for each in request.query.get("labelSelector", "").split(",") if each]
    fields = [each for each in request.query.get("fieldSelector", "").split(",") if each]
    return all(labels.get(key) == value for key, _, value in (pair.partition("=") for pair in wanted)) and all(
        _field(each, key) == value for key, _, value in (pair.partition("=") for pair in fields)
    )


def _field(each: Any, path: str) -> Any:
    for key in path.split("."):
        each = each.get(key, {})
    return each


def _patched(whole: Object, patch: Any) -> Object:
    """Return an object after a JSON patch (a list) or a merge patch."""
    if not isinstance(patch, list):
        merged: Object = _merged(whole, patch)
        return merged
    try:
        found: Object = jsonpatch.apply_patch(whole, patch)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise Refused(422, "Invalid", str(error)) from None
    return found


def _merged(whole: Any, patch: Any) -> Any:
    """Return what RFC 7386 makes of a value."""
    if not isinstance(patch, dict):
        return patch
    found = dict(whole) if isinstance(whole, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merged(found.get(key), value)
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
