"""The workers of a run: a connected client, after making sure that there are workers and that they run this code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from distributed import Client, Worker

from groundbreak import cluster, kernels, pipeline
from groundbreak.cluster import metrics
from groundbreak.cluster.connect import NotOpened, NoWorkers, connect, demand_workers
from groundbreak.cluster.kinds import AT_ONCE_S, KINDS
from groundbreak.cluster.plugins import Prepare, code_digest, differing_workers
from groundbreak.cluster.policy import memory_bytes, seconds
from groundbreak.pipeline import logs
from groundbreak.pipeline.core.config import Config
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.running import figures, tasks
from groundbreak.pipeline.running.watch import unless_lost

CERTIFICATES = ("tls_ca_file", "tls_cert", "tls_key")
"""Keys of ``[cluster]`` that are paths of files."""


@contextmanager
def connected(config: Config, client: Client | None, *, detecting: bool = True) -> Iterator[Client]:
    """Yield a client whose workers are ready and run this very code.

    Parameters
    ----------
    config : Config
        Names the cluster that is started, or connected to.
    client : distributed.Client, optional
        A client of the caller's, which is taken instead.
    detecting : bool
        Whether workers will need the detector, and compile it beforehand.

    Raises
    ------
    BadInput
        The cluster does not answer, has no workers, or a worker runs other code.
    """
    warm_up = partial(tasks.warm_up, config.detect.detector) if detecting else lambda: None
    if client is not None:
        what, patience_s = "the client's cluster", AT_ONCE_S
        with unless_lost(client, what, patience_s):
            _prepare(client, what, Prepare(warm_up, lambda: None, source_digest), patience_s)
            yield client
        return
    c = config.cluster
    kind = KINDS[c.kind]
    what = f"[cluster] address = {c.address!r}" if c.kind == "address" else f"[cluster] kind = {c.kind!r}"
    with ExitStack() as stack:
        try:
            own = stack.enter_context(connect(c.kind, **_asked(config)))
        except NotOpened as error:
            rule = "must answer" if c.kind == "address" else "cannot be started"
            raise BadInput(what, f"{rule} ({error})", kind.remedy) from error
        with unless_lost(own, what, _patience_s(config)):
            # The log of workers that belong to somebody else is theirs to set up.
            begin = partial(logs.log_to_stderr, logs.LOGGER.getEffectiveLevel(), as_json=logs.is_json())
            _prepare(own, what, Prepare(warm_up, begin, source_digest), _patience_s(config))
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


def _patience_s(config: Config) -> float:
    """Return the seconds that a cluster may take to come, and to have a worker."""
    c = config.cluster
    return seconds(c.patience) if c.patience else KINDS[c.kind].patience_s


def _asked(config: Config) -> dict[str, Any]:
    """Return what is asked of the cluster, with paths that start from the configuration's folder.

    Raises
    ------
    BadInput
        A certificate is not where it should be.
    """
    asked = {**config.cluster.asked, "patience_s": _patience_s(config), "options": config.cluster.options}
    for name in CERTIFICATES:
        if name in asked:
            asked[name] = config.path(asked[name])
            if not Path(asked[name]).is_file():
                raise BadInput(f"[cluster] {name} = {asked[name]!r}", "the file must exist", "Check the path")
    return asked


def source_digest() -> str:
    """Return the digest of the code that this process runs."""
    return code_digest([str(Path(str(package.__file__)).parent) for package in (kernels, pipeline, cluster)])


def _prepare(client: Client, what: str, plugin: Prepare, patience_s: float) -> None:
    """Have workers make ready, after making sure that there are some and that they run this code.

    Raises
    ------
    BadInput
        There are no workers, or one runs other code.
    """
    try:
        demand_workers(client, patience_s)
    except NoWorkers as error:
        raise BadInput(what, str(error), "Start workers there, or name another cluster") from None
    different = differing_workers(client, source_digest)
    if different:
        rule = f"run other code than this client: {', '.join(different)}"
        raise BadInput("[cluster] workers", rule, "Install the same version of groundbreak on all of them")
    client.register_plugin(metrics.plugin(figures.TOPIC, figures.MEANINGS))
    client.register_plugin(plugin)
