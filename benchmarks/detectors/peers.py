"""The peers: every public detector that we compare ours with, one adapter each, all of one signature.

    found = contender.run(contender.prepare(series))

Adapters import a peer's package when they first run: one that is not installed is a line that says so.
"""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Collection

from benchmarks.detectors import nrt_peers, pyxccd_peers, ruptures_peer, zeit_peers
from benchmarks.detectors.series import Contender

REFERENCE = "nrt CuSum OLS"
"""The peer that ratios are relative to; there is a second ratio to `FASTEST`."""

FASTEST = "zeit-cdts bfast_monitor"

PEERS: tuple[Contender, ...] = (
    *nrt_peers.CONTENDERS,
    *zeit_peers.CONTENDERS,
    *pyxccd_peers.CONTENDERS,
    *ruptures_peer.CONTENDERS,
)

MODULES = {
    "nrt": ("nrt.monitor.cusum", "nrt.monitor.mosum", "nrt.monitor.ccdc"),
    "zeit-cdts": ("zeit._core",),
    "pyxccd": ("pyxccd",),
    "ruptures": ("ruptures",),
}
"""Package -> modules of it that the adapters import."""


def preload(packages: Collection[str]) -> None:
    """Import the peers once, some ten seconds each, so that the processes forked for them need not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nrt's docstrings do not parse cleanly
        for module in (module for package in packages for module in MODULES[package]):
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
