"""Pixel series that are hard to read, with known truth: real covers' seasons, weather, clouds, snow and construction.

ground = hard_ground(10_000, seed=0)
layers = kernels.detect(ground.indices(("ndvi", "swir")), ground.dates, snow=ground.snow)

Independent of the detectors: end members mixed over time, no harmonics, no phases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.indices import compute_index
from groundbreak.pipeline.testing.covers import (
    BUILT,
    COVERS,
    HERB,
    Floats,
    Rng,
    Surface,
    darkening,
    midwinter,
    undisturbed,
    wander,
)
from groundbreak.pipeline.testing.sampling import acquisitions, clouds, observe, snowfall

Doubles = NDArray[np.float64]

BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")

_BARE = 5
"""The material after those of BUILT: the pixel's own soil."""

EDGE_SHARE, EDGE_EXTENT = 0.5, (0.12, 0.75)
"""Share of the changed pixels that the works cover only in part, and how much of such a pixel they cover."""
ROUGH = (0.03, 0.15)
"""Least and greatest roughness of a stage (log-uniform): share of other material, twice the spread of brightness."""
PLATEAU, STAGE_STEP = 0.6, (0.15, 0.8)
"""Share of stages in which next to nothing changes; how far the others go from one material to the next."""
STRIPPED = (0.12, 0.35)
"""How much lighter or darker the first stage is than the ground it was, log scale."""
GRADUAL = 0.1
"""Share of works that spread over the pixel little by little, for up to two thirds of their time."""
UNSEEN = 0.12
"""Share of works whose last 30-150 days (interiors, say) change nothing that a satellite sees."""
LAWN = 0.25
"""Share of finished pixels with a lawn."""

_LEAD, _TAIL, _LONGEST = 730.0, 200.0, 1460.0
_MOST_STAGES = 48


@dataclass(frozen=True, slots=True)
class Ground:
    """A set of simulated pixels.

    ``bands`` (band, time, pixel) float32 reflectance 0-1, bands as in BANDS, NaN = not clear; ``dates`` (time,)
    datetime64[D]; ``snow`` (time, pixel) bool, masked as snow; ``cover`` (pixel,) str; ``onset`` and ``halt`` (pixel,)
    float64 days since 1970-01-01, NaN where there is none (stable ground; works that go on until the end); ``clean``
    (band, time, pixel) float32, the surface and its weather without clouds, sensor noise or gaps.
    """

    bands: Floats
    dates: NDArray[np.datetime64]
    snow: NDArray[np.bool_]
    cover: NDArray[np.str_]
    onset: Doubles
    halt: Doubles
    clean: Floats

    def indices(self, names: Sequence[str]) -> Floats:
        """Compute the indices ``names``, (index, time, pixel) float32, as the kernels do."""
        bands = dict(zip(BANDS, self.bands, strict=True))
        return np.stack([compute_index(name, bands) for name in names])


class _Works(NamedTuple):
    """When each pixel is worked on; (pixel,) float64 days since 1970-01-01.

    ``halt`` is infinite where works go on; ``visible`` is the last change a satellite can see; ``pause`` and ``rest``
    are the start and the length of an interruption (0 days: none).
    """

    onset: Doubles
    halt: Doubles
    visible: Doubles
    pause: Doubles
    rest: Doubles


def hard_ground(
    n_pixel: int,
    *,
    seed: int,
    missing: float = 0.5,
    changed: float = 0.5,
    ongoing: float = 0.25,
    short: float = 0.15,
    outliers: float = 0.03,
    start: str = "2019-01-01",
    end: str = "2025-01-01",
) -> Ground:
    """Simulate pixels that cycle over the five covers; each cover is one block with a random stream of its own.

    Parameters
    ----------
    n_pixel : pixels
    seed : two calls with the same arguments give the same ground
    missing : share 0-1 of the observations that cloud and snow mask, on average
    changed : share 0-1 of the pixels that are built on
    ongoing, short : shares 0-1 of the changed pixels whose works go on until the end, or last 14-120 days
    outliers : share 0-1 of the observations left that are cloud, shadow or snow all the same
    start, end : ISO dates of the record, at least four years apart

    Returns
    -------
    Ground of ``n_pixel`` pixels.
    """
    first, stop = (float(np.datetime64(day).astype("datetime64[D]").astype(int)) for day in (start, end))
    if stop - first < 4 * 365:
        raise ValueError(f"start, end: {start} to {end} must span four years or more; widen them")
    days = acquisitions(np.random.default_rng([seed, len(COVERS)]), first, stop)
    cover = np.array([COVERS[i % len(COVERS)] for i in range(n_pixel)])
    bands = np.empty((len(BANDS), days.size, n_pixel), np.float32)
    clean = np.empty_like(bands)
    snow = np.zeros((days.size, n_pixel), np.bool_)
    onset, halt = np.full(n_pixel, np.nan), np.full(n_pixel, np.nan)
    for block in range(min(len(COVERS), n_pixel)):
        rng = np.random.default_rng([seed, block])
        at = np.arange(block, n_pixel, len(COVERS))
        truth, soil, wet = undisturbed(COVERS[block], rng, days, at.size)
        built = np.flatnonzero(rng.random(at.size) < changed)
        if built.size:
            works = _schedule(rng, built.size, first, stop, ongoing, short)
            part = Surface(truth[:, :, built], soil[:, built], wet[:, built])
            truth[:, :, built] = _construct(rng, days, part, works)
            onset[at[built]] = works.onset
            halt[at[built]] = np.where(np.isfinite(works.halt), works.halt, np.nan)
        white = snowfall(rng, days, at.size)
        cloudy = clouds(rng, days, missing, white)
        caught = white & ~cloudy & (rng.random(white.shape) < 0.98)
        seen = observe(rng, truth, white & ~caught, outliers)
        seen[:, cloudy | caught] = np.nan
        bands[:, :, at], clean[:, :, at], snow[:, at] = seen, truth, caught
    dates = days.astype(int).astype("datetime64[D]")
    return Ground(bands, dates, snow, cover, onset, halt, clean)


def _schedule(rng: Rng, n: int, first: float, stop: float, ongoing: float, short: float) -> _Works:
    """Draw when ``n`` pixels are worked on in the record from day ``first`` to day ``stop``."""
    kind = rng.random(n)
    never, brief = kind < ongoing, (kind >= ongoing) & (kind < ongoing + short)
    room = min(stop - first - _LEAD - _TAIL, _LONGEST)
    length = np.full(n, np.inf)
    while (over := length > room).any():
        # Sites of the IARPA SMART set: median 660 d, quartiles 433 and 960 d.
        length[over] = rng.lognormal(np.log(660), 0.59, int(over.sum()))
    length = np.where(brief, np.exp(rng.uniform(np.log(14), np.log(120), n)), length)
    latest = np.where(never, stop - 365.25, stop - _TAIL - length)
    onset = np.floor(rng.uniform(first + _LEAD, latest))
    halt = np.where(never, np.inf, np.floor(onset + length))
    span = np.where(never, stop - onset, length)
    unseen = np.where(rng.random(n) < UNSEEN, rng.uniform(30, 150, n), 0)
    visible = halt - np.where(brief, 0, np.minimum(unseen, 0.5 * span))
    rests = (span > 500) & (rng.random(n) < 0.09)
    rest = np.where(rests, np.minimum(rng.uniform(200, 400, n), span - 200), 0)
    pause = onset + rng.uniform(0.3, 0.7, n) * (span - rest)
    return _Works(onset, halt, visible, pause, rest)


def _construct(rng: Rng, days: Floats, before: Surface, works: _Works) -> Floats:
    """Put works into the reflectance ``before`` them, (band, time, pixel): their stages, and what they leave behind."""
    t = days.astype(np.float64)[:, None]
    n = works.onset.size
    # The pixel is cleared in one to four pieces within 90 days.
    pieces = np.where(rng.random(n) < 0.6, 1, rng.integers(2, 5, n))
    spell = rng.uniform(20, 90, n)
    gradual = rng.random(n) < GRADUAL
    pieces = np.where(gradual, 30, pieces)
    spell = np.where(gradual, rng.uniform(0.2, 0.67, n) * np.minimum(works.visible - works.onset, 900), spell)
    cleared = np.clip(np.floor((t - works.onset) / spell * pieces) + 1, 0, pieces) / pieces
    extent = np.where(rng.random(n) < EDGE_SHARE, rng.uniform(*EDGE_EXTENT, n), 1)
    finish = np.minimum(rng.uniform(0, 30, n), 0.3 * (works.visible - works.onset))
    finish = np.where(np.isfinite(works.halt), np.maximum(finish, 1), 1)
    done = np.clip((t - works.visible + finish) / finish, 0, 1).astype(np.float32)
    site = _stages(rng, days, before, works)
    site += done * (_finished(rng, days, before, works) - site)
    share = (cleared * extent).astype(np.float32)
    return np.asarray(before.bands + share * (site - before.bands), np.float32)


def _stages(rng: Rng, days: Floats, before: Surface, works: _Works) -> Floats:
    """Draw the reflectance of building sites, (band, time, pixel), from stage to stage."""
    n = works.onset.size
    t = days.astype(np.float64)[:, None]
    brief = np.minimum(1, (works.visible - works.onset) / 200)
    ends = works.onset + np.cumsum(rng.uniform(20, 150, (_MOST_STAGES, n)) * np.maximum(brief, 0.15), axis=0)
    resting = np.clip(t - works.pause, 0, works.rest)
    stage = np.zeros((days.size, n), np.int64)
    for last in ends[:-1]:
        stage += t - resting >= last
    materials = np.concatenate([np.repeat(BUILT[:, :, None], n, axis=2), before.soil[:, None, :]], axis=1)
    spectra = np.empty((_MOST_STAGES, len(BANDS), n), np.float32)
    rough = np.exp(rng.uniform(np.log(ROUGH[0]), np.log(ROUGH[1]), (_MOST_STAGES, n)))
    weedy = np.where(rng.random((_MOST_STAGES, n)) < 0.2, rng.uniform(0.05, 0.4, (_MOST_STAGES, n)), 0)
    weedy[0] = 0
    pixel = np.arange(n)
    for k in range(_MOST_STAGES):
        bare = rng.random(n) < (0.8 if k == 0 else 0.4)
        what = np.where(bare, _BARE, rng.integers(0, _BARE, n))
        tone = np.exp(rng.normal(0, 0.12, n))
        if k == 0:  # stripped ground is wetter, drier or lighter than the crust that lay on it
            tone = np.exp(rng.uniform(*STRIPPED, n) * rng.choice((-1.0, 1.0), n))
        look = materials[:, what, pixel] * tone
        if k:
            # On a plateau next to nothing changes for months.
            plateau = rng.random(n) < PLATEAU
            step = np.where(plateau, rng.uniform(0, 0.1, n), rng.uniform(*STAGE_STEP, n))
            look = spectra[k - 1] + step * (look - spectra[k - 1])
            rough[k] = np.where(plateau, 0.6 * rough[k], rough[k])
        spectra[k] = look
    out = np.empty((len(BANDS), days.size, n), np.float32)
    churn = np.take_along_axis(rough, stage, axis=0).astype(np.float32)
    churn[(resting > 0) & (resting < works.rest)] *= 0.2
    share = np.minimum(np.abs(rng.standard_normal(stage.shape, dtype=np.float32)) * churn, 0.7)
    other = rng.integers(0, _BARE + 1, stage.shape)
    green = np.take_along_axis(weedy, stage, axis=0) * (0.6 - 0.4 * midwinter(days))
    green = (green + 0.4 * resting / 400).astype(np.float32)
    glare = np.exp(0.5 * churn * rng.standard_normal(stage.shape, dtype=np.float32))
    drying = darkening(0.7 * before.wet)
    for b in range(len(BANDS)):
        ground = np.take_along_axis(spectra[:, b], stage, axis=0)
        ground += share * (materials[b][other, pixel] - ground)
        out[b] = ground * glare * drying[b]
        out[b] += green * (HERB[b] - out[b])
    return out


def _finished(rng: Rng, days: Floats, before: Surface, works: _Works) -> Floats:
    """Draw the look of finished ground, (band, time, pixel): built, in part with a lawn that takes a year or two."""
    n = works.onset.size
    built = (BUILT @ rng.dirichlet(np.full(BUILT.shape[1], 0.5), n).T) * np.exp(rng.normal(0, 0.08, n))
    lawn = np.where(rng.random(n) < LAWN, rng.uniform(0.1, 0.7, n), 0)
    since = np.clip((days.astype(np.float64)[:, None] - works.visible) / rng.uniform(200, 700, n), 0, 1)
    grown = np.nan_to_num(since) * (0.65 - 0.25 * midwinter(days)) + 0.03 * wander(rng, days, n, 25.0)
    green = np.clip(lawn * grown, 0, 1).astype(np.float32)
    ground = (built * (1 - lawn) + before.soil * lawn).astype(np.float32)
    shade = 1 - rng.uniform(0, 0.18, n).astype(np.float32) * 0.5 * (1 + midwinter(days))
    out = ground[:, None, :] * darkening(0.35 * before.wet) * shade
    out += green * (HERB[:, :, None] - out)
    return np.asarray(out, np.float32)
