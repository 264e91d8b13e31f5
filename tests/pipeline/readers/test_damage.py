"""Bits that flip on their way: what a checksum, or the length of a block, can show of them, and what nothing can."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from numcodecs import Zstd

from groundbreak.pipeline.readers.blocks import BlockPart, decode
from groundbreak.pipeline.readers.cog import Blocks

SIDE = 128
BLOCKS = Blocks((SIDE, SIDE), True, "<u2", "deflate", 1, np.array([0]), np.array([1]))
PARTS = [(0, SIDE), (0, 1), (0, 40), (60, 61), (100, SIDE)]
"""First row and the row after the last of a block that a window takes."""
ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "deflate": lambda raw: zlib.compress(raw, 6),
    "stored": lambda raw: zlib.compress(raw, 0),
    "zstd with a checksum": lambda raw: bytes(Zstd(level=9, checksum=True).encode(raw)),
    "zstd": lambda raw: bytes(imagecodecs.zstd_encode(raw, level=9)),
    "lzw": lambda raw: bytes(imagecodecs.lzw_encode(raw)),
    "none": bytes,
}
CODING = {"stored": "deflate", "zstd with a checksum": "zstd"}


def ground(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (1000 + rng.integers(0, 30, (SIDE, SIDE)).cumsum(1) // 8).astype("<u2")


def flips(name: str, count: int) -> tuple[int, int]:
    """Flip single bits of a block; return how many of them do harm to a window, and how many of these are shown."""
    values, rng = ground(len(name)), np.random.default_rng(count)
    coded = ENCODE[name](values.tobytes())
    blocks = dataclasses.replace(BLOCKS, coding=CODING.get(name, name))
    harmful = shown = 0
    for number in range(count):
        damaged = bytearray(coded)
        at = int(rng.integers(0, 8 * len(coded)))
        damaged[at // 8] ^= 1 << at % 8
        top, bottom = PARTS[number % len(PARTS)]
        part = BlockPart(0, SIDE, top, 0, (slice(0, bottom - top), slice(0, SIDE)))
        try:
            got = decode(memoryview(damaged), blocks, part)
        except ValueError:
            harmful, shown = harmful + 1, shown + 1
        else:
            harmful += not np.array_equal(got, values[:bottom])
    return harmful, shown


@pytest.mark.parametrize("name", ["deflate", "stored", "zstd with a checksum"])
def test_what_a_checksum_shows_is_shown_however_little_is_wanted(name: str) -> None:
    harmful, shown = flips(name, 600)
    assert harmful > 570  # a flip in a field that tells no more than a speed does no harm
    assert shown == harmful


@pytest.mark.parametrize(("name", "least"), [("zstd", 0.2), ("lzw", 0.5)])
def test_without_a_checksum_the_length_shows_a_part(name: str, least: float) -> None:
    harmful, shown = flips(name, 600)
    assert least * harmful < shown < harmful


def test_nothing_shows_damage_in_what_is_not_packed() -> None:
    assert flips("none", 100)[1] == 0


@pytest.mark.parametrize("name", ["deflate", "zstd", "lzw"])
@pytest.mark.parametrize("rows", [SIDE - 1, SIDE + 1, 40 * SIDE])
def test_a_block_of_another_length_is_refused(name: str, rows: int) -> None:
    """However much longer: no more memory is taken than a block has."""
    coded = ENCODE[name](np.zeros((rows, SIDE), "<u2").tobytes())
    for top, bottom in PARTS:
        part = BlockPart(0, SIDE, top, 0, (slice(0, bottom - top), slice(0, SIDE)))
        with pytest.raises(ValueError, match=r"cannot be decoded|instead of"):
            decode(memoryview(coded), dataclasses.replace(BLOCKS, coding=name), part)
