"""Compares what a run has left with what was said beforehand, by plain xarray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rioxarray  # noqa: F401 - gives datasets their CRS
import xarray as xr
from distributed import Client

from groundbreak.pipeline import api
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.planning import plan_file
from tests.archives.drawing import draw_world
from tests.archives.files import configure, save, write
from tests.archives.harms import KINDS, excusable, harm, named
from tests.archives.truth import STEEPEST, classes, clouds, expect, margin, reflectance
from tests.archives.worlds import MASK, MASK_KEYS, NIR, RED, REFUSED, Draw, World, move

POINTS = 120
"""Points of the area at which readings are counted."""


@dataclass
class Verdict:
    """What became of one archive."""

    world: World
    outcome: str = "read"
    """read or refused."""
    readings: int = 0
    """Readings that must be: of points, dates and bands."""
    missing: Counter[str] = field(default_factory=Counter)
    """Overpass and band -> readings that must be and are not."""
    wrong: list[str] = field(default_factory=list)
    """What must not be."""


@dataclass(frozen=True)
class Cube:
    """What a run has left of one grid."""

    epsg: int
    status: xr.DataArray
    n_valid: xr.DataArray
    bands: dict[str, xr.DataArray]


def world_of(seed: int) -> World:
    """Draw an archive with all that is wrong with it."""
    return harm(draw_world(seed))


def try_archive(seed: int, folder: Path, client: Client) -> Verdict:
    """Write an archive, run on it, and compare."""
    world = world_of(seed)
    verdict = Verdict(world)
    (folder / "source").mkdir(parents=True)
    save(write(world, folder / "source"), folder / "source")
    try:
        config = configure(world, folder)
        result = api.run(config, client)
    except BadInput as error:
        verdict.outcome = "refused"
        if not world.refused or REFUSED[world.refused] not in str(error):
            verdict.wrong.append(f"refused: {error}")
        return verdict
    if world.refused:
        verdict.wrong.append(f"not refused, though {world.refused}")
        return verdict
    kept = plan_file.load(config, api.output_of(config))
    unused = {r.item: r.reason for r in kept.rejections} | {f.item: f"fault: {f.error}" for f in result.faults}
    if result.outcome.failed:
        verdict.wrong.append(f"failed regions: {result.outcome.failed}")
    _names(verdict, unused, {n.subject for n in kept.notices if n.kind == "frame_contradicts_file"})
    cubes = list(_cubes(folder / "out", world))
    for cube in cubes:
        _compare(verdict, cube)
    _count(verdict, cubes)
    _excuse(verdict, unused)
    return verdict


def _names(verdict: Verdict, unused: dict[str, str], told: set[str]) -> None:
    """Demand the names of what is not used and of what contradicts its file, and no others."""
    for spec in verdict.world.specs:
        reason = unused.get(spec.id, "")
        if named(spec) and not reason:
            verdict.wrong.append(f"{spec.id} ({spec.harm} of {spec.band}) is not named")
        if reason and reason != "owns_nothing" and not excusable(spec) and spec.harm != "twice":
            verdict.wrong.append(f"{spec.id} ({spec.harm or 'good'}) is not used: {reason}")
        contradicts = bool(spec.harm) and KINDS[spec.harm].notice
        if contradicts and spec.id not in told and reason != "owns_nothing":
            verdict.wrong.append(f"{spec.id} ({spec.harm}) contradicts its file, which is not told")
        if spec.id in told and not contradicts and not excusable(spec):
            verdict.wrong.append(f"{spec.id} ({spec.harm or 'good'}) is said to contradict its file")


def _cubes(out: Path, world: World) -> Iterator[Cube]:
    """Open what a run has left, as a user would."""
    for folder in sorted(p.parent for p in out.glob("*/cube.zarr")):
        layers = xr.open_zarr(folder / "change.zarr", consolidated=False, mask_and_scale=False)
        bands = {}
        for group in sorted(p.name for p in (folder / "cube.zarr").iterdir() if p.is_dir()):
            opened = xr.open_zarr(folder / "cube.zarr", group=group, consolidated=False, mask_and_scale=False)
            for band, key in ((RED, RED), (NIR, NIR), (MASK, MASK_KEYS[world.classes.kind])):
                if key in opened:
                    bands[band] = opened[key].load()
        epsg = int(layers.rio.crs.to_epsg())
        yield Cube(epsg, layers.status.load(), layers.n_valid.load(), bands)


def _take(world: World, time: np.datetime64) -> int | None:
    """Return the number of the overpass at a time."""
    near = [n for n, date in enumerate(world.dates) if abs(date - time) <= np.timedelta64(60, "s")]
    return near[0] if near else None


def _fill(array: xr.DataArray) -> int:
    fill = array.encoding.get("_FillValue", array.attrs.get("_FillValue", array.encoding.get("fill_value")))
    assert fill is not None, f"{array.name} tells no fill"
    return int(fill)


def _compare(verdict: Verdict, cube: Cube) -> None:
    """Compare every pixel that a cube holds with the truth."""
    world = verdict.world
    for band, array in cube.bands.items():
        x, y = np.meshgrid(array.x.values, array.y.values)
        if cube.epsg != world.epsg:
            x, y = move(cube.epsg, world.epsg, x, y)
        for n, time in enumerate(array.time.values.astype("datetime64[ms]")):
            take = _take(world, time)
            if take is None:
                verdict.wrong.append(f"a date that is not: {time}")
                continue
            there = array.values[n] != _fill(array)
            said = expect(world, band, take, x, y)
            if (invented := there & ~said.may).any():
                verdict.wrong.append(f"{band} {take}: {invented.sum()} pixels where there is nothing")
            off = _off(world, band, take, array.values[n], x, y, said.edge) & there & said.may
            if off.any():
                row, col = np.argwhere(off)[0]
                verdict.wrong.append(
                    f"{band} {take}: {off.sum()} of {there.sum()} pixels are wrong, first ({row}, {col}) of "
                    f"{off.shape}: {array.values[n][row, col]}, not {_truth(world, band, take, x, y)[row, col]:.1f}"
                )


def _truth(world: World, band: str, take: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return classes(world, take, x, y) if band == MASK else reflectance(world, band, take, x, y)


def _off(
    world: World, band: str, take: int, values: np.ndarray, x: np.ndarray, y: np.ndarray, edge: np.ndarray
) -> np.ndarray:
    """Tell which values are not the truth, as far as resampling keeps it."""
    off: np.ndarray
    if band == MASK:
        near = margin(world, band) / world.fine if world.warps(band) else 0.0
        off = (values != classes(world, take, x, y)) & (abs(clouds(world, take, x, y)) > near)
        return off
    coarse = max(world.sides[band], world.resolution or 0.0) / world.fine
    allowed = np.where(edge, STEEPEST * coarse, 4.0) if world.warps(band) else 1.0
    off = abs(values.astype(float) - reflectance(world, band, take, x, y)) > allowed
    return off


def _count(verdict: Verdict, cubes: list[Cube]) -> None:
    """Count the readings of points of the area that must be, and find those that are missing."""
    world = verdict.world
    d = Draw(world.seed + 2 * 10**9)
    inset = 2.0 * max(world.fine, world.resolution or 0.0)
    left, bottom, right, top = world.box
    x = d.rng.uniform(left + inset, right - inset, POINTS)
    y = d.rng.uniform(bottom + inset, top - inset, POINTS)
    lon, lat = move(world.epsg, 4326, x, y)
    corners = move(world.epsg, 4326, [left, right, left, right], [bottom, bottom, top, top])
    degree = inset / 111_000
    inside = (lon > min(corners[0]) + degree / np.cos(np.radians(lat))) & (lat > min(corners[1]) + degree)
    inside &= (lon < max(corners[0]) - degree / np.cos(np.radians(lat))) & (lat < max(corners[1]) - degree)
    x, y = x[inside], y[inside]
    owners = np.zeros(len(x), int)
    for cube in cubes:
        rows, cols = _place(cube, cube.status, world, x, y)
        mine = _at(cube.status.values, rows, cols, 255) != 255
        owners += mine
        if mine.any():
            _readings(verdict, cube, x[mine], y[mine])
    zones = len({cube.epsg for cube in cubes}) > 1
    if (owners > 1).any() and not zones:
        verdict.wrong.append(f"{(owners > 1).sum()} points have two owners")
    if (bare := owners == 0).any() and not zones:
        for band in (RED, NIR, MASK):
            for take in range(len(world.dates)):
                # A point is not the centre of its pixel.
                deep = expect(world, band, take, x[bare], y[bare])
                lost = int((deep.must & ~deep.edge & _well_inside(world, band, take, x[bare], y[bare])).sum())
                verdict.readings += lost
                if lost:
                    verdict.missing[f"{take}/{band}"] += lost


def _well_inside(world: World, band: str, take: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tell whether points lie in data with all that is around them, so that their pixels do."""
    step = max(world.sides.values())
    found = np.ones(len(x), bool)
    for dx in (-step, step):
        for dy in (-step, step):
            found &= expect(world, band, take, x + dx, y + dy).must
    return found


def _place(
    cube: Cube, array: xr.DataArray, world: World, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the pixels in which points lie."""
    if cube.epsg != world.epsg:
        x, y = move(world.epsg, cube.epsg, x, y)
    side = float(array.x[1] - array.x[0])
    cols = np.floor((x - (float(array.x[0]) - side / 2)) / side).astype(int)
    rows = np.floor(((float(array.y[0]) + side / 2) - y) / side).astype(int)
    return rows, cols


def _at(values: np.ndarray, rows: np.ndarray, cols: np.ndarray, outside: int) -> np.ndarray:
    """Return the values of pixels, and another where they lie outside."""
    height, width = values.shape
    there = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    return np.where(there, values[np.clip(rows, 0, height - 1), np.clip(cols, 0, width - 1)], outside)


def _readings(verdict: Verdict, cube: Cube, x: np.ndarray, y: np.ndarray) -> None:
    """Count the readings of points that a grid owns; compare the number of clear observations of each."""
    world = verdict.world
    reach = margin(world, MASK) / world.fine
    # Observations of one day are one for the detector.
    days = np.unique([str(date)[:10] for date in world.dates], return_inverse=True)[1]
    least, most = np.zeros((max(days) + 1, len(x)), bool), np.zeros((max(days) + 1, len(x)), bool)
    taken = [_take(world, t) for t in cube.bands[RED].time.values.astype("datetime64[ms]")]
    for take in range(len(world.dates)):
        sure, possible = np.ones(len(x), bool), np.ones(len(x), bool)
        for band, array in cube.bands.items():
            rows, cols = _place(cube, array, world, x, y)
            side = float(array.x[1] - array.x[0])
            px, py = float(array.x[0]) + cols * side, float(array.y[0]) - rows * side
            if cube.epsg != world.epsg:
                px, py = move(cube.epsg, world.epsg, px, py)
            said = expect(world, band, take, px, py)
            there = np.zeros(len(x), bool)
            if take in taken:
                there = _at(array.values[taken.index(take)], rows, cols, _fill(array)) != _fill(array)
                if band == MASK:  # a class that is not clear may be the cube's own word for no observation
                    dark = world.classes.cloudy[take % len(world.classes.cloudy)] == _fill(array)
                    there |= dark & (clouds(world, take, px, py) > (-reach if world.warps(MASK) else 0.0))
            verdict.readings += int(said.must.sum())
            if lost := int((said.must & ~there).sum()):
                verdict.missing[f"{take}/{band}"] += lost
            sure &= there
            possible &= there
            if band == MASK:
                deep = clouds(world, take, px, py)
                sure &= deep < -reach
                possible &= deep < reach
        least[days[take]] |= sure
        most[days[take]] |= possible
    rows, cols = _place(cube, cube.n_valid, world, x, y)
    found = _at(cube.n_valid.values.astype(int), rows, cols, -1)
    low, high = least.sum(axis=0), most.sum(axis=0)
    if (bad := (found < low) | (found > high)).any():
        n = int(np.argmax(bad))
        verdict.wrong.append(f"n_valid of {bad.sum()} points: {found[n]}, not {low[n]} to {high[n]}")


def _excuse(verdict: Verdict, unused: dict[str, str]) -> None:
    """Demand that what is missing is little, and named."""
    if not verdict.missing:
        return
    lost = sum(verdict.missing.values())
    if lost > 0.05 * verdict.readings:
        verdict.wrong.append(f"{lost} of {verdict.readings} readings are missing: {dict(verdict.missing)}")
    for what in verdict.missing:
        take = int(what.split("/")[0])
        if not any(spec.id in unused for spec in verdict.world.specs if spec.take == take):
            verdict.wrong.append(f"{verdict.missing[what]} readings of {what} are missing, and nothing says why")
