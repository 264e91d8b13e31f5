"""What is distributed: what the wheel holds, and that it works where others' packages have the names of our folders."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from groundbreak.pipeline.version import __version__
from tests.commands import write_config
from tests.packaging.environments import ROOT, Environment, run_well
from tests.world import Tile, days, lonlat_box, write_source

TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
BOX = lonlat_box(32638, 600_100, 4_399_700, 600_200, 4_399_800)

PARTS = ("cluster", "kernels", "pipeline")
"""Folders at the top of the repository that are sub-packages of groundbreak."""

DETECTION = """
import numpy as np
import groundbreak
import groundbreak.cluster.connect
from groundbreak import kernels
import kernels as others

dates = np.datetime64("2019-01-01") + 10 * np.arange(120)
values = np.random.default_rng(0).normal(0.6, 0.02, (120, 2)).astype(np.float32)
values[70:, 0] -= 0.4
layers = kernels.detect(values, dates, detector="cusum")
late = abs(layers.onset[0] - int(dates[70].astype(int)))
print(others.OWNER, layers.n_changes[0], late <= 10, groundbreak.__version__)
"""

RECORDED = """
import base64, hashlib
from importlib.metadata import distribution
for name in ("groundbreak", "cluster", "kernels"):
    files = [file for file in distribution(name).files if file.hash]
    assert len(files) > 5
    for file in files:
        found = hashlib.new(file.hash.mode, file.read_binary()).digest()
        assert base64.urlsafe_b64encode(found).rstrip(b"=").decode() == file.hash.value, file
"""
"""Every installed file is the one that its package brought: none has overwritten another's."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a folder with the sdist, the wheel made from it, and in ``tree`` the wheel made from the repository."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]
    run_well([*build, folder, ROOT], folder)
    run_well([*build, folder / "tree", "--wheel", ROOT], folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """Return the wheel made from the repository."""
    return built / "tree" / f"groundbreak-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Install the wheel after the packages that have the names of our folders."""
    found = Environment.create(tmp_path_factory.mktemp("environment") / "venv")
    found.install_namesakes()
    found.install(wheel)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make the folder of a user who has modules with the names of our folders."""
    for name in PARTS:
        (tmp_path / f"{name}.py").write_text('OWNER = "the user"\n')
    return tmp_path


def _sources() -> set[str]:
    """Files of the repository that belong into the wheel, as their paths in it."""
    kinds = {".py", ".j2", ".css", ".js"}
    files = (f.relative_to(ROOT).as_posix() for part in PARTS for f in (ROOT / part).rglob("*") if f.suffix in kinds)
    return {"groundbreak/__init__.py", "groundbreak/py.typed", *(f"groundbreak/{file}" for file in files)}


def _contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_the_wheel_holds_one_package(wheel: Path) -> None:
    names = set(_contents(wheel))
    information = f"groundbreak-{__version__}.dist-info"
    assert {PurePosixPath(name).parts[0] for name in names} == {"groundbreak", information}
    templates = {f"groundbreak/pipeline/report/templates/report.{kind}" for kind in ("html.j2", "css", "js")}
    assert templates <= names
    assert {name for name in names if name.startswith("groundbreak/")} == _sources()


def test_the_sdist_makes_the_same_wheel(built: Path, wheel: Path) -> None:
    assert _contents(built / wheel.name) == _contents(wheel)
    with tarfile.open(built / f"groundbreak-{__version__}.tar.gz") as sdist:
        assert not [member.name for member in sdist if not member.isfile()]  # no links: not every system has them


def test_it_works_beside_packages_and_modules_of_these_names(environment: Environment, project: Path) -> None:
    done = environment.run("-c", DETECTION, folder=project)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"the user 1 True {__version__}\n"
    assert environment.run("-c", RECORDED, folder=project).stderr == ""


def test_the_command_works_beside_them(environment: Environment, project: Path) -> None:
    for command in (["groundbreak"], ["-m", "groundbreak.pipeline.cli"]):
        first = [str(environment.folder / "bin" / command[0])] if len(command) == 1 else command
        assert environment.run(*first, "--version", folder=project).stdout.strip() == __version__
        refused = environment.run(*first, "plan", "absent.toml", folder=project)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith("groundbreak: ")
        assert "must exist" in refused.stderr


def test_a_whole_run_beside_them(environment: Environment, project: Path) -> None:
    write_source(project, [TILE], days("2021-01-03", 50, 14))
    # No client: the run starts worker processes of its own, which see the user's modules as well.
    alone = {"workers": 1}
    write_config(project / "run.toml", None, BOX, "2021/2022", items="items.json", cube={"slab": 60}, cluster=alone)
    done = environment.run("-m", "groundbreak.pipeline.cli", "run", "run.toml", "-q", folder=project)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 tasks done, 0 done before, 0 regions failed, 0 faults" in done.stdout
    assert "</html>" in (project / "out" / "report.html").read_text()


def test_removing_it_leaves_the_others(environment: Environment, wheel: Path, project: Path) -> None:
    pip = ("-m", "pip", "--disable-pip-version-check")
    assert environment.run(*pip, "uninstall", "--yes", "groundbreak", folder=project).returncode == 0
    try:
        kept = {path.parent.name for path in environment.packages.glob("*/__init__.py")}
        assert {"cluster", "kernels"} <= kept
        assert "groundbreak" not in kept
    finally:
        environment.install(wheel)


@pytest.mark.parametrize("way", ["uv pip install", "pip install --editable"])
def test_the_repository_installs(way: str, project: Path) -> None:
    environment = Environment.create(project / "venv")
    if way.startswith("uv"):
        environment.install(ROOT)
    else:
        pip = ("-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-build-isolation")
        done = environment.run(*pip, "--editable", ROOT, folder=project)
        assert done.returncode == 0, done.stderr
    code = "import groundbreak.kernels as k, groundbreak.pipeline.api as a, kernels; print(k.__file__, kernels.OWNER)"
    done = environment.run("-c", code, folder=project)
    assert done.returncode == 0, done.stderr
    file, owner = done.stdout.split(maxsplit=1)
    assert owner == "the user\n"
    home = environment.packages if way.startswith("uv") else ROOT
    assert Path(file) == home / "groundbreak" / "kernels" / "__init__.py"
