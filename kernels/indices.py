"""Spectral indices: one entry each in `INDICES`. A single band is an index of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Reflectance = NDArray[np.float32]

BANDS = (
    "coastal",
    "blue",
    "green",
    "red",
    "rededge1",
    "rededge2",
    "rededge3",
    "nir",
    "nir08",
    "nir09",
    "swir16",
    "swir22",
)
"""Canonical band names."""

DEFAULT_INDICES = ("ndvi", "bsi", "swir")
"""Read jointly by default: vegetation, bare soil, and brightness (deserts have no vegetation)."""


@dataclass(frozen=True, slots=True)
class Index:
    """A spectral index."""

    name: str
    """Name by which the index is chosen."""
    bands: tuple[str, ...]
    """Canonical names of the bands that it needs."""
    formula: Callable[..., Reflectance]
    """Takes their reflectance arrays, in that order."""
    meaning: str
    """What a high value shows."""
    source: str
    """Where the formula was published."""


def _ratio(numerator: Reflectance, denominator: Reflectance) -> Reflectance:
    """Divide, with NaN where the denominator is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):  # a division that skips elements takes three times as long
        out = np.asarray(np.divide(numerator, denominator, dtype=np.float32))
    if (zero := np.equal(denominator, 0)).any():
        out[zero] = np.nan
    return out


def _difference(a: Reflectance, b: Reflectance) -> Reflectance:
    """Compute the normalised difference (a - b) / (a + b)."""
    return _ratio(a - b, a + b)


def _bare_soil(blue: Reflectance, red: Reflectance, nir: Reflectance, swir16: Reflectance) -> Reflectance:
    """Compute the bare-soil index (Rikimaru et al. 2002)."""
    return _ratio((swir16 + red) - (nir + blue), (swir16 + red) + (nir + blue))


def _itself(band: Reflectance) -> Reflectance:
    """Return the band."""
    return band


def _brightness(blue: Reflectance, green: Reflectance, red: Reflectance, nir: Reflectance) -> Reflectance:
    """Compute the mean of the 10 m bands."""
    return np.asarray((blue + green + red + nir) / np.float32(4), np.float32)


INDICES: dict[str, Index] = {
    index.name: index
    for index in (
        Index("ndvi", ("nir", "red"), _difference, "green vegetation", "Rouse et al. 1974"),
        Index(
            "bsi",
            ("blue", "red", "nir", "swir16"),
            _bare_soil,
            "bare soil against vegetation",
            "Rikimaru et al. 2002",
        ),
        Index("swir", ("swir16",), _itself, "short-wave infrared brightness", "band itself"),
        Index("ndbi", ("swir16", "nir"), _difference, "built-up ground", "Zha et al. 2003"),
        Index("ndwi", ("green", "nir"), _difference, "open water", "McFeeters 1996"),
        Index("mndwi", ("green", "swir16"), _difference, "open water near buildings", "Xu 2006"),
        Index("nbr", ("nir", "swir22"), _difference, "burnt or cleared ground", "Key & Benson 2006"),
        Index(
            "brightness",
            ("blue", "green", "red", "nir"),
            _brightness,
            "mean of the 10 m bands",
            "mean of bands",
        ),
    )
}


def _lookup(name: str) -> Index:
    """Look up an index, or a band as an index of itself."""
    if name in INDICES:
        return INDICES[name]
    if name in BANDS:
        return Index(name, (name,), _itself, "the band itself", "band itself")
    raise ValueError(
        f"index {name!r}: an index must be an entry of INDICES or a band name; "
        f"use one of {', '.join((*INDICES, *BANDS))}"
    )


def bands_of(names: Iterable[str]) -> tuple[str, ...]:
    """List the bands that the indices ``names`` need, each once, in canonical order.

    Raises
    ------
    ValueError
        A name is neither an index nor a band.
    """
    needed = {band for name in names for band in _lookup(name).bands}
    return tuple(band for band in BANDS if band in needed)


def compute_index(name: str, bands: Mapping[str, Reflectance]) -> Reflectance:
    """Compute one index.

    Parameters
    ----------
    name : str
        An entry of `INDICES`, or a band name.
    bands : mapping of str to (...) float32, reflectance 0-1
        At least the bands that the index needs, all of one shape; NaN stays NaN.

    Returns
    -------
    (...) float32, unitless; NaN where a band is NaN or the denominator is zero.

    Raises
    ------
    ValueError
        The index is unknown, or one of its bands is missing.
    """
    index = _lookup(name)
    missing = [band for band in index.bands if band not in bands]
    if missing:
        raise ValueError(
            f"index {name!r}: every band of its formula must be given, {', '.join(missing)} "
            "is not; add it or choose another index"
        )
    return index.formula(*(np.asarray(bands[band], np.float32) for band in index.bands))
