"""Our kernels and their peers, on the same arrays in the same run: `python -m benchmarks.detectors`.

Importing this package limits every numerical library to one thread, so it comes before NumPy.
"""

import os

for _name in (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
):
    os.environ[_name] = "1"
