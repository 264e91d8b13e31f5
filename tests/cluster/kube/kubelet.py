"""Pods as processes: a pod for each deployment, a process for the container of each pod, probed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from functools import partial
from itertools import count
from pathlib import Path

import aiohttp

from tests.cluster.kube.objects import RESOURCES, Object, Refused, Store

PODS, SERVICES, DEPLOYMENTS = (
    next(each for each in RESOURCES if each.kind == kind) for kind in ("Pod", "Service", "Deployment")
)

IMAGE = "registry.example.org/groundbreak:1"
"""The only image that there is: the environment in which the tests run."""

NETWORK = Path(__file__).parent / "network"

HIGHER = 10_000
"""What is added to the ports that pods name, as 8787 may be taken on this machine."""

GRACE_S = 4.0
"""Seconds that a container has to end in; a real node gives 30."""

OURS = "kubelet"
"""The finalizer of a pod: it is there until its process has ended."""


class Kubelet:
    """Starts and ends the processes of pods, and tells their states."""

    def __init__(self, store: Store, folder: Path, network: str) -> None:
        """Take the first three numbers of the addresses of pods."""
        self.store = store
        self.folder = folder
        self.hosts = folder / "hosts"
        self.addresses: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.lives: dict[str, asyncio.Task[None]] = {}
        self.free = (f"{network}.{number}" for number in count(1))

    def reach(self, name: str, port: int) -> tuple[str, int]:
        """Return where a port of a pod is reached."""
        return self.addresses[name], port + HIGHER

    def log(self, name: str, lines: int) -> str:
        """Return the last lines that the container of a pod has said."""
        return "\n".join((self.folder / f"{name}.log").read_text().splitlines()[-lines:])

    async def follow_deployments(self) -> None:
        """Make a pod for each deployment (there are none of more than one)."""
        async for change in self.store.follow(DEPLOYMENTS):
            if change.type == "ADDED":
                made = change.object["metadata"]
                owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": made["name"], "uid": made["uid"]}
                template = change.object["spec"]["template"]
                metadata = {
                    "generateName": f"{made['name']}-",
                    "labels": template["metadata"].get("labels", {}),
                    "ownerReferences": [owner],
                    "finalizers": [OURS],
                }
                pod = {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}}
                self.store.create(PODS, made["namespace"], pod)

    async def follow_services(self) -> None:
        """Write the names of services, and give new ones their status.

        A real server gives it at once. The operator then writes two phases of the cluster in a race of two handlers,
        and where "Pending" comes last, as on a slow machine, nothing ever says "Running".
        """
        async for change in self.store.follow(SERVICES):
            self._write_hosts()
            if change.type == "ADDED":
                asyncio.get_running_loop().call_later(1, self._open, change.object["metadata"]["name"])

    async def follow_pods(self) -> None:
        """Start the process of each new pod, and end that of a deleted one."""
        async for change in self.store.follow(PODS):
            name = change.object["metadata"]["name"]
            if change.type == "ADDED":
                self.addresses[name] = next(self.free)
                self._write_hosts()
                life = self.lives[name] = asyncio.create_task(self._live(name, change.object["spec"]))
                life.add_done_callback(partial(self._release, name))
            elif "deletionTimestamp" in change.object["metadata"]:
                self.lives[name].cancel()

    async def close(self) -> None:
        """End all processes."""
        for life in self.lives.values():
            life.cancel()
        await asyncio.gather(*self.lives.values(), return_exceptions=True)

    async def _live(self, name: str, spec: Object) -> None:
        """Run the container of a pod, again and again, until the pod is deleted."""
        container = spec["containers"][0]
        if container["image"] != IMAGE:
            self._tell(name, "Pending", waiting="ImagePullBackOff")
            await asyncio.Event().wait()
        for restarts in count():
            await self._run(name, container, restarts)
            self._tell(name, "Running", waiting="CrashLoopBackOff", restarts=restarts + 1)
            await asyncio.sleep(min(2**restarts, 10) / 2)

    def _release(self, name: str, _: asyncio.Task[None]) -> None:
        """Let a pod go, as its process has ended, or was never there."""
        with contextlib.suppress(Refused):
            self.store.change(PODS, name, _released)

    async def _run(self, name: str, container: Object, restarts: int) -> None:
        """Run a container once; whoever cancels this has the process told to go, and then killed."""
        given = {each["name"]: each["value"] for each in container.get("env", [])}
        standard = {
            "HOME": str(self.folder),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(NETWORK),
            "POD_ADDRESS": self.addresses[name],
            "POD_HOSTS": str(self.hosts),
            "POD_PORTS_HIGHER": str(HIGHER),
        }
        # Of this process nothing is handed down: a container has what its image and its pod give.
        environment = {**standard, **given}
        command = [_filled(each, environment) for each in (*container.get("command", []), *container.get("args", []))]
        with (self.folder / f"{name}.log").open("ab") as log:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=self.folder
                )
            except OSError as error:
                log.write(f"{error}\n".encode())
                return
        probe = asyncio.create_task(self._probe(name, container, restarts))
        try:
            await process.wait()
        finally:
            probe.cancel()
            await _ended(process)

    async def _probe(self, name: str, container: Object, restarts: int) -> None:
        """Tell that a container runs, and that it is ready once it answers."""
        self._tell(name, "Running", restarts=restarts)
        if asked := container.get("readinessProbe", {}).get("httpGet"):
            ports = {each["name"]: each["containerPort"] for each in container["ports"]}
            address, port = self.reach(name, ports[asked["port"]])
            url = f"http://{address}:{port}{asked['path']}"
            while not await _answers(url):
                await asyncio.sleep(0.1)
        self._tell(name, "Running", ready=True, restarts=restarts)

    def _tell(self, name: str, phase: str, waiting: str = "", ready: bool = False, restarts: int = 0) -> None:
        """Write the status of a pod."""
        state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
        conditions = [{"type": each, "status": str(ready)} for each in ("Ready", "ContainersReady")]
        containers = [{"state": state, "ready": ready, "restartCount": restarts}]
        status = {
            "phase": phase,
            "podIP": self.addresses[name],
            "conditions": conditions,
            "containerStatuses": containers,
        }
        self.store.change(PODS, name, lambda pod: {**pod, "status": status})

    def _open(self, name: str) -> None:
        """Give a service its status."""
        with contextlib.suppress(Refused):  # it is gone already
            self.store.change(SERVICES, name, lambda each: {**each, "status": {"loadBalancer": {}}})

    def _write_hosts(self) -> None:
        """Write the names of services with the address of the pod behind each.

        A name stays when its service goes. Where it cannot be resolved, the operator takes itself to be outside of the
        cluster, and stands still for minutes.
        """
        for service in self.store.select(SERVICES):
            wanted = service["spec"]["selector"].items()
            for pod in (each["metadata"] for each in self.store.select(PODS)):
                if wanted <= pod["labels"].items():
                    known = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
                    self.names[known] = self.addresses[pod["name"]]
        new = self.hosts.with_suffix(".new")
        new.write_text("".join(f"{name} {address}\n" for name, address in self.names.items()))
        new.replace(self.hosts)


def _released(pod: Object) -> Object:
    pod["metadata"]["finalizers"] = []
    return pod


def _filled(text: str, environment: dict[str, str]) -> str:
    """Return an argument with the variables that Kubernetes fills in: $(NAME)."""
    return re.sub(r"\$\((\w+)\)", lambda found: environment.get(found[1], found[0]), text)


async def _answers(url: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with aiohttp.ClientSession() as session, session.get(url, timeout=aiohttp.ClientTimeout(2)) as answer:
            return answer.status < 400
    return False


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Have a container end: its first process is told, then all of its processes are killed."""
    if process.returncode is None:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
