"""When did the ground begin to change, and when did it stop: for every pixel and every site, from STAC items.

`plan` and `run` do the whole job of a `Config`; `detect` dates the pixels of an xarray cube.
`kernels` has the detectors on NumPy arrays.

The public names are loaded when they are first used, so that a worker, which needs one module, does not import all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from groundbreak.pipeline.version import __version__

if TYPE_CHECKING:
    from groundbreak.pipeline.api import Result, detect, plan, run
    from groundbreak.pipeline.core.config import Config
    from groundbreak.pipeline.core.types import BadInput
    from groundbreak.pipeline.planning.plans import Plan

__all__ = ["BadInput", "Config", "Plan", "Result", "__version__", "detect", "plan", "run"]

_HOMES = {"BadInput": "core.types", "Config": "core.config", "Plan": "planning.plans"}
"""Public name -> module of groundbreak.pipeline, where that is not ``api``."""


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "kernels":
        return import_module("groundbreak.kernels")
    if name not in __all__:
        raise AttributeError(f"module 'groundbreak' has no attribute {name!r}")
    return getattr(import_module(f"groundbreak.pipeline.{_HOMES.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "kernels"])
