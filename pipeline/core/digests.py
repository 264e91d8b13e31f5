"""Digests: what tells one identity from another, on every machine alike."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """Compute the digest of a JSON-like value, sixteen hexadecimal digits.

    Equal values have equal digests on every machine.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
