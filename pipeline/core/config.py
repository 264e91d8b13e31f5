"""The configuration of a run: TOML or Python values go in, frozen values come out, and mistakes are clear errors.

The keys are in `pipeline.core.sections`, the rules that the type of a key cannot express in `pipeline.core.rules`
and `pipeline.core.cluster_rules`. All mistakes are told in one answer.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from groundbreak.kernels import bands_of
from groundbreak.pipeline.core import rules
from groundbreak.pipeline.core.cluster_rules import check_cluster
from groundbreak.pipeline.core.mistakes import BadInput, Mistakes
from groundbreak.pipeline.core.rules import parse_span as parse_span
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
        Keys are unknown, or values break rules; all of that is told at once.
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
        for name, section in _read({name: given[name] for name in SECTIONS if given[name] is not None}).items():
            object.__setattr__(self, name, section)
        object.__setattr__(self, "base", Path(base) if base is not None else Path.cwd())

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
        return cls(**_read(data), base=base)

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
        except (ValueError, RecursionError) as error:
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
    def origin(self) -> str:
        """Where the items come from: absolute, without user, query or signature; and the collection.

        The port of this very machine is left out, since servers for a single run take any.
        """
        source = self.source
        address = self.path(source.items or source.catalog or "")
        if "://" in address:
            address = re.sub(r"://[^/]*@", "://", re.split(r"[?#]", address)[0])
            address = re.sub(r"://(127\.0\.0\.1|localhost|\[::1\]):\d+", r"://\1", address)
        return f"{address} {source.collection or ''}".strip()

    @property
    def span(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last instant of the record, datetime64[ms] in UTC, both inclusive."""
        return parse_span(self.source.datetime)

    @property
    def bands(self) -> tuple[str, ...]:
        """Reflectance bands of the cube, sorted: those that the indices need and those that the user adds."""
        return tuple(sorted({*bands_of(self.detect.indices), *self.cube.bands}))


def _read(data: Mapping[str, Any]) -> dict[str, Any]:
    """Read and check all sections of a configuration.

    Parameters
    ----------
    data : mapping
        Name of a section -> its keys and their values, or the section as it is made already.

    Returns
    -------
    dict: name of a section -> the section, for all of them.

    Raises
    ------
    BadInput
        All that is wrong. Rules between sections are checked where each of them can be read.
    """
    mistakes, read = Mistakes(), {}
    for name in data:
        with mistakes.caught():
            check_known(name, set(SECTIONS), f"[{name}]")
    for name, kind in SECTIONS.items():
        required = name in ("area", "source", "output")
        if required and name not in data:
            mistakes.need(False, f"[{name}]", "the section is required", "Add it (see the README)")
            continue
        with mistakes.caught():
            read[name] = read_section(kind, data.get(name, {}), name)
    for check, names in CHECKS:
        if all(name in read for name in names):
            check(*(read[name] for name in names), mistakes)
    mistakes.settle()
    return read


CHECKS: tuple[tuple[Callable[..., None], tuple[str, ...]], ...] = (
    (rules.check_area, ("area",)),
    (rules.check_source, ("source",)),
    (rules.check_output, ("output",)),
    (rules.check_cube, ("cube",)),
    (rules.check_detect, ("detect",)),
    (check_cluster, ("cluster",)),
    (rules.check_run, ("run",)),
    (rules.check_bands, ("cube", "detect", "source")),
    (rules.check_history, ("detect", "source")),
)
"""(rule, the sections that it looks at), in the order in which mistakes are told."""
