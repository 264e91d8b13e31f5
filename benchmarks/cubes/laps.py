"""Laps of a case: contenders in turn, each in a process of its own, and what came of them."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cubes import archive
from benchmarks.cubes.cases import BLOCK, EPSG, WARM, Case
from benchmarks.cubes.compare import differing
from benchmarks.cubes.contenders import OURS, Contender
from benchmarks.cubes.job import Job
from benchmarks.cubes.serve import Server

ROOT = Path(__file__).parents[2]
LAZYCOGS = ROOT / ".venv-lazycogs/bin/python"
ONE_THREAD = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "GDAL_NUM_THREADS"), "1")
NOT_CACHED = {"CPL_VSIL_CURL_NON_CACHED": "/vsicurl/"}
"""GDAL then fetches again what it decodes again, so that blocks can be counted by their bytes."""
TIMEOUT_S = 600

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Bench:
    """A core, folders and a server on which laps are run."""

    folder: Path
    """The folder of the archive."""
    scratch: Path
    server: Server
    cpu: int
    dates: int

    def run(self, case: Case, contenders: Sequence[Contender], repeats: int) -> list[Row]:
        """Run rounds of laps, all contenders in turn; a contender that fails is not asked again."""
        rows: list[Row] = [
            {"name": c.name, "family": c.family, "fault": None, "laps": [], "differing": None, "traffic": None}
            for c in contenders
        ]
        for number in range(repeats):
            for contender, row in zip(contenders, rows, strict=True):
                if row["fault"] is None:
                    print(f"{case.key}, round {number + 1}: {contender.name}", file=sys.stderr, flush=True)
                    self._lap(case, contender, row)
            shutil.rmtree(self._out(case, OURS), ignore_errors=True)
        return rows

    def _lap(self, case: Case, contender: Contender, row: Row) -> None:
        first = not row["laps"]
        self.server.begin(case.latency_s or 0)
        answer = self._answer(case, contender, count=first and contender.module != "floors")
        if isinstance(answer, str):
            row["fault"] = answer
            return
        row["laps"].append(answer)
        ours, mine = self._out(case, OURS), self._out(case, contender.name)
        if first and contender.module != "floors":
            row["traffic"] = self.server.traffic(WARM.tiles[0].code)._asdict()
            if contender.name != OURS and ours.exists():
                row["differing"] = differing(ours, mine, self._job(case, contender, served=False))
        if contender.name != OURS:
            shutil.rmtree(mine)

    def _answer(self, case: Case, contender: Contender, *, count: bool) -> Row | str:
        """Run a lap in a process of its own; return what it answers, or the last line of its complaint.

        Parameters
        ----------
        count : whether requests are to be counted: in a further run over HTTP, where the files are local
        """
        python = LAZYCOGS if contender.module == "lazycogs_peer" else Path(sys.executable)
        if not python.exists():
            return f"{python.relative_to(ROOT)} is missing"
        local = case.latency_s is None
        jobs: dict[str, Job | None] = {
            "warm": self._job(WARM, contender, served=not local),
            "job": self._job(case, contender, served=not local),
            "after": self._job(case, contender, served=True, name="after") if local and count else None,
        }
        for job in filter(None, jobs.values()):
            shutil.rmtree(job.out, ignore_errors=True)
            Path(job.out).mkdir(parents=True)
        asked, answer = self.scratch / "request.json", self.scratch / "answer.json"
        answer.unlink(missing_ok=True)
        request = {"cpu": self.cpu, "module": contender.module}
        request |= {name: job and dataclasses.asdict(job) for name, job in jobs.items()}
        asked.write_text(json.dumps(request))
        command = [str(python), "-m", "benchmarks.cubes.worker", str(asked), str(answer)]
        environment = {**os.environ, **ONE_THREAD, **contender.gdal, **(NOT_CACHED if local else {})}
        try:
            subprocess.run(  # noqa: S603  # our own interpreters
                command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=TIMEOUT_S
            )
        except subprocess.CalledProcessError as error:
            return str((error.stderr.strip().splitlines() or [f"exit {error.returncode}"])[-1])
        except subprocess.TimeoutExpired:
            return f"not done in {TIMEOUT_S} s"
        found: Row = json.loads(answer.read_text())
        return found

    def _job(self, case: Case, contender: Contender, *, served: bool, name: str = "") -> Job:
        dates = 2 if case is WARM else self.dates
        served = served and contender.module != "floors"
        # Local items lie beside their files: those of a catalogue elsewhere would be refused.
        stem = self.scratch / f"{case.key}-served" if served else self.folder / f"{case.key}-{dates}"
        archive.write_items(stem, self.server.url if served else str(self.folder), case, dates)
        return Job(
            items=str(stem.with_suffix(".json")),
            area=str(stem.with_suffix(".geojson")),
            span=archive.span(dates),
            dates=dates,
            epsg=EPSG,
            bounds=case.bounds,
            region=BLOCK if case is not WARM else WARM.tiles[0].block,
            blocks=case.blocks,
            out=str(self._out(case, name or contender.name)),
            options=dict(contender.options),
        )

    def _out(self, case: Case, name: str) -> Path:
        return self.scratch / case.key / "".join(letter if letter.isalnum() else "-" for letter in name)
