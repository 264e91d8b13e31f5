"""Tasks within the memory of a worker: split where their projection exceeds it, or refused with the figure.

A region that does not fit is built slab by slab, a slab is built with less fetched ahead, and a detection reads fewer
rows at a time. What is written is the same in each case.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from groundbreak.pipeline.compute.build import PREFETCHED
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import BadInput, Grid, Region
from groundbreak.pipeline.planning import budget
from groundbreak.pipeline.planning.plans import GridPlan, Plan
from groundbreak.pipeline.running.orders import BuildTask, RegionTask, Task

IDLE = 384 * 2**20
"""Bytes that a worker holds with its kernels compiled, and a little more: 300 MB were measured."""

TERMINATED = 0.95
"""Share of its limit at which Dask ends a worker."""

AHEADS = (PREFETCHED, 12, 1)
"""Observations that a building task may fetch before they are decoded, the usual number first."""


@dataclass(frozen=True)
class Room:
    """What the tasks of a plan may take on a worker."""

    plan: Plan
    limit: int
    """The limit of a worker's memory, bytes; 0 where there is none."""

    @cached_property
    def size(self) -> float:
        """Bytes that a task may take beside what an idle worker holds."""
        return self.limit * TERMINATED - IDLE if self.limit else float("inf")

    @cached_property
    def ample(self) -> bool:
        """Whether every task of the plan fits as it is."""
        return max(self.plan.memory().values()) <= self.size

    @cached_property
    def _grids(self) -> dict[str, GridPlan]:
        return {planned.grid.name: planned for planned in self.plan.grids}

    def demand(self) -> None:
        """Raise BadInput where some task is too large for a worker, however it is split."""
        for planned in () if self.ample else self.plan.grids:
            name, window = planned.grid.name, budget.largest(planned.regions)
            self._demand(f"building a slab of {name}", self._building(planned, AHEADS[-1]))
            self._demand(f"detecting on a region of {name}", self._detecting(planned, window, _coarse(planned.grid)))

    def _demand(self, what: str, need: int) -> None:
        if need > self.size:
            rule = f"{what} takes about {need / 1e6:,.0f} MB beside the {IDLE / 1e6:,.0f} MB of an idle worker"
            remedy = "Give workers more memory ([cluster] memory); or choose another output and a smaller [cube] slab"
            raise BadInput(f"a worker's memory of {self.limit / 1e6:,.0f} MB", rule, remedy)

    def holds(self, region: Region) -> bool:
        """Tell whether one task may build a region and detect on it in memory."""
        planned = self._grids[region.grid]
        count, indices = len(planned.observations), self.plan.config.detect.indices
        of_region = planned.grid, region.window, self.plan.depth, count, indices, planned.ways, planned.mask_size
        return self.ample or budget.region_memory(*of_region) <= self.size

    def fitted(self, task: Task) -> Task:
        """Return a task that does the same within the room, as far as it can be split."""
        if self.ample or isinstance(task, RegionTask):
            return task
        planned = self._grids[task.region.grid]
        if isinstance(task, BuildTask):
            fits = (n for n in AHEADS if self._building(planned, n) <= self.size)
            return replace(task, ahead=min(task.ahead, next(fits, AHEADS[-1])))
        rows, coarse, window = task.rows_per_strip, _coarse(planned.grid), task.region.window
        while rows > coarse and self._detecting(planned, window, rows) > self.size:
            rows = max(min(rows, window.height) // 2 // coarse * coarse, coarse)
        return replace(task, rows_per_strip=rows)

    def _building(self, planned: GridPlan, ahead: int) -> int:
        """Project what building a slab takes with so many observations fetched ahead, bytes."""
        depth, window = min(self.plan.depth, len(planned.observations)), budget.largest(planned.regions)
        return budget.build_memory(planned.grid, window, depth, planned.ways, planned.mask_size, ahead)

    def _detecting(self, planned: GridPlan, window: Frame, rows: int) -> int:
        """Project what detecting on a window takes with so many rows read at a time, bytes."""
        count, indices = len(planned.observations), self.plan.config.detect.indices
        return budget.detect_memory(planned.grid, window, count, indices, planned.mask_size, rows)


def _coarse(grid: Grid) -> int:
    """Return the rows of the finest pixels that lie in a row of the coarsest ones: a strip has whole ones."""
    return round(max(grid.bands.values()) / grid.frame.resolution)
