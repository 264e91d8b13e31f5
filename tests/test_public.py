"""What a visitor sees of groundbreak: its names, how its values print, and configurations made in Python."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

import groundbreak
from groundbreak import BadInput, Config, kernels
from groundbreak.pipeline import api
from groundbreak.pipeline.core.sections import AreaConfig
from tests.world import Tile, configure, days, lonlat_box, write_source

NAMES = {"BadInput", "Config", "Plan", "Result", "__version__", "detect", "plan", "run"}

TILES = [Tile("38TPK", 32638, 600_000, 4_400_000, 128), Tile("38TQK", 32638, 601_000, 4_400_000, 128)]
BOX = lonlat_box(32638, 600_100, 4_399_100, 601_900, 4_399_900)
SECTIONS: dict[str, Any] = {
    "area": {"bbox": [46.86, 40.03, 46.95, 40.10]},
    "source": {"items": "items.json", "datetime": "2020-01-01/2024-12-31"},
    "output": {"path": "out"},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("public")
    write_source(folder / "source", TILES, days("2021-01-03", 30, 10))
    return folder


def test_all_public_names_are_seen_typed_and_explained() -> None:
    assert set(groundbreak.__all__) == NAMES
    assert set(dir(groundbreak)) == NAMES | {"kernels"}
    assert groundbreak.kernels is kernels
    assert set(dir(kernels)) >= set(kernels.__all__)
    for module in (groundbreak, kernels):
        for name in module.__all__:
            value = getattr(module, name)
            if not (inspect.isclass(value) or inspect.isfunction(value)):
                continue
            assert inspect.getdoc(value), name
            if inspect.isfunction(value):
                signature = inspect.signature(value)
                assert signature.return_annotation is not inspect.Signature.empty, name
                annotations = [p.annotation for p in signature.parameters.values()]
                assert inspect.Parameter.empty not in annotations, name
    with pytest.raises(AttributeError, match="'groundbreak' has no attribute 'Plans'"):
        groundbreak.Plans  # noqa: B018 - that it is not there is what is asked


def test_importing_the_kernels_imports_no_pipeline() -> None:
    text = "import sys, groundbreak.kernels; print([m for m in sys.modules if m.split('.')[0] in {'dask', 'rasterio'}])"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_configuration_made_in_python_is_the_one_read_from_toml(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        "[area]\nbbox = [46.86, 40.03, 46.95, 40.10]\n"
        '[source]\nitems = "items.json"\ndatetime = "2020-01-01/2024-12-31"\n'
        'provider = { bands = { red = "B04", nir = "B8A" }, mask = { asset = "Fmask", bits = [1, 2] } }\n'
        '[output]\npath = "out"\n[detect]\nindices = ["ndvi"]\n'
    )
    made = Config(
        area={"bbox": (46.86, 40.03, 46.95, 40.10)},
        source={
            **SECTIONS["source"],
            "items": Path("items.json"),
            "provider": {"bands": {"red": "B04", "nir": "B8A"}, "mask": {"asset": "Fmask", "bits": (1, 2)}},
        },
        output={"path": "out"},
        detect={"indices": ("ndvi",)},
        base=tmp_path,
    )
    assert made == Config.from_toml(tmp_path / "c.toml")
    again = Config(
        area=made.area,
        source=made.source,
        output=made.output,
        detect=made.detect,
        base=tmp_path,
    )
    assert again == made


def test_a_mistake_in_python_is_as_clear_as_one_in_toml() -> None:
    with pytest.raises(BadInput, match=r"\[detect\] indexes: is not a key.*Did you mean 'indices'"):
        Config(**SECTIONS, detect={"indexes": ["ndvi"]})
    with pytest.raises(BadInput, match=r"\[area\] bbox = 'wxyz': must be a list"):
        Config(**(SECTIONS | {"area": AreaConfig(bbox="wxyz")}))  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(BadInput, match=r"\[cube\] = 10: must be a table"):
        Config(**SECTIONS, cube=10)  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(BadInput, match=r"\[cluster\] workers.*does not take it"):
        Config(**SECTIONS, cluster={"kind": "address", "address": "tcp://h:1", "workers": 2})


def test_a_plan_its_parts_and_a_result_print_as_a_person_wants(world: Path, client: Client) -> None:
    settings = configure(world, BOX, "2021-01-01/2021-12-31")
    plan = groundbreak.plan(settings)
    summary = plan.summary()
    assert repr(plan) == (
        f"<Plan: grids 2, regions {summary['regions']}, observations {summary['observations']}, "
        f"scenes {summary['scenes']}, rejected items 0, tasks {summary['tasks']}, bytes decoded "
        f"{float(summary['bytes decoded']) / 1e6:.3g} MB>"
    )
    planned = plan.grids[0]
    assert repr(planned).startswith("<GridPlan 38TPK: EPSG 32638, regions ")
    assert repr(planned.regions[0]).startswith("<Region 38TPK/r000c000: 64 x 64 px of 10 m, EPSG:32638, owns ")
    first = planned.observations[0]
    assert repr(first) == f"<Observation {first.id}: {first.time}, 1 scenes>"
    html = plan._repr_html_()
    assert html.count("<table>") == 2
    assert "<td>38TQK</td>" in html
    result = api.run(settings, client)
    assert repr(result).startswith(f"<Result: output {result.output.path}, tasks done ")
    assert len(repr(result)) < 300
    assert "<td>regions failed</td><td>0</td>" in result._repr_html_()
    for value in (plan, planned, planned.regions[0], planned.observations[0], planned.observations[0].scenes[0]):
        assert len(repr(value)) < 300
