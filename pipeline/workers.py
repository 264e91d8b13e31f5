"""The workers of a run: a connected client, after making sure that there are workers and that they run this code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from distributed import Client, Worker

from groundbreak import cluster, kernels, pipeline
from groundbreak.cluster.connect import NoWorkers, connect, demand_workers, memory_bytes
from groundbreak.cluster.plugins import Prepare, code_digest, differing_workers
from groundbreak.pipeline import logs
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running import tasks
from groundbreak.pipeline.running.watch import unless_lost


@contextmanager
def connected(config: Config, client: Client | None) -> Iterator[Client]:
    """Yield a client whose workers are ready and run this very code.

    Parameters
    ----------
    config : Config
        Names the cluster that is started, or connected to.
    client : distributed.Client, optional
        A client of the caller's, which is taken instead.

    Raises
    ------
    BadInput
        The cluster does not answer, has no workers, or a worker runs other code.
    """
    if client is not None:
        with unless_lost("the client's cluster", client):
            _prepare(config, client, "the client's cluster", lambda: None)
            yield client
        return
    c = config.cluster
    what = f"[cluster] address = {c.address!r}" if c.kind == "address" else f"[cluster] kind = {c.kind!r}"
    with ExitStack() as stack:
        try:
            own = stack.enter_context(connect(c.kind, **c.options))
        except (OSError, RuntimeError, ValueError) as error:
            text = (str(error).splitlines() or [""])[0] or type(error).__name__
            if c.kind == "address":
                remedy = "Start the scheduler, or mend the address"
                raise BadInput(what, f"must answer ({text})", remedy) from error
            rule = f"its workers cannot be started ({text})"
            raise BadInput(what, rule, "Look at [cluster] workers and memory, and at the workers' log") from error
        with unless_lost(what, own):
            # The log of workers that belong to somebody else is theirs to set up.
            _prepare(config, own, what, partial(logs.log_to_stderr, logs.LOGGER.getEffectiveLevel()))
            yield own


def memory_limit(config: Config, client: Client | None = None) -> int:
    """Return the memory limit of the smallest worker, bytes; 0 where there is none, or none is known yet.

    Parameters
    ----------
    config : Config
    client : distributed.Client, optional
        Connected to the workers; left out, what the configuration says of them counts.
    """
    if client is not None:
        limits = client.run(_limit, on_error="ignore").values()
        return min(filter(None, limits), default=0)
    return memory_bytes(config.cluster.memory) if config.cluster.memory else 0


def _limit(dask_worker: Worker) -> int:
    """Return the memory limit of the worker that runs this; dask passes it by this name."""
    return dask_worker.memory_manager.memory_limit or 0


def source_digest() -> str:
    """Return the digest of the code that this process runs."""
    return code_digest([str(Path(str(package.__file__)).parent) for package in (kernels, pipeline, cluster)])


def _prepare(config: Config, client: Client, what: str, begin: Callable[[], None]) -> None:
    """Have workers compile what they will need, after making sure that there are some and that they run this code.

    Raises
    ------
    BadInput
        There are no workers, or one runs other code.
    """
    try:
        demand_workers(client)
    except NoWorkers as error:
        raise BadInput(what, str(error), "Start workers there, or name another cluster") from None
    different = differing_workers(client, source_digest)
    if different:
        rule = f"run other code than this client: {', '.join(different)}"
        raise BadInput("[cluster] workers", rule, "Install the same version of groundbreak on all of them")
    client.register_plugin(Prepare(partial(tasks.warm_up, config.detect.detector), begin))
