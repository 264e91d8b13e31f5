"""The sections of a configuration: each is a dataclass, and each of its keys a field.

To add a key, add a field here: its type is the rule that `pipeline.core.section_reader` checks the key's value against.
A rule that a type cannot express goes into `pipeline.core.config.check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from groundbreak.kernels import DEFAULT_INDICES
from groundbreak.pipeline.core.types import MaskRule


@dataclass(frozen=True, slots=True)
class AreaConfig:
    """The area that is looked at: either a box or a GeoJSON file."""

    bbox: tuple[float, ...] | None = None
    """(west, south, east, north) in degrees; a box with west > east crosses the antimeridian."""
    geometry: str | None = None
    """Path of a GeoJSON file in longitude and latitude."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskConfig(MaskRule):
    """Which pixels are clear in a collection that the provider table does not know."""

    asset: str = "scl"
    """Key of the item's asset that holds the mask."""
    nodata: int | None = None
    """The mask's value where there is no observation; where it is left out, the item or its file decides."""


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """What the items of a provider mean that the provider table does not know."""

    bands: Mapping[str, str] = field(default_factory=dict)
    """Canonical band name -> asset key."""
    mask: MaskConfig = MaskConfig()
    scale: float | None = None
    """reflectance = scale x digital number + offset; where it is left out, the item's raster:bands decide."""
    offset: float | None = None
    """See ``scale``; where neither the configuration nor any item tells an offset, it is 0, and the log says so."""
    nodata: float | None = None
    """The digital number that means no observation; where it is left out, the item's raster:bands decide."""
    lattice: str = "source"
    """source: items lie on fixed tiles; zone: they do not, and are warped onto the zone's UTM lattice."""
    token_url: str | None = None
    """Where a signature for the collection's hrefs is fetched when they are read (the Planetary Computer's scheme)."""


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """Which items are read, and how their files are reached."""

    datetime: str = ""
    """"start/end", in ISO dates or UTC times, both inclusive."""
    items: str | None = None
    """Path or URL of an item collection, an item, a static catalogue or a stac-geoparquet file."""
    catalog: str | None = None
    """URL of a STAC API."""
    collection: str | None = None
    """Id of the collection; items of another one are rejected."""
    allow_hosts: tuple[str, ...] = ()
    """Private hosts, loopback included, that assets may be read from."""
    login_hosts: tuple[str, ...] = ()
    """Hosts beside NASA's Earthdata that get EARTHDATA_TOKEN, or lead to a host with an account in ~/.netrc."""
    provider: ProviderConfig | None = None
    """What the items mean, where the provider table does not know."""
    s3_endpoint: str | None = None
    """URL of an S3 store other than Amazon's."""
    s3_region: str | None = None
    """Region of the S3 store."""
    requester_pays: bool = False
    """Whether requests to S3 agree to pay for the transfer."""
    accept_offset_step: bool = False
    """Go on where pixels contradict the scales and offsets that they are read with."""


@dataclass(frozen=True, slots=True)
class CubeConfig:
    """How cubes are laid out."""

    resolution: float | None = None
    """Metres; where it is left out, the cube lies on the source's own lattice, without resampling."""
    bands: tuple[str, ...] = ()
    """Reflectance bands beside those that the indices need."""
    region: int = 512
    """Least side of a region, in the finest pixels; it is rounded up to whole source blocks."""
    slab: int = 60
    """Observations of a slab; a number above one time chunk is rounded up to whole chunks."""
    keep: bool = True
    """Whether a region's cube is kept once its layers are done."""


@dataclass(frozen=True, slots=True)
class DetectConfig:
    """What is looked for."""

    detector: str = "phases"
    """Name of a detector in `kernels.DETECTORS`."""
    indices: tuple[str, ...] = DEFAULT_INDICES
    """Spectral indices whose series the detector reads together."""
    history_end: str | None = None
    """ISO date up to which no onset is looked for."""
    min_area_m2: float = 2000.0
    """Least area of a site, m2."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the detector, as `kernels.DETECTORS` lists them."""


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """Where tasks run."""

    kind: str = "local"
    """A kind of `groundbreak.cluster.kinds`: local, address, ssh, slurm, pbs, lsf, sge, kubernetes or gateway."""
    workers: int | tuple[int, ...] | None = None
    """Worker processes of one thread each, or [least, most]; local: by default one for each core; ssh: of each host."""
    address: str | None = None
    """Address of a running cluster's scheduler, for kind = "address", or of a gateway's server."""
    memory: str | None = None
    """Memory limit of a worker ("4GiB"); local: where it is left out, an equal share of the machine's memory."""
    lifetime: str | None = None
    """How long a worker stays ("50 minutes") before another one takes its place: a little less than its job may run."""
    tls_ca_file: str | None = None
    """Path of the certificate of a running cluster's authority, for kind = "address"."""
    tls_cert: str | None = None
    """Path of the client's certificate."""
    tls_key: str | None = None
    """Path of the client's key, unless it stands in the file of its certificate."""
    patience: str | None = None
    """How long a run goes without workers ("2 hours"); by default an hour for jobs and pods, else a minute."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the library of the kind takes beside, under its own names; docs/clusters.md has examples."""

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked of the cluster, whatever its kind: key -> value."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("kind", "patience", "options")}
        return {name: value for name, value in said.items() if value is not None}

    @property
    def most_workers(self) -> int | None:
        """The workers that there may be at once, where they are said."""
        most = self.workers[-1] if isinstance(self.workers, tuple) else self.workers
        hosts = len(self.options.get("hosts", [])) - 1 if self.kind == "ssh" else 1
        return most * max(hosts, 1) if most is not None else None


@dataclass(frozen=True, slots=True)
class RunConfig:
    """How faults are dealt with."""

    attempts: int = 3
    """How often an asset is read before it is a fault."""
    patience: float = 900.0
    """Seconds for which a host is waited for that throttles everybody or is gone; 0 to wait for none."""
    deadline: float = 7200.0
    """Seconds for which a task may read, without those in which hosts are waited for; the rest are faults then."""
    fault_threshold: float = 0.1
    """Share of a region's observations; where faults touch more of them, the region fails."""


@dataclass(frozen=True, slots=True)
class OutputConfig:
    """Where results go."""

    path: str = ""
    """A folder, or s3://bucket/prefix."""


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
