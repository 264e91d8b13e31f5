"""The errors that say that pixels contradict what their numbers are taken to mean."""

from __future__ import annotations

from groundbreak.pipeline.compute.offsets import BELIEVABLE, BRIGHT_LEVEL, OFFSET_CHANGE, Disbelief, Step
from groundbreak.pipeline.core.types import REFLECTANCE_SCALE, BadInput, Region


def unbelievable(region: Region, doubt: Disbelief, item: str) -> BadInput:
    """Make the error that says that no ground has the reflectance that is read."""
    low, high = (edge * REFLECTANCE_SCALE for edge in BELIEVABLE)
    what = f"most clear pixels of some band lie below {low:g} or above {high:g}"
    if doubt.too_dark:
        what = f"even the brightest pixels lie below {BRIGHT_LEVEL * REFLECTANCE_SCALE:g}"
    rule = f"in {doubt.count} of {doubt.of} observations {what}, which no ground reflects; the first is {item}"
    remedy = (
        "Say what the numbers mean in [source.provider] scale and offset, and run with --rebuild; or take them as they "
        "are with [source] accept_offset_step = true"
    )
    return BadInput(f"the reflectance of {region.key}", rule, remedy)


def contradicting(region: Region, step: Step) -> BadInput:
    """Make the error that says that dark pixels contradict the metadata."""
    day = str(OFFSET_CHANGE.astype("datetime64[D]"))
    rule = (
        f"dark pixels of {step.count} observations since {step.since}, which are taken to carry an offset of "
        f"{step.offset:g}, lie {abs(step.size):.3f} {'above' if step.size > 0 else 'below'} those from before {day}: "
        "the pixels contradict the metadata"
    )
    remedy = (
        "Mend the items' offsets, or say them in [source.provider], and run with --rebuild; or take them as they are "
        "with [source] accept_offset_step = true"
    )
    return BadInput(f"the items of {region.key}", rule, remedy)
