"""The command line within a test's own process and cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from distributed import Client

from tests.world import Sections, settings


def write_config(
    path: Path,
    client: Client | None,
    bbox: Sequence[float],
    datetime: str,
    *,
    items: str = "source/items.json",
    out: str = "out",
    **sections: Unpack[Sections],
) -> Path:
    """Write a configuration file whose tasks run on the client's cluster, with further sections as given; its path."""
    if client is not None:
        assert client.scheduler is not None
        sections = {"cluster": {"kind": "address", "address": client.scheduler.address}, **sections}
    lines = []
    for name, values in settings(bbox, datetime, items, out, sections).items():
        # JSON's texts, numbers, lists and booleans are TOML's, too.
        lines += [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in values.items() if value is not None)]
    path.write_text("\n".join(lines) + "\n")
    return path


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)
