"""Comparing outputs byte by byte."""

from __future__ import annotations

import hashlib
from pathlib import Path


def zarr_bytes(out: Path) -> dict[str, str]:
    """Key -> sha256 of every object of every Zarr store below a folder."""
    return {
        str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(out.rglob("*"))
        if p.is_file() and ".zarr" in str(p.relative_to(out))
    }
