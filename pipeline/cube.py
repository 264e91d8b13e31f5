"""Building: a slab of a region, band by band, from assets to harmonised int16.

Reflectance comes out as int16 x 1e-4 with the provider's offset gone, so that a reader sees plain reflectance; the mask
is kept as the source gives it. What cannot be read is a fault, and its pixels are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock
from types import MappingProxyType
from typing import Any

import numpy as np

from pipeline.assets import Fetched, Window, fetch, fetch_once, place
from pipeline.headers import Known, cut, key
from pipeline.hrefs import redact
from pipeline.raster import Access, ReadError, attempts
from pipeline.remote import REQUESTS
from pipeline.types import REFLECTANCE_SCALE, Asset, Fault, Grid, Mask, Observation, Region, Scene

AHEAD = REQUESTS
"""Observations of a band that are fetched before they are decoded."""


@dataclass(frozen=True)
class SlabJob:
    """What is to be built: (observations, band) of a region."""

    grid: Grid
    region: Region
    observations: tuple[Observation, ...]
    mask: Mask
    access: Access | None
    """None where nothing will be built."""
    headers: Known = field(default_factory=dict)
    """Those that are known already."""

    @property
    def offsets(self) -> tuple[int, ...]:
        """What each observation is taken to carry, reflectance x 10000; 0 where it is no longer offered."""
        some = next(name for name in self.grid.bands if name != self.mask.band)
        first = (o.scenes[0].assets[some].offset if o.scenes else 0.0 for o in self.observations)
        return tuple(round(offset / REFLECTANCE_SCALE) for offset in first)

    def __getstate__(self) -> dict[str, Any]:
        """What travels to a worker: of the headers, only its own blocks."""
        return self.__dict__ | {"headers": self._own_headers()}

    def _own_headers(self) -> Known:
        own = {}
        for band, resolution in self.grid.bands.items():
            frame = self.region.window.at(resolution)
            for scene in (s for o in self.observations for s in o.scenes):
                header = self.headers.get(named := key(scene.assets[band], scene))
                if header is not None:
                    own[named] = cut(header, frame)
        return own


def build_slab(job: SlabJob, step: int, room: Mapping[str, np.ndarray] = MappingProxyType({})) -> Iterator[Band]:
    """Read a slab of a region's window, one band after the other and of each a few observations at a time.

    What comes after is fetched while this is decoded and encoded. The smallest band comes first: nothing is done while
    it is awaited.

    Parameters
    ----------
    step : observations of a part
    room : band -> (time, height, width), where to put its values

    Yields
    ------
    Band, of which all parts are to be taken before the next is asked for
    """
    names = sorted(job.grid.bands, key=lambda name: (-job.grid.bands[name], name != job.mask.band))
    memory = _Memory(room)
    with ThreadPoolExecutor(REQUESTS) as pool:
        bands = [Band(job, name, step, pool, memory) for name in names]
        wanted = iter([(band, t) for band in bands for t in range(len(job.observations))])

        def ahead(count: int = 1) -> None:
            for band, t in islice(wanted, count):
                band.begin(t)

        ahead(AHEAD)
        for band in bands:
            band.ahead = ahead
            yield band


class _Memory:
    """Where parts are filled. A later part takes the memory of one that is done with: the system would have to clear
    what is new, and the processor's cache still holds what is not."""

    def __init__(self, room: Mapping[str, np.ndarray]) -> None:
        self._room = room
        self._spare: list[np.ndarray] = []
        self._lock = Lock()

    def take(self, band: str, start: int, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """For a part that begins at observation ``start``; its own place where the band has room."""
        if band in self._room:
            return self._room[band][start : start + shape[0]]
        with self._lock:
            fits = [i for i, part in enumerate(self._spare) if part.shape == shape and part.dtype == dtype]
            return self._spare.pop(fits[0]) if fits else np.empty(shape, dtype)

    def give(self, band: str, part: np.ndarray) -> None:
        """Back, once it is done with."""
        if band not in self._room:
            with self._lock:
                self._spare.append(part)


class Band:
    """A band of a slab, as it is read. The first scene of an observation is fetched ahead, by the pool's threads; what
    those after it must fill is known only when it is there."""

    def __init__(self, job: SlabJob, name: str, step: int, pool: Executor, memory: _Memory) -> None:
        self.job, self.name, self.faults = job, name, list[Fault]()
        self.ahead: Callable[[], None] = lambda: None
        self._step, self._pool, self._memory = step, pool, memory
        self._frame = job.region.window.at(job.grid.bands[name])
        self._window = Window(self._frame, job.mask if name == job.mask.band else None)
        self._blank = [True] * len(job.observations)
        self._first: dict[int, Future[Fetched | None]] = {}
        self._parts: dict[int, np.ndarray] = {}
        self._lock = Lock()

    def begin(self, t: int) -> None:
        """Fetch what an observation's first scene holds."""
        if scenes := self.job.observations[t].scenes:
            self._first[t] = self._submit(t, scenes[0])

    def parts(self) -> Iterator[tuple[int, np.ndarray]]:
        """Part after part, what goes wrong being added to ``faults``.

        Yields
        ------
        (first observation, values)
            values : (time, height, width) in the band's own pixels; int16 reflectance x 10000 with -32768 where there
            is none, or the mask's own uint8 with its fill. Later parts overwrite those that no ``room`` holds.
        """
        count = len(self.job.observations)
        for start in range(0, count, self._step):
            stop = min(start + self._step, count)
            for t in range(start, stop):
                self._decode(t)
            yield start, self._part(start)[: stop - start]
            self._memory.give(self.name, self._parts.pop(start))

    def _part(self, start: int) -> np.ndarray:
        """The memory of a part, taken when something is to be written there."""
        with self._lock:
            if start not in self._parts:
                shape = self._step, self._frame.height, self._frame.width
                self._parts[start] = self._memory.take(self.name, start, shape, self._window.dtype)
            return self._parts[start]

    def _pixels(self, t: int) -> np.ndarray:
        pixels: np.ndarray = self._part(t - t % self._step)[t % self._step]
        return pixels

    def _decode(self, t: int) -> None:
        """An observation, from all the scenes that it takes."""
        observation = self.job.observations[t]
        self.ahead()
        if not observation.scenes:
            gone = "the source no longer offers this observation"
            self.faults.append(Fault(self.job.region.key, observation.id, "", self.name, "", gone, 0))
        for number, scene in enumerate(observation.scenes):
            if number and not self._blank[t] and (self._pixels(t) != self._window.fill).all():
                break
            future = self._submit(t, scene) if number else self._first.pop(t)
            try:
                self._place(t, scene, future.result())
            except ReadError as error:
                href = redact(scene.assets[self.name].href)
                why = (error.message, error.attempts)
                self.faults.append(Fault(self.job.region.key, observation.id, scene.id, self.name, href, *why))
        if self._blank[t]:
            self._pixels(t)[:], self._blank[t] = self._window.fill, False

    def _submit(self, t: int, scene: Scene) -> Future[Fetched | None]:
        return self._pool.submit(self._fetch, t, scene)

    def _fetch(self, t: int, scene: Scene) -> Fetched | None:
        """In a thread: the coded blocks, or None where the general way has placed its pixels at once."""
        access, asset = self.job.access, scene.assets[self.name]
        assert access is not None
        fetched = fetch(asset, self._window, access, self.job.headers.get(key(asset, scene)))
        if not isinstance(fetched, np.ndarray):
            return fetched
        self._write(t, fetched, asset)
        return None

    def _write(self, t: int, fetched: Fetched, asset: Asset) -> None:
        """Into the pixels of an observation, which one thread at a time knows."""
        place(fetched, asset, self._window, self._pixels(t), blank=self._blank[t])
        self._blank[t] = False

    def _place(self, t: int, scene: Scene, fetched: Fetched | None) -> None:
        """Decode; where the bytes are not what they should be, fetch them again."""
        asset, access = scene.assets[self.name], self.job.access
        assert access is not None
        if fetched is None:
            return
        try:
            self._write(t, fetched, asset)
        except ValueError as error:

            def again(refresh: bool) -> None:
                self._write(t, fetch_once(asset, self._window, access, None, refresh=refresh), asset)

            attempts(access, again, failed=error)


def touched(faults: Sequence[Fault]) -> int:
    """Observations that at least one fault touches."""
    return len({f.observation for f in faults})
