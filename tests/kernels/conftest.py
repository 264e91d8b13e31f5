"""Small simulated scenes that several tests share."""

from __future__ import annotations

import pytest

from tests.kernels.simulate import BUILDABLE, STABLE_COVERS, Scene, simulate


@pytest.fixture(scope="session")
def stable() -> dict[str, Scene]:
    """Sixty undisturbed pixels of each cover."""
    return {cover: simulate([cover] * 60, seed=101) for cover in STABLE_COVERS}


@pytest.fixture(scope="session")
def built() -> dict[str, Scene]:
    """Forty pixels of each buildable cover, built on for 30 to 900 days."""
    return {c: simulate([c] * 40, seed=102, construction=True) for c in BUILDABLE}


@pytest.fixture(scope="session")
def ongoing() -> Scene:
    """Works that go on until the end of the record."""
    return simulate(["forest", "grass", "desert"] * 20, seed=103, construction=True, ongoing=True)
