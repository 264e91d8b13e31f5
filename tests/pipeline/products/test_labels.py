"""Labelling block by block against labelling the whole array at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from groundbreak.pipeline.products.labels import EIGHT, BlockLabels, Components, join_blocks, label_block


def _label(raster: np.ndarray, side: int, blocks: list[tuple[int, int]] | None = None) -> tuple[Components, np.ndarray]:
    """Label a raster block by block; return the components, and the whole raster of their numbers."""
    if blocks is None:
        blocks = [(r, c) for r in range(-(-raster.shape[0] // side)) for c in range(-(-raster.shape[1] // side))]

    def part(block: tuple[int, int]) -> tuple[slice, slice]:
        return np.s_[block[0] * side : (block[0] + 1) * side, block[1] * side : (block[1] + 1) * side]

    labelled = [label_block(block, side, raster[part(block)]) for block in sorted(blocks)]
    components = join_blocks(found for _, found in labelled)
    whole = np.full(raster.shape, -1)
    for local, found in labelled:
        whole[part(found.block)] = np.concatenate([[-1], components.of_block(found.block)])[local]
        _check_border(components, found, local)
    return components, whole


def _check_border(components: Components, found: BlockLabels, local: np.ndarray) -> None:
    """Check which labels of a block reach its border, and what they belong to."""
    inner = np.pad(local[1:-1, 1:-1], 1)[: local.shape[0], : local.shape[1]] if min(local.shape) > 2 else local * 0
    labels, numbers = components.at_border(found.block)
    assert set(labels.tolist()) == set(local[local != inner].tolist())
    assert numbers.tolist() == components.of_block(found.block)[labels - 1].tolist()


@settings(max_examples=60, deadline=None)
@given(
    raster=st.tuples(st.integers(1, 16), st.integers(1, 16)).flatmap(
        lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 1, 2]))
    ),
    side=st.integers(2, 9),
)
def test_blocks_give_the_components_of_the_whole(raster: np.ndarray, side: int) -> None:
    components, whole = _label(raster, side)
    truth, count = ndimage.label(raster, EIGHT)
    assert len(components) == count
    assert ((whole >= 0) == (raster > 0)).all()
    # A bijection between both numberings.
    assert len(set(zip(truth[truth > 0].tolist(), whole[truth > 0].tolist(), strict=True))) == count
    for number in range(count):
        rows, cols = np.nonzero(whole == number)
        assert components.pixels[number] == len(rows)
        assert components.bounds[number].tolist() == [rows.min(), cols.min(), rows.max() + 1, cols.max() + 1]
        assert components.peak[number] == raster[rows, cols].max()


def test_absent_blocks_are_background() -> None:
    raster = np.ones((6, 6), np.uint8)
    components, _ = _label(raster, 2, [(0, 0), (0, 2), (2, 1), (1, 2)])
    # (0, 2) touches (1, 2) along a border, (1, 2) touches (2, 1) at a corner.
    assert sorted(components.pixels.tolist()) == [4, 12]


def test_no_block_is_no_component() -> None:
    assert len(join_blocks([])) == 0


def test_a_spiral_through_many_blocks_is_one() -> None:
    raster = np.zeros((61, 61), np.uint8)
    for ring in range(0, 30, 2):
        raster[ring, ring : 61 - ring] = raster[60 - ring, ring : 61 - ring] = 1
        raster[ring : 61 - ring, ring] = raster[ring : 61 - ring, 60 - ring] = 1
        if ring:
            raster[ring - 1, ring] = 1
    components, _ = _label(raster, 7)
    assert len(components) == 1
    assert components.pixels[0] == raster.sum()
