"""One small archive for all tests of this folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from groundbreak.pipeline.testing import Truth, write_archive
from groundbreak.pipeline.testing.frames import LAYOUTS
from groundbreak.pipeline.testing.scene import Scene


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("small")
    return folder, write_archive(folder, scale="small")


@pytest.fixture(scope="session")
def items(archive: tuple[Path, Truth]) -> list[dict[str, Any]]:
    features: list[dict[str, Any]] = json.loads((archive[0] / "items.json").read_text())["features"]
    return features


@pytest.fixture(scope="session")
def full() -> Scene:
    """Return the demo's world, without an archive."""
    return Scene(LAYOUTS["full"], 0)
