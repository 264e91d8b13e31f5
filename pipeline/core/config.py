"""The configuration: TOML or Python in, frozen values out, every mistake one clear error.

A section is a dataclass and a key is a field; the field's type is the rule that its value is checked against. To add a
key, add a field here; a rule that the type cannot tell goes into `Config._check`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from groundbreak.cluster.connect import KINDS
from groundbreak.kernels import DEFAULT_INDICES, DETECTORS, bands_of
from groundbreak.pipeline.core.sections import check_known, read_section
from groundbreak.pipeline.core.types import BadInput, MaskRule


@dataclass(frozen=True, slots=True)
class AreaConfig:
    """Where: a lon/lat box (west > east crosses the antimeridian) or a GeoJSON file."""

    bbox: tuple[float, ...] | None = None
    geometry: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskConfig(MaskRule):
    """A clear-pixel rule for a collection that the provider table does not know."""

    asset: str = "scl"
    """Key of the item's asset that holds the mask."""


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """A provider or sensor that the provider table does not know."""

    bands: Mapping[str, str] = field(default_factory=dict)
    """Canonical band name -> asset key."""
    mask: MaskConfig = MaskConfig()
    scale: float | None = None
    """reflectance = scale x DN + offset; left out, the item's raster:bands say it."""
    offset: float | None = None
    nodata: float | None = None
    lattice: str = "source"
    """source: items lie on fixed tiles; zone: they do not, and are warped onto the zone's UTM lattice."""
    token_url: str | None = None
    """Where a signature for the collection's hrefs is fetched at read time (Planetary Computer's scheme)."""


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """Which items."""

    datetime: str = ""
    items: str | None = None
    catalog: str | None = None
    collection: str | None = None
    allow_hosts: tuple[str, ...] = ()
    provider: ProviderConfig | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    requester_pays: bool = False
    accept_offset_step: bool = False
    """Go on where dark pixels contradict the offsets that the provider table tells."""


@dataclass(frozen=True, slots=True)
class CubeConfig:
    """How cubes are laid out."""

    resolution: float | None = None
    """Metres; left out, the source's own lattice, without resampling."""
    bands: tuple[str, ...] = ()
    """Beyond those that the indices need."""
    region: int = 512
    """Side of a region in the finest pixels, at least; rounded up to whole source blocks."""
    slab: int = 60
    """Observations of a slab."""
    keep: bool = True
    """Whether a region's cube is kept once its layers are done."""


@dataclass(frozen=True, slots=True)
class DetectConfig:
    """What is looked for."""

    detector: str = "phases"
    indices: tuple[str, ...] = DEFAULT_INDICES
    history_end: str | None = None
    """No onset is looked for before this date."""
    min_area_m2: float = 2000.0
    params: Mapping[str, Any] = field(default_factory=dict)
    """The detector's own, as kernels.DETECTORS lists them."""


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """Where tasks run."""

    kind: str = "local"
    """An entry of `cluster.connect.KINDS`."""
    workers: int | None = None
    """Worker processes of a local cluster; left out, one for each core."""
    address: str | None = None
    """Scheduler of a running cluster, for kind = "address"."""
    memory: str | None = None
    """Memory limit of a local worker ("4GiB"); left out, its share of the machine's."""

    @property
    def options(self) -> dict[str, Any]:
        """What was said beside the kind: option -> value."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "kind"}
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class RunConfig:
    """How faults are met."""

    attempts: int = 3
    """Reads of an asset before it is a fault."""
    fault_threshold: float = 0.1
    """A region fails where faults touch more than this share of its observations."""


@dataclass(frozen=True, slots=True)
class OutputConfig:
    path: str = ""


SECTIONS: dict[str, type[Any]] = {
    "area": AreaConfig,
    "source": SourceConfig,
    "output": OutputConfig,
    "cube": CubeConfig,
    "detect": DetectConfig,
    "cluster": ClusterConfig,
    "run": RunConfig,
}
"""Name of a section -> its dataclass."""


@dataclass(frozen=True, init=False)
class Config:
    """The whole configuration of a run, checked.

    Parameters
    ----------
    area, source, output : mapping
        The keys of the required sections, as in TOML: ``area={"bbox": [46.86, 40.03, 46.95, 40.10]}``.
    cube, detect, cluster, run : mapping, optional
        The keys of the other sections; every key has a default.
    base : Path, optional
        The folder that relative paths start from; the current one, if left out.

    Raises
    ------
    BadInput
        A key is unknown, or a value breaks a rule.
    """

    area: AreaConfig
    source: SourceConfig
    output: OutputConfig
    cube: CubeConfig
    detect: DetectConfig
    cluster: ClusterConfig
    run: RunConfig
    base: Path

    def __init__(
        self,
        *,
        area: Mapping[str, Any] | AreaConfig,
        source: Mapping[str, Any] | SourceConfig,
        output: Mapping[str, Any] | OutputConfig,
        cube: Mapping[str, Any] | CubeConfig = MappingProxyType({}),
        detect: Mapping[str, Any] | DetectConfig = MappingProxyType({}),
        cluster: Mapping[str, Any] | ClusterConfig = MappingProxyType({}),
        run: Mapping[str, Any] | RunConfig = MappingProxyType({}),
        base: str | Path | None = None,
    ) -> None:
        given = locals()
        for name, kind in SECTIONS.items():
            object.__setattr__(self, name, read_section(kind, given[name], name))
        object.__setattr__(self, "base", Path(base) if base is not None else Path.cwd())
        check(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], base: str | Path | None = None) -> Config:
        """Make a configuration from plain values, as tomllib gives them.

        Parameters
        ----------
        data : mapping
            Section -> its keys.
        base : Path, optional
            The folder that relative paths start from; the current one, if left out.

        Raises
        ------
        BadInput
            A section or a key is unknown or absent, or a value breaks a rule.
        """
        for name in data:
            check_known(name, set(SECTIONS), f"[{name}]")
        for name in ("area", "source", "output"):
            if name not in data:
                raise BadInput(f"[{name}]", "the section is required", "Add it (see the README)")
        return cls(**data, base=base)

    @classmethod
    def from_toml(cls, path: str | Path) -> Config:
        """Read and check a configuration file; relative paths in it start from its folder.

        Raises
        ------
        BadInput
            The file is absent, is not TOML, or breaks a rule.
        """
        file = Path(path)
        try:
            data = tomllib.loads(file.read_text())
        except FileNotFoundError:
            raise BadInput(str(path), "the configuration file must exist", "Check the path") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadInput(str(path), f"must be TOML ({error})", "Mend the line named") from None
        return cls.from_dict(data, file.resolve().parent)

    def path(self, text: str) -> str:
        """Return a user's path or URL, made absolute against the configuration's folder."""
        return text if "://" in text else str((self.base / text).resolve())

    @property
    def span(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last instant (UTC, ms), both inclusive."""
        return parse_span(self.source.datetime)

    @property
    def bands(self) -> tuple[str, ...]:
        """Reflectance bands of the cube: what the indices need and what the user adds, sorted."""
        return tuple(sorted({*bands_of(self.detect.indices), *self.cube.bands}))


def parse_span(text: str) -> tuple[np.datetime64, np.datetime64]:
    """Both ends of "2020-01-01/2024-12-31": a day alone stands for all of it."""
    rule = 'must be "start/end" in ISO dates or UTC times, start first'
    remedy = 'Write for instance datetime = "2020-01-01/2024-12-31"'
    parts = text.split("/")
    if len(parts) != 2:
        raise BadInput(f"[source] datetime = {text!r}", rule, remedy)
    try:
        start, end = (np.datetime64(p.strip().removesuffix("Z")) for p in parts)
        unit = np.datetime_data(end.dtype)[0]
        if unit in ("Y", "M", "D"):
            end = (end + np.ones((), f"timedelta64[{unit}]")).astype("datetime64[ms]") - np.timedelta64(1, "ms")
        start, end = start.astype("datetime64[ms]"), end.astype("datetime64[ms]")
    except ValueError:
        raise BadInput(f"[source] datetime = {text!r}", rule, remedy) from None
    if np.isnat(start) or np.isnat(end) or start > end:
        raise BadInput(f"[source] datetime = {text!r}", rule, remedy)
    return start, end


def check(config: Config) -> None:
    """Raise BadInput where a rule is broken that the type of a key cannot tell."""
    _check_where(config.area, config.source)
    _check_detect(config.detect)
    cube, cluster, run = config.cube, config.cluster, config.run
    _need(bool(config.output.path), "[output] path", "is required")
    _need(cube.resolution is None or cube.resolution > 0, "[cube] resolution", "must be positive")
    _need(cube.region > 0 and cube.slab > 0, "[cube]", "region and slab must be positive")
    _need(cluster.kind in KINDS, f"[cluster] kind = {cluster.kind!r}", f"must be one of {sorted(KINDS)}")
    kind = KINDS[cluster.kind]
    for name in kind.needs:
        _need(name in cluster.options, f"[cluster] {name}", f"kind = {cluster.kind!r} needs it")
    for name in cluster.options:
        _need(name in (*kind.needs, *kind.takes), f"[cluster] {name}", f"kind = {cluster.kind!r} does not take it")
    _need(cluster.workers is None or cluster.workers > 0, "[cluster] workers", "must be positive")
    _need(run.attempts > 0, "[run] attempts", "must be positive")
    _need(0 <= run.fault_threshold <= 1, "[run] fault_threshold", "must lie between 0 and 1")


def _check_where(area: AreaConfig, source: SourceConfig) -> None:
    _need((area.bbox is None) != (area.geometry is None), "[area]", "needs either bbox or geometry")
    if area.bbox is not None:
        w, s, e, n = area.bbox if len(area.bbox) == 4 else (0, 0, 0, 0)
        good = -180 <= w <= 180 and -180 <= e <= 180 and -90 <= s < n <= 90 and w != e
        rule = "must be [west, south, east, north] in degrees and hold some area"
        _need(good, f"[area] bbox = {list(area.bbox)}", rule)
    _need((source.items is None) != (source.catalog is None), "[source]", "needs either items or catalog")
    _need(source.catalog is None or bool(source.collection), "[source] catalog", "needs a collection beside it")
    parse_span(source.datetime)


def _check_detect(detect: DetectConfig) -> None:
    what = f"[detect] detector = {detect.detector!r}"
    _need(detect.detector in DETECTORS, what, f"must be one of {sorted(DETECTORS)}")
    _need(bool(detect.indices), "[detect] indices", "must name at least one index")
    try:
        bands_of(detect.indices)
    except ValueError as error:
        _need(False, f"[detect] indices = {list(detect.indices)}", str(error))
    defaults = DETECTORS[detect.detector].defaults
    for param in detect.params:
        rule = f"is not a parameter of {detect.detector!r}; its parameters are {', '.join(sorted(defaults))}"
        _need(param in defaults, f"[detect.params] {param}", rule)
    if detect.history_end is not None:
        try:
            np.datetime64(detect.history_end, "D")
        except ValueError:
            _need(False, f"[detect] history_end = {detect.history_end!r}", "must be an ISO date")
    _need(detect.min_area_m2 >= 0, "[detect] min_area_m2", "must not be negative")


def _need(good: bool, what: str, rule: str) -> None:
    if not good:
        raise BadInput(what, rule, "Correct the configuration")
