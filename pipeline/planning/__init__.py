"""Grids, regions and owners, what they need, and the plan. Reads no pixel."""
