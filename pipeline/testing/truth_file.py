"""The truth file of a simulated archive: its sites with dates, and ground that never changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.features import shapes
from scipy.ndimage import binary_dilation, binary_opening
from shapely import MultiPolygon, Polygon, box, transform, union_all
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.testing.frames import Layout, to_lonlat
from groundbreak.pipeline.testing.landscape import KINDS
from groundbreak.pipeline.testing.scene import Scene

TRUTH_FILE = "truth.json"


@dataclass(frozen=True, slots=True)
class TrueSite:
    """One place that changed."""

    name: str
    kind: str
    """compound, active or road."""
    geometry: Polygon
    """lon/lat."""
    onset: date
    halt: date | None
    """Last day of activity; None where it goes on at the end of the record."""
    area_m2: float


@dataclass(frozen=True, slots=True)
class NegativeZone:
    """Ground of one land cover where nothing was built, though much varies."""

    name: str
    """crops, reservoir, forest, grass, suburb or desert."""
    geometry: BaseGeometry
    """lon/lat polygon or multipolygon."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What a perfect detector would report over one simulated archive."""

    seed: int
    scale: str
    start: date
    end: date
    bbox: tuple[float, float, float, float]
    """Area of interest, lon/lat."""
    sites: tuple[TrueSite, ...]
    negatives: tuple[NegativeZone, ...]

    @classmethod
    def of(cls, scene: Scene) -> Truth:
        """Return the truth of a scene."""
        sites = tuple(
            TrueSite(s.kind, s.kind, _outline(scene.layout, s.corners), s.onset, s.halt, s.area_m2) for s in scene.sites
        )
        return cls(
            scene.seed,
            scene.layout.name,
            scene.start,
            scene.end,
            scene.layout.bbox,
            sites,
            _negatives(scene),
        )

    @classmethod
    def load(cls, path: Path | str) -> Truth:
        """Read a truth file, or the one in an archive's folder."""
        path = Path(path)
        data = json.loads((path / TRUTH_FILE if path.is_dir() else path).read_text("utf-8"))
        sites, negatives = [], []
        for feature in data["features"]:
            p, geometry = feature["properties"], shape(feature["geometry"])
            if p["kind"] == "negative":
                negatives.append(NegativeZone(p["name"], geometry))
            else:
                halt = p["halt"] and date.fromisoformat(p["halt"])
                onset = date.fromisoformat(p["onset"])
                sites.append(TrueSite(p["name"], p["kind"], geometry, onset, halt, p["area_m2"]))
        start, end = (date.fromisoformat(d) for d in data["record"])
        return cls(
            data["seed"],
            data["scale"],
            start,
            end,
            tuple(data["bbox"]),
            tuple(sites),
            tuple(negatives),
        )

    def save(self, path: Path) -> None:
        """Write a GeoJSON FeatureCollection."""
        features = [
            _feature(
                s.geometry,
                name=s.name,
                kind=s.kind,
                onset=s.onset.isoformat(),
                halt=s.halt.isoformat() if s.halt else None,
                area_m2=s.area_m2,
            )
            for s in self.sites
        ]
        features += [_feature(z.geometry, name=z.name, kind="negative") for z in self.negatives]
        data = {
            "type": "FeatureCollection",
            "seed": self.seed,
            "scale": self.scale,
            "record": [self.start.isoformat(), self.end.isoformat()],
            "bbox": list(self.bbox),
            "features": features,
        }
        path.write_text(json.dumps(data, indent=1) + "\n", "utf-8")


def _feature(geometry: BaseGeometry, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": mapping(geometry)}


def _outline(layout: Layout, corners: tuple[tuple[float, float], ...]) -> Polygon:
    return Polygon([layout.lonlat(col, row) for col, row in corners])


def _negatives(scene: Scene) -> tuple[NegativeZone, ...]:
    """Return land covers as polygons in the area of interest, without sites and their surroundings."""
    layout, zone = scene.layout, scene.landscape.zone
    built = np.zeros(layout.shape, dtype=bool)
    for site in scene.sites:
        built[site.rows, site.cols] = True
    far = ~binary_dilation(built, iterations=3)
    area = box(*layout.bbox)
    found = []
    for code, name in enumerate(KINDS):
        # Opening drops slivers of the winding borders, which belong to either side.
        mask = binary_opening((zone == code) & far, iterations=1)
        pieces = [shape(outline) for outline, value in shapes(mask.astype(np.uint8), mask=mask) if value == 1]
        if not pieces:
            continue
        scenic = union_all(pieces)
        ground = transform(scenic, lambda c, r: _lonlat(layout, c, r), interleaved=False)
        clipped = ground.intersection(area)
        if isinstance(clipped, Polygon | MultiPolygon) and not clipped.is_empty:
            found.append(NegativeZone(name, clipped))
    return tuple(found)


def _lonlat(layout: Layout, cols: Any, rows: Any) -> tuple[Any, Any]:
    east, north = layout.utm(cols, rows)
    lon, lat = to_lonlat().transform(east, north)
    return lon, lat
