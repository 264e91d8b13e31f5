"""Random records that the tests of single steps share: clear observations on some of irregular dates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from groundbreak.kernels.phases.evidence import N_PAIRS, N_TERMS, design_matrix, design_pairs
from groundbreak.kernels.types import Floats, Ints
from tests.kernels.phases.phase_steps import running_sums


class Record(NamedTuple):
    """A pixel's observations."""

    days: Ints
    """(time,) int64: all dates, days since 1970-01-01."""
    date: Ints
    """(observation,) int64: positions of the clear ones among them."""
    z: Floats
    """(index, observation) float64, noise units."""

    @property
    def day(self) -> Floats:
        """Return the days of the observations, (observation,) float64, days since 1970-01-01."""
        return self.days[self.date].astype(np.float64)

    @property
    def design(self) -> Floats:
        """Return the design of the observations, (observation, term) float64."""
        return design_matrix(self.days)[self.date]

    def sums(self) -> Floats:
        """Return the kernel's running sums, (observation + 1, n_sums) float64."""
        n_index, n = self.z.shape
        design = design_matrix(self.days)
        out = np.full((n + 1, N_PAIRS + n_index * (N_TERMS + 1)), np.nan)
        running_sums(self.z, self.date, 0, n, design, design_pairs(design), out)
        return out


def make_record(rng: np.random.Generator, n_index: int, n: int, tied: bool = False, every: int = 6) -> Record:
    """Draw a record of ``n`` observations, a season with a step and a change of noise; ``tied``: of few values."""
    days = 18000 + np.cumsum(rng.integers(1, 2 * every, n + n // 2 + 1))
    date = np.sort(rng.choice(days.size, n, replace=False))
    day = days[date]
    z = rng.normal(size=(n_index, n)) * np.where(np.arange(n) > n // 2, rng.choice([0.5, 3.0]), 1.0)
    z += rng.uniform(0, 8, (n_index, 1)) * np.cos(2 * np.pi * day / 365.25 + rng.uniform(0, 6))
    z += rng.normal(0, 6, (n_index, 1)) * (day > np.quantile(day, rng.random()))
    return Record(days, date, np.round(z) if tied else z)
