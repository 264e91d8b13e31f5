"""Detectors by name. A new one is a folder of its own, a twin in `kernels.twins`, and one entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from groundbreak.kernels.layers import Layers
from groundbreak.kernels.monitoring import alarms
from groundbreak.kernels.phases import detector as phases
from groundbreak.kernels.phases.evidence import MAX_INDICES
from groundbreak.kernels.twins.monitoring import monitor_twin
from groundbreak.kernels.twins.phases import phases_twin
from groundbreak.kernels.types import Ints


class Run(Protocol):
    """How a detector, or its twin, is called."""

    def __call__(
        self,
        values: NDArray[np.float32],
        days: Ints,
        snow: NDArray[np.bool_] | None,
        history_end: int | None,
        params: dict[str, float],
    ) -> Layers:
        """Detect changes of flat pixels.

        Parameters
        ----------
        values : (index, time, pixel) float32, any unit; NaN or infinite = not clear
        days : (time,) int64, days since 1970-01-01, increasing
        snow : (time, pixel) bool, where an observation was masked as snow; or None
        history_end : days since 1970-01-01 after which an onset is sought; or None
        params : every parameter of the detector

        Returns
        -------
        Layers of shape (pixel,).
        """
        ...


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector: its kernel, its slow twin, and its parameters with defaults and meanings."""

    name: str
    """Name by which the detector is chosen."""
    version: int
    """Rises whenever results change: it is part of the detection digest."""
    run: Run
    """The kernel."""
    twin: Run
    """The slow twin, the oracle of the tests."""
    defaults: Mapping[str, float]
    """Every parameter, and its value where none is given."""
    meaning: str
    """What it does, in a line."""
    parameters: Mapping[str, str]
    """What each parameter means, with its unit."""
    check: Callable[[Mapping[str, float]], None]
    """Takes all parameters; raises ValueError where the detector does not accept a value."""
    most_indices: int = 1000
    """How many indices it reads jointly."""


_MONITORING = {
    "level": "share of undisturbed pixels that may alarm before the record ends, 0-1",
    "critical_value": "c of the bound, as published for a level; 0 = calibrated for level, dates and history",
    "harmonics": "harmonics of the year that are fitted to the history, 0-6",
    "trend": "1 to fit a trend as well, 0 not to",
}

DETECTORS: dict[str, Detector] = {
    detector.name: detector
    for detector in (
        Detector(
            name="phases",
            version=7,
            run=phases.run_phases,
            twin=phases_twin,
            defaults={
                "screen": 2.2,
                "belief": 0.76,
                "settled_days": 90.0,
                "confirm_days": 90.0,
                "spike": 5.0,
                "noise_floor": 0.005,
            },
            meaning="baseline | stages of works | settled, by joint likelihood; both dates",
            parameters={
                "screen": "CUSUM of the whole record, in standard deviations and for 200 observations, below which in "
                "every index a pixel is stable; 0 searches every pixel",
                "belief": "least probability that the ground changed for a change to be reported, 0-1",
                "settled_days": "days that a settled phase lasts",
                "confirm_days": "days after an onset before it is no longer provisional",
                "spike": "isolated observations this many noise units off are dropped; 0 keeps all",
                "noise_floor": "smallest standard deviation of an index that is believed, in the index's unit",
            },
            check=phases.check_params,
            most_indices=MAX_INDICES,
        ),
        Detector(
            name="cusum",
            version=2,
            run=alarms.run_monitor,
            twin=monitor_twin,
            defaults={"level": 0.05, "critical_value": 0.0, "harmonics": 2.0, "trend": 1.0},
            meaning="OLS-based CUSUM monitoring of a history's season and trend; an alarm, no halt",
            parameters=_MONITORING,
            check=alarms.check_params,
        ),
        Detector(
            name="mosum",
            version=2,
            run=alarms.run_monitor,
            twin=monitor_twin,
            defaults={"level": 0.05, "critical_value": 0.0, "h": 0.25, "harmonics": 2.0, "trend": 1.0},
            meaning="OLS-based MOSUM monitoring of a history's season and trend; an alarm, no halt",
            parameters={**_MONITORING, "h": "width of the moving window, as a share of the history's observations"},
            check=alarms.check_params,
        ),
    )
}


def resolve(name: str, params: Mapping[str, float]) -> tuple[Detector, dict[str, float]]:
    """Look a detector up and complete its parameters.

    Raises
    ------
    ValueError
        The detector or a parameter is unknown, or a value is not a finite number >= 0 or not one that the detector
        takes.
    """
    if name not in DETECTORS:
        raise ValueError(f"detector {name!r}: not in the registry; use one of {', '.join(DETECTORS)}")
    detector = DETECTORS[name]
    for key, value in params.items():
        if key not in detector.defaults:
            raise ValueError(
                f"parameter {key!r}: unknown to detector {name!r}; use one of {', '.join(detector.defaults)}"
            )
        if not isinstance(value, (int, float)) or not np.isfinite(value) or value < 0:
            raise ValueError(f"parameter {key!r}: {value!r} is not a finite number >= 0; change it")
    complete = {**detector.defaults, **params}
    detector.check(complete)
    return detector, complete
