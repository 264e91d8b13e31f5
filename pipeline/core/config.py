"""The configuration of a run: TOML or Python values go in, frozen values come out, and a mistake is one clear error.

The keys are in `pipeline.core.sections`. Here are the rules that the type of a key cannot express.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from groundbreak.cluster.connect import KINDS
from groundbreak.kernels import DETECTORS, bands_of
from groundbreak.kernels.registry import resolve
from groundbreak.pipeline.core.provider_rules import provider_mistakes
from groundbreak.pipeline.core.section_reader import check_known, read_section
from groundbreak.pipeline.core.sections import (
    SECTIONS,
    AreaConfig,
    ClusterConfig,
    CubeConfig,
    DetectConfig,
    OutputConfig,
    RunConfig,
    SourceConfig,
)
from groundbreak.pipeline.core.types import BadInput


@dataclass(frozen=True, init=False)
class Config:
    """The whole configuration of a run, checked.

    Parameters
    ----------
    area : mapping or AreaConfig
        The keys of the section ``[area]``, as in TOML: ``{"bbox": [46.86, 40.03, 46.95, 40.10]}``.
    source : mapping or SourceConfig
        Those of ``[source]``: ``{"items": "items.json", "datetime": "2020-01-01/2024-12-31"}``.
    output : mapping or OutputConfig
        Those of ``[output]``: ``{"path": "out"}``.
    cube : mapping or CubeConfig, optional
        Those of ``[cube]``; every key has a default.
    detect : mapping or DetectConfig, optional
        Those of ``[detect]``; every key has a default.
    cluster : mapping or ClusterConfig, optional
        Those of ``[cluster]``; every key has a default.
    run : mapping or RunConfig, optional
        Those of ``[run]``; every key has a default.
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
        cube: Mapping[str, Any] | CubeConfig | None = None,
        detect: Mapping[str, Any] | DetectConfig | None = None,
        cluster: Mapping[str, Any] | ClusterConfig | None = None,
        run: Mapping[str, Any] | RunConfig | None = None,
        base: str | Path | None = None,
    ) -> None:
        given = locals()
        for name, kind in SECTIONS.items():
            object.__setattr__(self, name, read_section(kind, {} if given[name] is None else given[name], name))
        object.__setattr__(self, "base", Path(base) if base is not None else Path.cwd())
        check(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], base: str | Path | None = None) -> Config:
        """Make a configuration from plain values, as `tomllib` returns them.

        Parameters
        ----------
        data : mapping
            Name of a section -> its keys and their values.
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
        except OSError as error:
            raise BadInput(str(path), f"cannot be read ({error.strerror})", "Name a configuration file") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadInput(str(path), f"must be TOML ({error})", "Mend the line named") from None
        return cls.from_dict(data, file.resolve().parent)

    def path(self, text: str) -> str:
        """Return a user's path or URL as it is absolute: relative paths start from the configuration's folder.

        A ``~`` at the start means a home folder, unless something of that name lies in the configuration's folder.
        """
        if text.lower().startswith("file:///"):
            text = unquote(text[len("file://") :])
        if "://" in text:
            return text
        own = self.base / text
        return str((own if own.exists() else self.base / os.path.expanduser(text)).resolve())  # noqa: PTH111 - no error

    @property
    def span(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last instant of the record, datetime64[ms] in UTC, both inclusive."""
        return parse_span(self.source.datetime)

    @property
    def bands(self) -> tuple[str, ...]:
        """Reflectance bands of the cube, sorted: those that the indices need and those that the user adds."""
        return tuple(sorted({*bands_of(self.detect.indices), *self.cube.bands}))


def parse_span(text: str) -> tuple[np.datetime64, np.datetime64]:
    """Return the first and the last instant of a text such as "2020-01-01/2024-12-31".

    A date without a time stands for the whole day, so the last instant of an end date is its last millisecond.

    Returns
    -------
    (first, last) datetime64[ms], UTC, both inclusive.

    Raises
    ------
    BadInput
        The text is not "start/end" in ISO dates or UTC times, or its start comes after its end.
    """
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
    """Raise BadInput where a configuration breaks a rule that the type of a key cannot express."""
    _check_source(config.area, config.source)
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


def _check_source(area: AreaConfig, source: SourceConfig) -> None:
    """Check which area is looked at, and which items are read."""
    _need((area.bbox is None) != (area.geometry is None), "[area]", "needs either bbox or geometry")
    if area.bbox is not None:
        w, s, e, n = area.bbox if len(area.bbox) == 4 else (0, 0, 0, 0)
        good = -180 <= w <= 180 and -180 <= e <= 180 and -90 <= s < n <= 90 and w != e
        rule = "must be [west, south, east, north] in degrees and hold some area"
        _need(good, f"[area] bbox = {list(area.bbox)}", rule)
    _need((source.items is None) != (source.catalog is None), "[source]", "needs either items or catalog")
    _need(source.catalog is None or bool(source.collection), "[source] catalog", "needs a collection beside it")
    parse_span(source.datetime)
    if source.provider is not None and (mistakes := provider_mistakes(source.provider)):
        what, rule = mistakes[0][0], "; ".join(f"{k}: {r}" if k != mistakes[0][0] else r for k, r in mistakes)
        _need(False, what, rule)


def _check_detect(detect: DetectConfig) -> None:
    """Check what is looked for: detector, indices, parameters."""
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
    try:
        resolve(detect.detector, detect.params)
    except ValueError as error:
        _need(False, "[detect.params]", str(error))
    if detect.history_end is not None:
        try:
            np.datetime64(detect.history_end, "D")
        except ValueError:
            _need(False, f"[detect] history_end = {detect.history_end!r}", "must be an ISO date")
    _need(detect.min_area_m2 >= 0, "[detect] min_area_m2", "must not be negative")


def _need(good: bool, what: str, rule: str) -> None:
    """Raise BadInput about the input ``what`` unless it is good."""
    if not good:
        raise BadInput(what, rule, "Correct the configuration")
