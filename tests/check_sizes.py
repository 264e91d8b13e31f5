"""Modules read in one sitting: none longer than 300 lines. Run by `make check`."""

from __future__ import annotations

import sys
from pathlib import Path

LIMIT = 300


def main() -> int:
    root = Path(__file__).parents[1]
    files = [f for folder in ("kernels", "pipeline", "cluster") for f in (root / folder).rglob("*.py")]
    long = {f: n for f in files if (n := len(f.read_text().splitlines())) > LIMIT}
    for file, lines in sorted(long.items()):
        print(f"{file.relative_to(root)}: {lines} lines, more than {LIMIT}")
    return 1 if long else 0


if __name__ == "__main__":
    sys.exit(main())
