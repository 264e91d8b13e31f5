"""The real data that lie beside the repository, and how tests do without them."""

from __future__ import annotations

from pathlib import Path

import pytest


def _find() -> Path:
    """Return the nearest folder `shared` above that holds data, or a path that does not exist."""
    above = [folder / "shared" for folder in Path(__file__).resolve().parents]
    return next((path for path in above if (path / "data").is_dir()), above[0] / "absent")


SHARED: Path = _find()

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not here")
