"""The rules of a configuration that the type of a key cannot express: one function for each section.

Each takes the sections that it needs and a `Mistakes`, which hears of all that is wrong.
"""

from __future__ import annotations

import math
import re

import numpy as np

from groundbreak.kernels import DETECTORS, bands_of
from groundbreak.kernels.indices import BANDS
from groundbreak.kernels.registry import resolve
from groundbreak.pipeline.core.mistakes import BadInput, Mistakes
from groundbreak.pipeline.core.provider_rules import provider_mistakes
from groundbreak.pipeline.core.section_reader import check_known
from groundbreak.pipeline.core.sections import (
    AreaConfig,
    CubeConfig,
    DetectConfig,
    OutputConfig,
    ProviderConfig,
    RunConfig,
    SourceConfig,
)

MOST = {"region": 65_536, "slab": 10_000, "attempts": 100}
"""Whole number of the configuration -> the most that it may be: what lies above is a slip."""

LONGEST_PATIENCE = 30 * 86_400.0
"""Seconds; whoever waits longer for a host has mistaken the unit."""

_DAY = r"\d{4}(-\d\d(-\d\d)?)?"
_MOMENT = re.compile(rf"{_DAY}([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|\+00:?00)?")


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
    wrong = BadInput(
        f"[source] datetime = {text!r}",
        'must be "start/end" in ISO dates or UTC times, start first',
        'Write for instance datetime = "2020-01-01/2024-12-31"',
    )
    parts = [part.strip() for part in text.split("/")]
    if len(parts) != 2 or not all(_MOMENT.fullmatch(part) for part in parts):
        raise wrong
    try:
        start, end = (np.datetime64(re.sub(r"(Z|\+00:?00)$", "", part)) for part in parts)
    except ValueError:
        raise wrong from None
    unit = np.datetime_data(end.dtype)[0]
    if unit in ("Y", "M", "D"):
        end = (end + np.ones((), f"timedelta64[{unit}]")).astype("datetime64[ms]") - np.timedelta64(1, "ms")
    start, end = start.astype("datetime64[ms]"), end.astype("datetime64[ms]")
    if start > end:
        raise wrong
    return start, end


def check_area(area: AreaConfig, mistakes: Mistakes) -> None:
    """Check which area is looked at."""
    mistakes.need((area.bbox is None) != (area.geometry is None), "[area]", "needs either bbox or geometry")
    if area.bbox is not None:
        w, s, e, n = area.bbox if len(area.bbox) == 4 else (0, 0, 0, 0)
        good = -180 <= w <= 180 and -180 <= e <= 180 and -90 <= s < n <= 90 and w != e
        rule = "must be [west, south, east, north] in degrees and hold some area"
        mistakes.need(good, f"[area] bbox = {list(area.bbox)}", rule)


def check_source(source: SourceConfig, mistakes: Mistakes) -> None:
    """Check which items are read, and what they mean."""
    mistakes.need((source.items is None) != (source.catalog is None), "[source]", "needs either items or catalog")
    needs = source.catalog is None or bool(source.collection)
    mistakes.need(needs, "[source] catalog", "needs a collection beside it")
    with mistakes.caught():
        parse_span(source.datetime)
    for name in ("catalog", "s3_endpoint"):
        _check_url(f"[source] {name}", getattr(source, name), mistakes)
    if source.provider is not None:
        _check_provider(source.provider, mistakes)


def _check_url(what: str, text: str | None, mistakes: Mistakes) -> None:
    good = text is None or re.match(r"https?://[^/]", text, re.IGNORECASE) is not None
    mistakes.need(good, f"{what} = {text!r}", "must be an address that begins with http:// or https://")


def _check_provider(provider: ProviderConfig, mistakes: Mistakes) -> None:
    """Check what is said of a provider by itself; which bands are needed is not known here."""
    for what, rule in provider_mistakes(provider):
        mistakes.need(False, what, rule)
    _check_url("[source.provider] token_url", provider.token_url, mistakes)


def check_bands(cube: CubeConfig, detect: DetectConfig, source: SourceConfig, mistakes: Mistakes) -> None:
    """Check that every band is known, and that a configured provider has all that are needed."""
    provided = source.provider.bands if source.provider is not None else {}
    for band in cube.bands:
        with mistakes.caught():
            _known_band(band, {*BANDS, *provided}, f"[cube] bands = {list(cube.bands)}")
    for band in provided:
        with mistakes.caught():
            _known_band(str(band), {*BANDS, *cube.bands}, f"[source.provider] bands, {band!r}")
    try:
        needed = {*bands_of(detect.indices), *cube.bands}
    except ValueError:
        return  # an unknown index, which is told as such
    missing = sorted(needed - set(provided)) if provided else []
    rule = f"has no {', '.join(missing)}, which [detect] indices and [cube] bands need"
    mistakes.need(not missing, "[source.provider] bands", rule, "Name their assets, or choose other indices")


def _known_band(band: str, known: set[str], what: str) -> None:
    """Raise BadInput for a band that nobody knows."""
    try:
        check_known(band, known, what)
    except BadInput as error:
        rule = f"{band!r} is not a band; the bands are {', '.join(sorted(known))}"
        raise BadInput(what, rule, error.remedy) from None


def check_cube(cube: CubeConfig, mistakes: Mistakes) -> None:
    """Check how cubes are laid out."""
    good = cube.resolution is None or (cube.resolution > 0 and math.isfinite(cube.resolution))
    mistakes.need(good, f"[cube] resolution = {cube.resolution}", "must be positive, in metres")
    for name in ("region", "slab"):
        _check_count("cube", name, getattr(cube, name), mistakes)


def _check_count(section: str, name: str, value: int | None, mistakes: Mistakes) -> None:
    rule = f"must be positive, and at most {MOST[name]}"
    mistakes.need(value is None or 0 < value <= MOST[name], f"[{section}] {name} = {value}", rule)


def check_detect(detect: DetectConfig, mistakes: Mistakes) -> None:
    """Check what is looked for: detector, indices, parameters."""
    known = detect.detector in DETECTORS
    what = f"[detect] detector = {detect.detector!r}"
    mistakes.need(known, what, f"must be one of {sorted(DETECTORS)}")
    mistakes.need(bool(detect.indices), "[detect] indices", "must name at least one index")
    for index in detect.indices:
        try:
            bands_of([index])
        except ValueError as error:
            mistakes.need(False, f"[detect] indices = {list(detect.indices)}", str(error))
    twice = len(set(detect.indices)) < len(detect.indices)
    mistakes.need(not twice, f"[detect] indices = {list(detect.indices)}", "must name each index once")
    if known:
        _check_params(detect, mistakes)
    if detect.history_end is not None and not _is_day(detect.history_end):
        mistakes.need(False, f"[detect] history_end = {detect.history_end!r}", "must be an ISO date")
    good = detect.min_area_m2 >= 0 and math.isfinite(detect.min_area_m2)
    mistakes.need(good, f"[detect] min_area_m2 = {detect.min_area_m2}", "must not be negative, and be finite")


def _check_params(detect: DetectConfig, mistakes: Mistakes) -> None:
    """Check each parameter of the detector by itself, and then those that are good together."""
    defaults = DETECTORS[detect.detector].defaults
    rule = f"is not a parameter of {detect.detector!r}; its parameters are {', '.join(sorted(defaults))}"
    for name, value in detect.params.items():
        mistakes.need(name in defaults, f"[detect.params] {name}", rule)
        if name in defaults:
            try:
                resolve(detect.detector, {name: value})
            except (ValueError, TypeError) as error:  # NumPy says TypeError of whole numbers beyond all floats
                text = str(error) if isinstance(error, ValueError) else "must be a finite number >= 0"
                mistakes.need(False, f"[detect.params] {name} = {value!r}", text)


def _is_day(text: str) -> bool:
    try:
        return re.fullmatch(_DAY, text) is not None and not np.isnat(np.datetime64(text, "D"))
    except ValueError:
        return False


def check_history(detect: DetectConfig, source: SourceConfig, mistakes: Mistakes) -> None:
    """Check that the history ends within the dates: before them it would do nothing, behind them nothing is left."""
    if detect.history_end is None or not _is_day(detect.history_end):
        return
    try:
        first, last = parse_span(source.datetime)
    except BadInput:
        return  # told as such
    good = first <= np.datetime64(detect.history_end, "D") < last
    rule = f"must lie within [source] datetime = {source.datetime!r}"
    mistakes.need(good, f"[detect] history_end = {detect.history_end!r}", rule)


def check_run(run: RunConfig, mistakes: Mistakes) -> None:
    """Check how faults are dealt with."""
    _check_count("run", "attempts", run.attempts, mistakes)
    good = 0 <= run.patience <= LONGEST_PATIENCE
    rule = f"must not be negative, and at most {LONGEST_PATIENCE:.0f} s"
    mistakes.need(good, f"[run] patience = {run.patience}", rule)
    mistakes.need(run.deadline > 0, f"[run] deadline = {run.deadline}", "must be more than 0 s")
    rule = "must lie between 0 and 1"
    mistakes.need(0 <= run.fault_threshold <= 1, f"[run] fault_threshold = {run.fault_threshold}", rule)


def check_output(output: OutputConfig, mistakes: Mistakes) -> None:
    """Check where results go, without looking there."""
    mistakes.need(bool(output.path.strip()), "[output] path", "is required")
    scheme = output.path.partition("://")[0].lower() if "://" in output.path else ""
    good = scheme in ("", "s3", "gs", "az") and (not scheme or bool(output.path.partition("://")[2].strip("/")))
    rule = "must be a folder, or s3://bucket/prefix (gs:// and az:// alike)"
    mistakes.need(good, f"[output] path = {output.path!r}", rule)
