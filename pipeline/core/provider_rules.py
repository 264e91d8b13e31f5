"""What cannot be said of a provider in the configuration (``[source.provider]``), whichever its items are.

A mask holds whole numbers of one or two bytes: classes, or bits that are set or not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from groundbreak.pipeline.core.sections import MaskConfig, ProviderConfig
from groundbreak.pipeline.core.types import MaskRule

LARGEST = 65_535
"""The largest value of a mask."""

BITS = 16
"""Bits of a mask's value, at most."""

SCALES = (1e-6, 1.0)
"""Least and largest scale that can make reflectance of any digital numbers, whole or not."""

LATTICES = ("source", "zone")


def provider_mistakes(spec: ProviderConfig) -> list[tuple[str, str]]:
    """Find what cannot be in a provider's description.

    Parameters
    ----------
    spec : ProviderConfig

    Returns
    -------
    list of (key, rule that it breaks); the key stands as messages call it ("[source.provider] scale = 0").
    """
    return [*_provider(spec), *(("[source.provider.mask]", rule) for rule in _mask(spec.mask))]


def _provider(spec: ProviderConfig) -> Iterator[tuple[str, str]]:
    """Yield the mistakes beside the mask."""
    if not spec.bands:
        yield "[source.provider] bands", 'must name at least one band, for instance red = "B04"'
    for band, key in spec.bands.items():
        if not isinstance(key, str) or not key:
            yield f"[source.provider.bands] {band} = {key!r}", "must be the key of an asset, a text"
    band = mask_band(spec.mask)
    if spec.bands.get(band, spec.mask.asset) != spec.mask.asset:
        yield "[source.provider.mask] asset", f"{band!r} is a band and the mask at once: name the band otherwise"
    if spec.scale is not None and not SCALES[0] <= spec.scale <= SCALES[1]:
        rule = f"must lie between {SCALES[0]:g} and {SCALES[1]:g}: reflectance is about 0 to 1"
        yield f"[source.provider] scale = {spec.scale:g}", rule
    if spec.offset is not None and not abs(spec.offset) <= 1:
        yield f"[source.provider] offset = {spec.offset:g}", "must lie between -1 and 1: reflectance is about 0 to 1"
    if spec.nodata is not None and math.isinf(spec.nodata):
        yield f"[source.provider] nodata = {spec.nodata:g}", "must be a number, or nan"
    if spec.lattice not in LATTICES:
        yield f"[source.provider] lattice = {spec.lattice!r}", 'must be "source" or "zone"'


def _mask(rule: MaskConfig) -> Iterator[str]:
    """Yield the mistakes of a mask's rule."""
    if not rule.asset:
        yield "asset must not be empty"
    if rule.clear and rule.bits:
        yield "needs either clear (classes that are clear) or bits (bits that are not), and has both"
    if not rule.clear and not rule.bits and not is_scl(rule):
        yield "needs either clear (classes that are clear) or bits (bits that are not), for instance bits = [1, 2]"
    if rule.snow_bits and not rule.bits:
        yield "has snow_bits without bits: where classes are clear, snow names classes, too"
    if rule.snow and rule.bits:
        yield "has snow beside bits: where bits decide, snow_bits names the bits of snow"
    for key, most in (("clear", LARGEST), ("snow", LARGEST), ("bits", BITS - 1), ("snow_bits", BITS - 1)):
        values: Sequence[int] = getattr(rule, key)
        if wrong := sorted({v for v in values if not 0 <= v <= most}):
            yield f"{key} holds {_listed(wrong)}: each must lie between 0 and {most}"
        if twice := sorted({v for v in values if values.count(v) > 1}):
            yield f"{key} holds {_listed(twice)} more than once"
    if both := sorted({*rule.clear} & {*rule.snow}):
        yield f"{_listed(both)} cannot be clear and snow at once"
    yield from _nodata(rule)


def _nodata(rule: MaskConfig) -> Iterator[str]:
    """Yield the mistakes of a mask's nodata."""
    if rule.nodata is None:
        return
    if not 0 <= rule.nodata <= LARGEST:
        yield f"nodata = {rule.nodata} must lie between 0 and {LARGEST}"
    for key in ("clear", "snow"):
        if rule.nodata in getattr(rule, key):
            yield f"nodata = {rule.nodata} is also a value of {key}: no observation cannot be an observation"


def is_scl(rule: MaskConfig) -> bool:
    """Tell whether a mask has Sentinel-2's classes: its asset says so, and nothing else does."""
    return "scl" in rule.asset.lower() and not rule.clear and not rule.bits


def mask_band(rule: MaskConfig) -> str:
    """Return the canonical name of the mask's band: "scl", or what the key of its asset makes."""
    return "scl" if "scl" in rule.asset.lower() else re.sub(r"\W+", "_", rule.asset.lower()).strip("_")


def mask_type(rule: MaskConfig) -> str:
    """Return the type that a mask needs for what its rule names: uint8, or uint16."""
    values, numbers = {*rule.clear, *rule.snow, rule.nodata or 0}, {*rule.bits, *rule.snow_bits, 0}
    # Where every value of a byte is a class, one is left only in two bytes that means no observation.
    return "uint8" if max(values) < 256 and max(numbers) < 8 and len(values) < 256 else "uint16"


def unclear_value(rule: MaskRule, dtype: str) -> int:
    """Choose the value that means no observation in the mask of a cube: one that can be neither clear nor snow.

    Parameters
    ----------
    rule : MaskRule
    dtype : str
        uint8 or uint16.

    Returns
    -------
    int : all bits set where bits decide; otherwise 0, or where that is a class the largest value that is none.
    """
    largest = LARGEST if dtype == "uint16" else 255
    if rule.bits:
        return largest
    taken = {*rule.clear, *rule.snow}
    return next((v for v in range(largest, 0, -1) if v not in taken), 0) if 0 in taken else 0


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")
