"""groundbreak's pipeline: from STAC items to onset and halt dates.

The public calls are :func:`plan`, :func:`run` and :func:`detect`; they are loaded on first use, so that a worker
that needs one module does not import them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.version import __version__

if TYPE_CHECKING:
    from pipeline.api import detect as detect
    from pipeline.api import plan as plan
    from pipeline.api import run as run

__distribution__ = "groundbreak"
__all__ = ["__version__", "detect", "plan", "run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from pipeline import api

        return getattr(api, name)
    raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
