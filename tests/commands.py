"""The command line within a test's own process and cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distributed import Client


def write_config(
    path: Path,
    client: Client | None,
    bbox: Sequence[float],
    datetime: str,
    *,
    items: str = "source/items.json",
    out: str = "out",
    **sections: Mapping[str, Any],
) -> Path:
    """A configuration file whose tasks run on the client's cluster; sections as tests.world.configure takes them."""
    data: dict[str, dict[str, Any]] = {
        "area": {"bbox": list(bbox)},
        "source": {"items": items, "datetime": datetime},
        "output": {"path": out},
        "cube": {"region": 64, "slab": 12},
    }
    if client is not None:
        assert client.scheduler is not None
        data["cluster"] = {"kind": "address", "address": client.scheduler.address}
    for name, values in sections.items():
        data[name] = {**data.get(name, {}), **values}
    lines = []
    for name, values in data.items():
        # JSON's texts, numbers, lists and booleans are TOML's, too.
        lines += [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in values.items() if value is not None)]
    path.write_text("\n".join(lines) + "\n")
    return path


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)
