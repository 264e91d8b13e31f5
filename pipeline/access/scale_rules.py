"""What reflectance is multiplied by: a scale is believed only where numbers of its kind can be reflectance with it.

Tools that describe files copy scale 1 and offset 0 from files that tell neither. Whole numbers with scale 1 would be
reflectance of some thousands, which a cube clips: the same value on every date, and so ground that never changes.
"""

from __future__ import annotations

from groundbreak.pipeline.access.offset_rules import Unusable
from groundbreak.pipeline.access.provider import Provider

LEAST_SCALE = 1e-6
"""The least scale that is believed: with a smaller one, no number of two bytes comes to a reflectance of 0.07."""

LARGEST_SCALES = {"integer": 0.02, "float": 1.0, "": 1.0}
"""Kind of numbers -> the largest scale that is believed. Per cent in whole numbers have 0.01, reflectance itself 1."""

LANDSAT_SCALE = 2.75e-5
"""The scale of Landsat's Collection 2, whose reflectance always has an offset."""


def reflectance_scale(provider: Provider, band: str, declared: float | None, kind: str) -> float:
    """Return the scale of a band's reflectance.

    Parameters
    ----------
    provider : Provider
    band : str
        Canonical name of the band, for messages.
    declared : float or None
        The scale that the asset declares.
    kind : str
        The kind of its numbers: integer, float, or "" where it is not told.

    Raises
    ------
    Unusable
        No scale is told, or one that cannot be right.
    """
    own = provider.scale
    if provider.fixed_scale is not None:
        scale = provider.fixed_scale
    elif declared is None and own is None:
        raise Unusable("scale_unknown", f"{band} declares no scale, and {provider.name} has no other")
    elif declared is None:
        assert own is not None
        return own
    else:
        scale = declared
        one_product = provider.collections or provider.ids
        if own is not None and one_product and not abs(scale - own) <= 1e-3 * own:
            raise Unusable("scale_unknown", f"{band} declares scale {scale:g}, but {provider.name} has {own:g}")
    if why := unbelievable(scale, kind):
        raise Unusable("scale_unknown", f"{band}: {why}")
    return scale


def is_landsat_scale(scale: float) -> bool:
    """Tell whether a scale is that of Landsat's Collection 2, beside which an offset of 0 cannot be right."""
    return abs(scale - LANDSAT_SCALE) < 1e-3 * LANDSAT_SCALE


def unbelievable(scale: float, kind: str) -> str:
    """Tell why numbers of a kind (integer, float or "") cannot be reflectance with a scale; "" where they can."""
    if LEAST_SCALE <= scale <= LARGEST_SCALES[kind]:
        return ""
    if kind == "integer" and scale == 1:
        return "scale 1 on whole numbers, as tools copy it from a file that tells none, is no scale of reflectance"
    return f"scale {scale:g} is no scale of reflectance" + (" in whole numbers" if kind == "integer" else "")
