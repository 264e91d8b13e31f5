"""Environments of their own, in which groundbreak is installed as users install it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
"""The folder of the repository."""


def run_program(command: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder, without the settings that lead this process to the repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "VIRTUAL_ENV"))}
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=600)


def run_well(command: Sequence[str | Path], folder: Path) -> str:
    """Run a program that must succeed, and return what it printed."""
    done = run_program(command, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Environment:
    """A virtual environment that holds only what is installed into it, and sees the packages of the tests behind that.

    The dependencies (a gigabyte) are thus neither downloaded nor copied. groundbreak itself is not seen in this way: an
    editable install is a ``.pth`` file, and Python reads those in an environment's own folder only.
    """

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> Environment:
        """Make an environment with pip in it."""
        run_well([sys.executable, "-m", "venv", folder], folder.parent)
        found = cls(folder)
        (found.packages / "packages_of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
        assert "No module named 'groundbreak'" in found.run("-c", "import groundbreak", folder=folder).stderr
        return found

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        return next(self.folder.glob("lib/python*/site-packages"))

    def run(self, *arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run its interpreter in a folder."""
        return run_program([self.python, *arguments], folder)

    def install(self, *arguments: str | Path) -> None:
        """Install with ``uv pip install``, no dependencies, the build backend being that of the tests."""
        command: list[str | Path] = [sys.executable, "-m", "uv", "pip", "install", "--python", self.python, "--no-deps"]
        run_well([*command, "--no-build-isolation", *arguments], self.folder)

    def install_namesakes(self) -> None:
        """Install PyPI's `kernels` and `cluster`; skip the test where no registry answers.

        With ``GROUNDBREAK_ONLINE`` set, as continuous integration does, the test fails instead.
        """
        needed = ROOT / "requirements" / "namesakes.txt"
        try:
            self.install("--require-hashes", "--requirement", needed)
        except AssertionError as error:
            if os.environ.get("GROUNDBREAK_ONLINE"):
                raise
            pytest.skip(f"PyPI's kernels and cluster cannot be installed: {str(error).strip().splitlines()[-1]}")
