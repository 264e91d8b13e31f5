"""What is added to reflectance: providers disagree about the offset of Sentinel-2's processing baseline 04.00.

The rule of a provider decides by the item's properties, by what the asset declares and by the processing baseline. An
item whose metadata contradict each other is not used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

OffsetRule = Callable[[Mapping[str, Any], float | None, str], float | None]
"""(properties of the item, offset that the asset declares, processing baseline) -> the offset of reflectance.

None where neither the item nor the configuration tells it.
"""


class Unusable(Exception):
    """An item cannot be used.

    Parameters
    ----------
    reason : str
        A key of `pipeline.stac.screening.REASONS`.
    detail : str
        What was seen in the item.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def baseline_offset(baseline: str) -> float | None:
    """Return the offset that ESA gives reflectance in a Sentinel-2 processing baseline.

    Baseline 04.00 (from 25 January 2022, and all reprocessing since, 05.xx) moved the digital numbers by +1000, so that
    dark pixels stay positive. 99.99 marks products of somebody's own Sen2Cor, and tells nothing about the offset.

    Parameters
    ----------
    baseline : str
        The processing baseline ("05.10").

    Returns
    -------
    float, -0.1 or 0; None where the baseline does not tell it.
    """
    match = re.fullmatch(r"(\d\d)\.(\d\d)", baseline)
    if match is None or int(match[1]) >= 90:
        return None
    return -0.1 if int(match[1]) >= 4 else 0.0


def declared_offset(_properties: Mapping[str, Any], declared: float | None, baseline: str) -> float:
    """Decide an offset by what the asset declares and by the processing baseline.

    A declared offset that contradicts the baseline is refused, neither believed nor mended: the metadata of that item
    are wrong in one of two ways, and a wrong guess would put a false step of 0.1 or more into every series.

    Parameters
    ----------
    _properties : mapping
        Not looked at: every `OffsetRule` is given the properties of the item.
    declared : float or None
        The offset that the asset declares.
    baseline : str
        The processing baseline ("05.10"), or "".

    Returns
    -------
    float, what the baseline says; the declared offset where the baseline says nothing.

    Raises
    ------
    Unusable
        The two contradict each other, or neither is known.
    """
    expected = baseline_offset(baseline)
    if expected is None:
        if declared is None:
            detail = f"no declared offset, and processing baseline {baseline!r}"
            raise Unusable("offset_unknown", detail)
        return declared
    if declared is not None and abs(declared - expected) > 1e-9:
        detail = f"declares offset {declared:g}, but baseline {baseline} has {expected:g}"
        raise Unusable("offset_contradicts_baseline", detail)
    return expected


def earth_search_offset(properties: Mapping[str, Any], declared: float | None, baseline: str) -> float:
    """Decide the offset of an asset of Earth Search.

    Earth Search took the offset out of the pixels where an item's properties say so, but left it in raster:bands.

    Parameters
    ----------
    properties : mapping
        The properties of the item.
    declared : float or None
        The offset that the asset declares.
    baseline : str
        The processing baseline ("05.10"), or "".

    Raises
    ------
    Unusable
        The declared offset contradicts the baseline, or neither is known.
    """
    if properties.get("earthsearch:boa_offset_applied") is True:
        return 0.0
    return declared_offset(properties, declared, baseline)


def product_offset(
    own: float, product: str, _properties: Mapping[str, Any], declared: float | None, _baseline: str
) -> float:
    """Return the offset that all reflectance of a product has, which some catalogues leave out.

    Parameters
    ----------
    own : float
        The product's offset.
    product : str
        Name of the product, for messages.
    _properties : mapping
        Not looked at: every `OffsetRule` is given the properties of the item.
    declared : float or None
        The offset that the asset declares.
    _baseline : str
        Not looked at: every `OffsetRule` is given the processing baseline.

    Raises
    ------
    Unusable
        The asset declares another offset.
    """
    if declared is not None and abs(declared - own) > 1e-9:
        raise Unusable("offset_contradicts_product", f"declares offset {declared:g}, but {product} has {own:g}")
    return own


def plain_offset(
    fixed: float | None, _properties: Mapping[str, Any], declared: float | None, _baseline: str
) -> float | None:
    """Decide the offset of a provider that the configuration describes.

    Parameters
    ----------
    fixed : float or None
        The offset that the configuration gives.
    _properties : mapping
        Not looked at: every `OffsetRule` is given the properties of the item.
    declared : float or None
        The offset that the asset declares.
    _baseline : str
        Not looked at: every `OffsetRule` is given the processing baseline.

    Returns
    -------
    float, the configuration's offset, else the asset's; None where neither tells one.
    """
    return declared if fixed is None else fixed
