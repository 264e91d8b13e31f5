"""What tasks leave behind: completion records, and the faults that they met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong with one asset of one region, kept by name."""

    region: str
    """Key of the region."""
    observation: str
    """Id of the observation."""
    item: str
    """Id of the item, or ""."""
    band: str
    href: str
    """Href of the asset, without signatures."""
    error: str
    """What the last attempt met."""
    attempts: int
    """How many attempts were made."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a finished task leaves behind, written after its data."""

    task: str
    """Name of the task: "build/<region>/s0003" or "detect/<region>"."""
    state: str
    """done, failed, or quarantined (it kills workers); started while it is replaced; dropped if not kept any more."""
    identity: str
    """Digest of all that the task's output depends on; a record with another identity is stale."""
    attempts: int
    """How often the task was tried."""
    started: str
    """UTC, ISO."""
    seconds: Mapping[str, float]
    """Wall seconds: total; read and write, for which the task waited for that; waited, for a host in trouble."""
    bytes_written: int
    """Bytes of the objects that it wrote, as stored."""
    pixels: int
    """Pixels that were built, of all bands and observations, or detected on."""
    checksums: Mapping[str, str]
    """Key of an object that was written -> its CRC-32."""
    faults: tuple[Fault, ...] = ()
    error: str = ""
    """What the task failed with, or ""."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Figures worth keeping: pixels by status, clear observations..."""
    dark: tuple[int, ...] = ()
    """Dark level of each observation that a building task built, reflectance x 10000."""
    offsets: tuple[int, ...] = ()
    """Offset that each observation of a building task was taken to carry, reflectance x 10000."""
    beyond: tuple[int, ...] = ()
    """Share of each observation's pixels, in its worst band, whose reflectance is none, in thousandths; -1 unknown."""
    bright: tuple[int, ...] = ()
    """Bright level of each observation that a building task built, reflectance x 10000."""
    lease: int = 0
    """Number of the lease under which it was written."""
    stamp: str = ""
    """Digest of the tags that the storage gave to the objects: it tells whether one of them was written again."""
    bytes_read: int = 0
    """Bytes of the source's files that came, those of failed attempts included."""
    requests: int = 0
    """How often a part of a file was asked for."""
    retries: int = 0
    """Attempts to read an asset that were not the first."""
