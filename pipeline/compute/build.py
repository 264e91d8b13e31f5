"""Building a slab of a region, band by band: from assets to harmonised int16.

Reflectance is stored as int16 x 1e-4 without the provider's offset, so that a reader sees plain reflectance. The mask
is kept as the source has it. An asset that cannot be read is a fault, and its pixels are missing.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict, dataclass, field
from threading import Lock
from time import perf_counter

import numpy as np

from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.access.providers import ONE_OFFSET
from groundbreak.pipeline.access.remote import REQUESTS, Access
from groundbreak.pipeline.access.retries import ReadError, with_retries
from groundbreak.pipeline.access.troubles import Final
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.record import Fault
from groundbreak.pipeline.core.types import REFLECTANCE_SCALE, Asset, Grid, Mask, Observation, Region, Scene
from groundbreak.pipeline.readers.assets import Coded, Fetched, Window, fetch, fetch_once, local_blocks, place
from groundbreak.pipeline.readers.cog import BlockLayout
from groundbreak.pipeline.readers.headers import Headers, header_key
from groundbreak.pipeline.stores.shards import Shard, shard_of
from groundbreak.pipeline.stores.tiles import Pixels, Tiles

LOG = logging.getLogger(__name__)

PREFETCHED = REQUESTS
"""Observations whose blocks are being fetched, or are announced to the system, before they are decoded."""


@dataclass(frozen=True)
class SlabJob:
    """What is to be built: some observations of a region, in every band."""

    grid: Grid
    region: Region
    observations: tuple[Observation, ...]
    """The observations of the slab, in the order of time."""
    mask: Mask
    access: Access | None
    """How assets are reached; None where nothing will be built."""
    headers: Headers = field(default_factory=dict)
    """The headers that are known already."""

    @property
    def offsets(self) -> tuple[int, ...]:
        """The offset that each observation is taken to carry, reflectance x 10000; 0 where it has no scenes left."""
        some = next(name for name in self.grid.bands if name != self.mask.band)
        first = (o.scenes[0].assets[some].offset if o.scenes else 0.0 for o in self.observations)
        return tuple(round(offset / REFLECTANCE_SCALE) for offset in first)

    @property
    def may_step(self) -> bool:
        """Whether the offset of some scene may have changed in January 2022; Landsat's and HLS' never did."""
        return any(s.provider not in ONE_OFFSET for o in self.observations for s in o.scenes)

    def __repr__(self) -> str:
        return f"<SlabJob {self.region.key}: {len(self.observations)} observations x {len(self.grid.bands)} bands>"


def build_slab(job: SlabJob, depth: int, ahead: int = PREFETCHED) -> Iterator[BandReader]:
    """Read a slab of a region's window: one band after the other, and each band one time chunk after the other.

    While one observation is decoded and encoded, the next ones are fetched. The smallest band comes first, because
    nothing else is done while it is waited for.

    Parameters
    ----------
    job : SlabJob
    depth : int
        Observations of a full slab.
    ahead : int
        Observations that are fetched before they are decoded.

    Yields
    ------
    BandReader
        All of its parts have to be taken before the next reader is asked for.
    """
    names = sorted(job.grid.bands, key=lambda name: (-job.grid.bands[name], name != job.mask.band))
    memory, prefetch = _Memory(), Prefetch()
    with ThreadPoolExecutor(REQUESTS) as pool:
        shards = [shard_of(job.grid, job.mask, depth, name) for name in names]
        readers = [
            BandReader(job, name, shard, pool, memory, prefetch) for name, shard in zip(names, shards, strict=True)
        ]
        for reader in readers:
            prefetch.queue(reader.begin, len(job.observations))
        prefetch.advance(ahead)
        yield from readers


class Prefetch:
    """Begins to fetch observations a fixed number ahead of those that are decoded, across the bands of a slab."""

    def __init__(self) -> None:
        # An entry is dropped once it has begun: readers keep this object, which must not keep them when they are done.
        self._queued: deque[tuple[Callable[[int], None], int]] = deque()

    def queue(self, begin: Callable[[int], None], count: int) -> None:
        """Queue ``count`` observations; each is begun by calling ``begin`` with its number, from 0 on."""
        self._queued.extend((begin, t) for t in range(count))

    def advance(self, count: int = 1) -> None:
        """Begin the next ``count`` observations, or as many as are left."""
        for _ in range(min(count, len(self._queued))):
            begin, t = self._queued.popleft()
            begin(t)


class _Memory:
    """The memory in which parts are filled.

    A part takes the memory of an earlier one that is done with. The system would have to clear new memory, and the
    memory of the earlier part is still in the processor's cache.
    """

    def __init__(self) -> None:
        self._spare: dict[tuple[Shard, Frame], list[Pixels]] = defaultdict(list)
        self._lock = Lock()

    def take(self, shard: Shard, frame: Frame) -> Pixels:
        """Return memory for the values of `Tiles`; what lies beside the pixels of a frame is fill, and stays so."""
        with self._lock:
            if spare := self._spare[shard, frame]:
                return spare.pop()
        shape = Tiles.shape(shard.chunks, frame.height, frame.width)
        padded = shape[0] * shape[3] > frame.height or shape[1] * shape[4] > frame.width
        return np.full(shape, shard.fill, shard.dtype) if padded else np.empty(shape, shard.dtype)

    def give(self, shard: Shard, frame: Frame, values: Pixels) -> None:
        """Take the memory of a part back, once the part is done with."""
        with self._lock:
            self._spare[shard, frame].append(values)


class BandReader:
    """Reads one band of a slab.

    The first scene of an observation is fetched ahead, by the pool's threads where that takes waiting. The other scenes
    are not, since it is known only after the first which pixels they have to fill.
    """

    def __init__(
        self, job: SlabJob, name: str, shard: Shard, pool: Executor, memory: _Memory, prefetch: Prefetch
    ) -> None:
        self.job, self.name = job, name
        self.faults: list[Fault] = []
        """What went wrong, so far."""
        self.read_s = 0.0
        """Seconds for which it has waited for what it reads."""
        self._shard, self._pool, self._memory, self._prefetch = shard, pool, memory, prefetch
        self._frame = job.region.window.at(job.grid.bands[name])
        self._window = Window(self._frame, job.mask if name == job.mask.band else None)
        self._blank = [True] * len(job.observations)
        self._first: dict[int, Callable[[], Fetched | None]] = {}
        self._parts: dict[int, Tiles] = {}
        self._lock = Lock()

    def begin(self, t: int) -> None:
        """Begin to fetch the first scene of an observation."""
        if scenes := self.job.observations[t].scenes:
            self._first[t] = self._begin(t, scenes[0])

    def parts(self) -> Iterator[tuple[int, Tiles]]:
        """Decode the band, one time chunk after the other; what goes wrong is added to ``faults``.

        Yields
        ------
        first : int
            Number of the part's first observation.
        part : Tiles
            The pixels, in the band's own size: int16 reflectance x 10000 with -32768 where there is none, or the mask's
            own uint8 or uint16 with its fill. They are valid until the next part is asked for.
        """
        count, step = len(self.job.observations), self._shard.chunks[0]
        for start in range(0, count, step):
            for t in range(start, min(start + step, count)):
                self._decode(t)
            part = self._parts.pop(start)
            for t in range(part.count, step):
                part.clear(t)
            yield start, part
            self._memory.give(self._shard, self._frame, part.values)

    def _at(self, t: int) -> tuple[Tiles, int]:
        """Return the part that an observation lies in, and its place in that part.

        A part gets its memory when the first of its observations is written.
        """
        step, frame = self._shard.chunks[0], self._frame
        place = t % step
        with self._lock:
            if t - place not in self._parts:
                count = min(step, len(self.job.observations) - (t - place))
                values = self._memory.take(self._shard, frame)
                self._parts[t - place] = Tiles(values, count, frame.height, frame.width, self._shard.fill)
            return self._parts[t - place], place

    def _decode(self, t: int) -> None:
        """Decode an observation from as many of its scenes as it needs to be full."""
        observation = self.job.observations[t]
        self._prefetch.advance()
        if not observation.scenes:
            gone = "the source no longer offers this observation"
            self._fault(observation, "", "", gone, 0)
        for number, scene in enumerate(observation.scenes):
            if number and not self._blank[t] and self._is_full(t):
                break
            try:
                fetched = self._begin(t, scene) if number else self._first.pop(t)
                began = perf_counter()
                try:
                    there = fetched()
                finally:
                    self.read_s += perf_counter() - began
                self._place(t, scene, there)
            except ReadError as error:
                href = redact(scene.assets[self.name].href)
                self._fault(observation, scene.id, href, error.message, error.attempts)
        if self._blank[t]:
            tiles, place = self._at(t)
            tiles.clear(place)

    def _fault(self, observation: Observation, item: str, href: str, why: str, attempts: int) -> None:
        """Keep by name what could not be read."""
        fault = Fault(self.job.region.key, observation.id, item, self.name, href, why, attempts)
        self.faults.append(fault)
        named = fault.region, fault.band, item or fault.observation, why
        LOG.info("%s: %s of %s is a fault: %s", *named, extra=asdict(fault))

    def _is_full(self, t: int) -> bool:
        """Tell whether an observation has all its pixels."""
        tiles, place = self._at(t)
        return bool((tiles.plane(place) != self._window.fill).all())

    def _begin(self, t: int, scene: Scene) -> Callable[[], Fetched | None]:
        """Begin to fetch a scene; return a function that waits for its blocks and returns them, or raises."""
        asset, access = scene.assets[self.name], self.job.access
        header = self.job.headers.get(header_key(asset, scene))
        assert access is not None
        if (coded := local_blocks(asset, self._window, access, header)) is not None:
            return lambda: coded
        # In this context, so that what is fetched counts as this task's.
        return self._pool.submit(copy_context().run, self._fetch, t, asset, access, header).result

    def _fetch(self, t: int, asset: Asset, access: Access, header: BlockLayout | None) -> Fetched | None:
        """Fetch a scene, in a thread: return coded blocks, or None where GDAL has read pixels, written here."""
        fetched = fetch(asset, self._window, access, header)
        if not isinstance(fetched, np.ndarray):
            return fetched
        self._write(t, fetched, asset)
        return None

    def _write(self, t: int, fetched: Fetched, asset: Asset) -> None:
        """Write what was fetched into an observation; only one thread at a time works on an observation."""
        tiles, at = self._at(t)
        place(fetched, asset, self._window, tiles, at, blank=self._blank[t])
        self._blank[t] = False

    def _place(self, t: int, scene: Scene, fetched: Fetched | None) -> None:
        """Decode a scene into an observation; where its bytes are wrong, or no longer there, fetch them again."""
        asset, access = scene.assets[self.name], self.job.access
        assert access is not None
        if fetched is None:
            return
        try:
            self._write(t, fetched, asset)
        except (ValueError, OSError, Final) as error:
            header = fetched.cog if isinstance(fetched, Coded) else None

            def again(refresh: bool) -> None:
                self._write(t, fetch_once(asset, self._window, access, header, refresh=refresh), asset)

            with_retries(asset.href, access.attempts, again, failed=error)


def touched(faults: Sequence[Fault]) -> int:
    """Count the observations that at least one fault touches."""
    return len({f.observation for f in faults})
