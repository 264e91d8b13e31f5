"""Digests: what tells one identity from another, on every machine alike."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str)


def digest(value: Any) -> str:
    """Compute the digest of a JSON-like value, sixteen hexadecimal digits.

    Equal values have equal digests on every machine.
    """
    return digest_text(canonical(value))


def canonical(value: Any) -> str:
    """Write a JSON-like value in the one way of which the digest is computed."""
    return _ENCODER.encode(value)


def digest_text(text: str) -> str:
    """Compute the digest of a value that is written in that way."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
