"""What the documents show is run: Python, commands and configurations, in a small world made for them.

The world has what the examples name: a source, ``config.toml`` and its finished output ``out``, and in Python the names
that `prepared` gives. The examples of a document are run in order; later ones see the names that earlier ones made.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client

from groundbreak.pipeline import cli
from groundbreak.pipeline.core.config import Config
from tests.commands import write_config
from tests.world import Tile, days, works, write_source

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]

TILE = Tile("38TPK", 32638, 660_000, 4_438_000)
"""A small tile within the area that the examples name."""
DATES = days("2021-01-03", 75, 10)
SITE = 660_600, 4_437_300, 100, 80

SHELLS = ("", "sh", "bash", "console", "shell", "text")
"""Languages of blocks that hold commands, or nothing that can be run."""
LONG = ("demo",)
"""Commands whose arguments are read only: the tests of the demo are elsewhere."""

MINIMAL: dict[str, dict[str, Any]] = {
    "area": {"bbox": [46.86, 40.03, 46.95, 40.10]},
    "source": {"items": "items.json", "datetime": "2020-01-01/2024-12-31"},
    "output": {"path": "out"},
}
"""What a configuration cannot do without."""


@dataclass(frozen=True)
class Example:
    """A fenced block of a document."""

    document: Path
    line: int
    """Number of its first line."""
    language: str
    text: str

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.document.name}:{self.line}"


def examples(document: Path) -> Iterator[Example]:
    """Yield the fenced blocks of a document, in order."""
    text = document.read_text()
    for block in re.finditer(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        indent, language, inside = block.groups()
        lines = "".join(line.removeprefix(indent) for line in inside.splitlines(keepends=True))
        yield Example(document, text.count("\n", 0, block.start(3)) + 1, language, lines)


def configuration(text: str) -> Config:
    """Make a configuration of the keys that an example shows, completed by what it cannot do without."""
    shown = tomllib.loads(text)
    whole = {name: {**MINIMAL.get(name, {}), **shown.get(name, {})} for name in {**MINIMAL, **shown}}
    for section, keys in {"area": ("bbox", "geometry"), "source": ("items", "catalog")}.items():
        if any(key in shown.get(section, {}) for key in keys):
            whole[section] = shown[section]
    return Config.from_dict(whole)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, client: Client) -> Path:
    """Make a folder with a source, ``config.toml`` and the output of a finished run, with one site."""
    folder = tmp_path_factory.mktemp("world")
    write_source(folder, [TILE], DATES, works(DATES, SITE, "2022-01-18", "2022-05-18"))
    # Nothing but what the examples name, so that a configuration made in Python finds its run done.
    path = write_config(
        folder / "config.toml",
        client,
        MINIMAL["area"]["bbox"],
        MINIMAL["source"]["datetime"],
        items="items.json",
        cube={"region": 512, "slab": 60},
    )
    assert cli.main(["run", str(path), "--log", "json"]) == 0
    return folder


@pytest.fixture
def prepared(client: Client) -> dict[str, Any]:
    """Names that Python examples may use without making them."""
    dates = np.array(DATES, "datetime64[D]")
    rng = np.random.default_rng(0)
    values = rng.normal(0.6, 0.02, (2, dates.size, 3, 4)).astype(np.float32)
    values[:, 40:, :2] -= 0.4
    places = {"y": 4_400_000 - 10.0 * np.arange(3), "x": 600_000 + 10.0 * np.arange(4)}
    cube = xr.DataArray(values[0], {"time": dates.astype("datetime64[ns]"), **places}, ("time", "y", "x"), "ndvi")
    return {"client": client, "dates": dates, "values": values, "ndvi_cube": cube, "cube": cube, "np": np, "xr": xr}


def run_command(words: list[str], place: str) -> None:
    """Run a command of groundbreak, or look up a target of make."""
    if words[0] == "make":
        assert set(words[1:]) <= targets(), place
    elif words[1] in LONG:
        cli._parser().parse_args(words[1:])
    else:
        assert cli.main(words[1:]) == 0, place


def targets() -> set[str]:
    """Return the targets of the Makefile that a person may ask for."""
    return set(re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split())  # type: ignore[index]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_the_examples_of_a_document(
    document: Path, world: Path, prepared: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    for example in examples(document):
        if example.language == "python":
            # The lines before it are left empty, so that an error tells the document's own line.
            code = "\n" * (example.line - 1) + example.text
            exec(compile(code, document.name, "exec"), prepared)  # noqa: S102
        elif example.language == "toml":
            configuration(example.text)
        else:
            assert example.language in SHELLS, f"{example.place}: no way to check {example.language!r}"
            for number, line in enumerate(example.text.splitlines(), example.line):
                words = shlex.split(line, comments=True) if re.match(r"(\$ )?(make|groundbreak) ", line) else []
                if words:
                    run_command(words[words[0] == "$" :], f"{document.name}:{number}")


def test_the_python_example_is_a_script_as_it_stands(world: Path, tmp_path: Path) -> None:
    """As a reader would run it: in a file of its own, with the local cluster, and no guard."""
    (script,) = [e.text for e in examples(ROOT / "README.md") if e.language == "python" and "groundbreak.run" in e.text]
    for name in ("items.json", TILE.code):
        (tmp_path / name).symlink_to(world / name)
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=580, check=False
    )
    assert done.returncode == 0, done.stderr
    onset, halt, _area = done.stdout.splitlines()[0].split()
    assert abs(np.datetime64(onset) - np.datetime64("2022-01-18")) < np.timedelta64(20, "D")
    assert abs(np.datetime64(halt) - np.datetime64("2022-05-18")) < np.timedelta64(30, "D")
    assert done.stdout.splitlines()[1].startswith("1 site of changed ground: 1 halted.")
    assert "bootstrapping" not in done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_the_commands_that_a_text_names(document: Path) -> None:
    named = re.findall(r"`(make|(?:\.venv/bin/)?groundbreak) ([a-z][\w-]*)", document.read_text())
    commands = set(re.findall(r"[\w-]+", cli._parser().format_help()))
    for program, word in named:
        assert word in (targets() if program == "make" else commands), f"{document.name}: {program} {word}"


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.toml")), ids=lambda file: file.name)
def test_the_configurations_of_examples(file: Path) -> None:
    config = Config.from_toml(file)
    assert config.span[0] < config.span[1]


def test_examples_are_found_and_their_lines_are_told(tmp_path: Path) -> None:
    document = tmp_path / "some.md"
    document.write_text(
        "Text\n\n```python\na = 1\n```\n\n- a list\n\n  ```\n  make demo\n  ```\n\n```toml\n[cube]\n```\n"
    )
    found = [(example.place, example.language, example.text) for example in examples(document)]
    assert found == [
        ("some.md:4", "python", "a = 1\n"),
        ("some.md:10", "", "make demo\n"),
        ("some.md:14", "toml", "[cube]\n"),
    ]
    assert (
        configuration('[source]\ncatalog = "https://a.example"\ncollection = "c"\ndatetime = "2020/2021"').source.items
        is None
    )
