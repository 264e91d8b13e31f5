"""Building: one band of one slab of one region, from assets to harmonised int16.

Reflectance comes out as int16 x 1e-4 with the provider's offset gone, so that a reader sees plain reflectance; the mask
is kept as the source gives it. What cannot be read is a fault, and its pixels are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.assets import Fetched, Window, fetch, fetch_once, place
from pipeline.headers import Known, cut, key
from pipeline.hrefs import redact
from pipeline.raster import Access, ReadError, attempts
from pipeline.remote import REQUESTS
from pipeline.types import REFLECTANCE_SCALE, Asset, Fault, Grid, Mask, Observation, Region, Scene


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


def build_slab(
    job: SlabJob, room: Mapping[str, np.ndarray] | None = None
) -> Iterator[tuple[str, np.ndarray, list[Fault]]]:
    """Read a slab of a region's window, one band at a time; the next is fetched while this one is decoded and written.

    The smallest band comes first: nothing is done while it is awaited.

    Parameters
    ----------
    room : band -> (time, height, width), where to put its values instead of a new array

    Yields
    ------
    (band, values, faults)
        values : (time, height, width) in the band's own pixels; int16 reflectance x 10000 with -32768 where there is
        none, or the mask's own uint8 with its fill.
    """
    names = sorted(job.grid.bands, key=lambda name: (-job.grid.bands[name], name != job.mask.band))
    with ThreadPoolExecutor(REQUESTS) as pool:
        ahead = [_Band(job, names[0], pool, room or {})]
        for following in (*names[1:], None):
            if following is not None:
                ahead.append(_Band(job, following, pool, room or {}))
            band = ahead.pop(0)
            values, faults = band.decode()
            yield band.name, values, faults
            del band, values  # or they would stand beside those of the next band


class _Band:
    """A band of a slab. The first scene of every observation is fetched from the start, by the pool's threads; what
    those after it must fill is known only then."""

    def __init__(self, job: SlabJob, name: str, pool: Executor, room: Mapping[str, np.ndarray]) -> None:
        self.job, self.name, self.pool = job, name, pool
        frame = job.region.window.at(job.grid.bands[name])
        self.window = Window(frame, job.mask if name == job.mask.band else None)
        # Filled one by one: memory that nobody has touched yet costs nothing.
        new = np.empty((len(job.observations), frame.height, frame.width), self.window.dtype)
        self.values = room.get(name, new)
        self.blank = [True] * len(job.observations)
        self.first = [self._submit(t, o.scenes[0]) if o.scenes else None for t, o in enumerate(job.observations)]

    def _submit(self, t: int, scene: Scene) -> Future[Fetched | None]:
        return self.pool.submit(self._fetch, t, scene)

    def _fetch(self, t: int, scene: Scene) -> Fetched | None:
        """In a thread: the coded blocks, or None where the general way has placed its pixels at once."""
        access, asset = self.job.access, scene.assets[self.name]
        assert access is not None
        fetched = fetch(asset, self.window, access, self.job.headers.get(key(asset, scene)))
        if not isinstance(fetched, np.ndarray):
            return fetched
        self._write(t, fetched, asset)
        return None

    def _write(self, t: int, fetched: Fetched, asset: Asset) -> None:
        """Into the pixels of an observation, which one thread at a time knows."""
        place(fetched, asset, self.window, self.values[t], blank=self.blank[t])
        self.blank[t] = False

    def decode(self) -> tuple[np.ndarray, list[Fault]]:
        """What was fetched, (time, height, width), and what went wrong."""
        faults: list[Fault] = []
        for t, (observation, fetched) in enumerate(zip(self.job.observations, self.first, strict=True)):
            if not observation.scenes:
                gone = "the source no longer offers this observation"
                faults.append(Fault(self.job.region.key, observation.id, "", self.name, "", gone, 0))
            for number, scene in enumerate(observation.scenes):
                if number and not self.blank[t] and (self.values[t] != self.window.fill).all():
                    break
                future = self._submit(t, scene) if number or fetched is None else fetched
                try:
                    self._place(t, scene, future.result())
                except ReadError as error:
                    href = redact(scene.assets[self.name].href)
                    why = (error.message, error.attempts)
                    faults.append(Fault(self.job.region.key, observation.id, scene.id, self.name, href, *why))
            if self.blank[t]:
                self.values[t], self.blank[t] = self.window.fill, False
            self.first[t] = None  # its bytes are done with
        return self.values, faults

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
                self._write(t, fetch_once(asset, self.window, access, None, refresh=refresh), asset)

            attempts(access, again, failed=error)


def touched(faults: Sequence[Fault]) -> int:
    """Observations that at least one fault touches."""
    return len({f.observation for f in faults})
