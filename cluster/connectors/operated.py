"""A cluster of the operator of dask-kubernetes whose start has an end, and which deletes no more than it created."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

import httpx
import kr8s
from dask_kubernetes.exceptions import ValidationError
from dask_kubernetes.operator import KubeCluster
from dask_kubernetes.operator._objects import DaskCluster
from dask_kubernetes.operator.kubecluster.kubecluster import CreateMode
from kr8s.asyncio.objects import Pod

LOG = logging.getLogger(__name__)

LOOK_S = 5.0
"""Seconds between two looks at the pod of a scheduler that does not answer yet."""

GONE_S = 5.0
"""Seconds to see a cluster go."""

ENDS = "CrashLoopBackOff"
"""What a pod is called whose program ends again and again."""


class NotStarted(Exception):
    """A cluster does not start; the text says why."""


class Operated(KubeCluster):  # type: ignore[misc]
    """A cluster of pods.

    The library starts a cluster within its constructor, and waits there for ever: for an image that nobody has, for a
    machine that does not come. Who ends the program meanwhile leaves the cluster behind. Here it starts in `begin`,
    within a block that deletes it whatever happens.
    """

    def __init__(self, name: str, **arguments: Any) -> None:
        self.beginning: asyncio.Future[None] | None = None
        try:
            # Until something is created nothing may be deleted: the name may be that of somebody else's cluster.
            super().__init__(
                name=name, create_mode=CreateMode.CREATE_ONLY, shutdown_on_close=False, quiet=True, **arguments
            )
        except ValidationError as error:  # its text stands in an attribute alone
            raise NotStarted(error.message) from error

    async def _start(self) -> None:
        """Start nothing yet: the constructor calls this."""

    async def begin(self, patience_s: float) -> None:
        """Create the cluster, and return once its scheduler answers.

        Parameters
        ----------
        patience_s : float
            Seconds to wait for it.

        Raises
        ------
        NotStarted
            The API server does not answer; the scheduler does not in that time, or its program ends.
        """
        self.beginning = asyncio.ensure_future(super()._start())
        deadline, state = time.monotonic() + patience_s, ""
        while True:
            left = deadline - time.monotonic()
            await asyncio.wait({self.beginning}, timeout=max(min(LOOK_S, left), 0.0))
            if self.beginning.done():
                break
            before, state = state, await self._state()
            if left <= LOOK_S:
                raise NotStarted(f"its scheduler does not answer after {patience_s:.0f} s: {state}")
            if state != before:
                LOG.warning("waiting for the scheduler: %s", state)
        error = self.beginning.exception()
        if isinstance(error, httpx.TransportError):
            url = error.request.url
            raise NotStarted(f"{url.scheme}://{url.netloc.decode()} does not answer: {error}") from error
        if error is not None and ENDS in state:
            raise NotStarted(f"its scheduler does not start: {state}") from error
        self.beginning.result()

    async def _state(self) -> str:
        """Return what is known of the scheduler's pod, and what its program has said last where it ends."""
        with suppress(Exception):  # this only describes; what is wrong comes up where the cluster is started
            labels = f"dask.org/component=scheduler,dask.org/cluster-name={self.name}"
            pod = await Pod.get(label_selector=labels, namespace=self.namespace)
            status: dict[str, Any] = pod.status
            states = [each["state"] for each in status.get("containerStatuses", [])]
            reasons = [each["waiting"]["reason"] for each in states if "waiting" in each]
            reasons += [each["message"] for each in status.get("conditions", []) if each.get("message")]
            said = [line async for line in pod.logs(tail_lines=1)] if ENDS in reasons else []
            return f"its pod is {', '.join([status['phase'], *reasons, *said])}"
        return "it has no pod"

    async def _create_cluster(self) -> None:
        """Create the objects; from now on they are deleted in the end, unless the server has refused them."""
        self.shutdown_on_close = True
        try:
            await super()._create_cluster()
        except kr8s.ServerError:
            self.shutdown_on_close = await (await DaskCluster(self.name, namespace=self.namespace)).exists()
            raise

    async def _close(self, timeout: float = 3600) -> None:
        """Delete what was created, once, also where it has not started yet."""
        # The library itself closes a cluster whose start fails.
        if self.beginning is not None and self.beginning is not asyncio.current_task():
            self.beginning.cancel()
        try:
            # Once the server knows, the operator sees to the rest: it may need a minute, or not be there.
            await super()._close(timeout=min(timeout, GONE_S))
        except TimeoutError:
            LOG.info("the cluster %s is being deleted", self.name)
        self.shutdown_on_close = False

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, value, trace)
        except Exception as error:  # what the block has done, or its error, counts more
            told = "the cluster %s may be there still (%s): kubectl delete daskcluster %s --namespace %s"
            LOG.warning(told, self.name, str(error) or type(error).__name__, self.name, self.namespace)
        self._loop_runner.stop()  # the library leaves its thread behind
