"""Coroutines from plain code, in a notebook too."""

from __future__ import annotations

import asyncio

from groundbreak.pipeline.core.loop import run_coroutine


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


def test_with_and_without_a_loop() -> None:
    async def cell() -> int:
        return run_coroutine(answer())

    assert run_coroutine(answer()) == 42
    assert asyncio.run(cell()) == 42
