"""What the files say of numbers, before a pixel is read: the type of a configured mask, and scales that cannot be.

The provider table knows the type of its masks. Of a mask that the configuration describes, the files tell it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from groundbreak.pipeline.access.hrefs import redact
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import ReadError
from groundbreak.pipeline.access.scale_rules import unbelievable
from groundbreak.pipeline.core.provider_rules import mask_type, unclear_value
from groundbreak.pipeline.core.sections import MaskConfig
from groundbreak.pipeline.core.types import BadInput, Mask, Scene
from groundbreak.pipeline.readers.cog import Cog, NotByBlocks
from groundbreak.pipeline.readers.gdal import read_info
from groundbreak.pipeline.readers.headers import Headers, header_key
from groundbreak.pipeline.stac.screening import ScreenedItems

LOG = logging.getLogger(__name__)


def settle_mask(screened: ScreenedItems, known: Headers, access: Access) -> Mask:
    """Settle the type of the mask, and its value that means no observation, by what the files say.

    Parameters
    ----------
    screened : ScreenedItems
    known : Headers
        The headers that are known.
    access : Access
        How the header of a file is reached that is not read block by block.

    Returns
    -------
    Mask, of uint16 where some file holds more than a byte.

    Raises
    ------
    BadInput
        A file holds no whole numbers of one or two bytes; the rule names values or bits that no file can hold; what a
        file or an item calls no observation is clear by the rule; or no header can be read.
    """
    mask, rule = screened.mask, screened.provider.mask_rule
    if rule is None:
        return mask
    dtypes = dict(_dtypes(screened.scenes, mask.band, known, access))
    for dtype, scene in dtypes.items():
        _demand_whole_numbers(np.dtype(dtype), rule, scene)
    if not dtypes:
        text = (
            f"no header of {len(screened.scenes)} masks can be read, and they tell whether a mask holds a byte or two"
        )
        raise BadInput(f"asset {rule.asset!r}", text, "Check the hrefs, keys and network; see [source]")
    mask = _fitted(mask, rule, dtypes)
    _demand_unclear_fills(screened.scenes, mask, rule, known)
    return mask


def _dtypes(scenes: Sequence[Scene], band: str, known: Headers, access: Access) -> Iterator[tuple[str, Scene]]:
    """Yield the types of the mask's files, by their headers, each with the last scene of that type.

    Files that are not read block by block tell no type there. The first of them that can be read is asked.
    """
    asked = False
    for scene in scenes:
        asset = scene.assets[band]
        header = known.get(header_key(asset, scene))
        if isinstance(header, Cog):
            yield np.dtype(header.blocks.dtype).newbyteorder("=").name, scene
        elif not asked and (isinstance(header, NotByBlocks) or asset.driver != "GTiff"):
            try:
                yield read_info(asset, access).dtype, scene
                asked = True
            except ReadError:  # its task reads it again, and makes a fault of it
                continue


def _demand_whole_numbers(dtype: np.dtype[np.generic], rule: MaskConfig, scene: Scene) -> None:
    """Raise BadInput for a file whose numbers cannot be those of a mask."""
    what = f"item {scene.id}, asset {rule.asset!r}"
    if dtype.kind not in "ui":
        text = f"holds {dtype.name}, and a mask holds classes or bits, which are whole numbers"
        raise BadInput(what, text, "Write the masks as uint8 or uint16")
    if rule.bits and dtype.itemsize > 2:
        raise BadInput(what, f"holds {dtype.name}, and bits are read of one or two bytes", "Write the masks as uint16")


def _fitted(mask: Mask, rule: MaskConfig, dtypes: dict[str, Scene]) -> Mask:
    """Return the mask in the type that holds its files; raise BadInput where they cannot hold what the rule names."""
    most = min(max(np.iinfo(dtype).max for dtype in dtypes), 65_535)
    widest = max(dtypes, key=lambda dtype: np.iinfo(dtype).max)
    for key in ("clear", "snow", "bits", "snow_bits"):
        beyond = [v for v in getattr(rule, key) if (v if "bits" not in key else 1 << v) > most]
        if beyond:
            rule_text = f"cannot be in the masks, which hold {widest} (item {dtypes[widest].id}, asset {rule.asset!r})"
            what = f"[source.provider.mask] {key} = {beyond}"
            raise BadInput(what, rule_text, "Name values of these files, or the asset that holds them")
    dtype = "uint16" if most > 255 else mask_type(rule)
    return replace(mask, dtype=dtype, nodata=unclear_value(rule, dtype) if rule.nodata is None else rule.nodata)


def _demand_unclear_fills(scenes: Sequence[Scene], mask: Mask, rule: MaskConfig, known: Headers) -> None:
    """Raise BadInput where a file, or an item, calls a value no observation that is one by the rule."""
    named = {*rule.clear, *rule.snow}
    if rule.bits and rule.nodata != 0:
        named = {0}  # no bit is set: clear, if ever a pixel is
    told = {scene.assets[mask.band].nodata for scene in scenes}
    if len(told) > 1:
        LOG.warning("items tell different values of no observation for the mask: %s", sorted(map(str, told)))
    for scene in scenes:
        asset = scene.assets[mask.band]
        header = known.get(header_key(asset, scene))
        fills = {"its item": asset.nodata, "its file": header.nodata if isinstance(header, Cog) else None}
        for who, fill in fills.items():
            if fill in named:
                text = f"{who} says that {fill:g} is no observation, and by [source.provider.mask] it is clear or snow"
                remedy = "Mend the rule, or take the nodata out of the file (gdal_edit -unsetnodata)"
                if who == "its item":
                    remedy = "Mend the rule, or say in its nodata which value means no observation"
                raise BadInput(f"item {scene.id}, asset {rule.asset!r}", text, remedy)


def demand_scales(scenes: Sequence[Scene], bands: Sequence[str], known: Headers) -> None:
    """Raise BadInput where a file holds whole numbers that cannot be reflectance with the scale that is told.

    Items may leave out of what kind their numbers are, or say it wrongly; the file's header knows.

    Parameters
    ----------
    scenes : sequence of Scene
    bands : sequence of str
        The bands of reflectance.
    known : Headers
        The headers that are known.
    """
    for scene in scenes:
        for band in bands:
            asset = scene.assets[band]
            header = known.get(header_key(asset, scene))
            # JPEG 2000 holds whole numbers alone.
            whole = isinstance(header, NotByBlocks) and asset.driver == "JP2OpenJPEG"
            if isinstance(header, Cog):
                whole = np.dtype(header.blocks.dtype).kind != "f"
            if not whole:
                continue
            if why := unbelievable(asset.scale, "integer"):
                remedy = "Say what the numbers mean: set [source.provider] scale and offset"
                raise BadInput(f"item {scene.id}, asset of {band}", f"{why} ({redact(asset.href)})", remedy)
