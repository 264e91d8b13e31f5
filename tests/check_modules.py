"""Modules are read in one sitting, and arrays say what they hold. Run by `make check`.

No module of ours is longer than 300 lines, and no annotation is a bare ``np.ndarray``, which mypy takes for any dtype.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 300
BARE = re.compile(r"(?:->|[:\[|])\s*np\.ndarray(?!\[)")


def complaints(file: Path) -> Iterator[str]:
    """Yield what is wrong with a module."""
    lines = file.read_text().splitlines()
    if len(lines) > LIMIT:
        yield f"{len(lines)} lines, more than {LIMIT}"
    for number, line in enumerate(lines, 1):
        if BARE.search(line):
            yield f"line {number}: an array without a dtype; write NDArray[np.float32], for instance"


def main() -> int:
    """Print what is wrong with our modules, and return the exit code."""
    files = sorted(f for folder in ("kernels", "pipeline", "cluster") for f in (ROOT / folder).rglob("*.py"))
    found = [f"{file.relative_to(ROOT)}: {text}" for file in files for text in complaints(file)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
