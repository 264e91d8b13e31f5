"""Grids, regions and their owners, the memory that they need, and the plan; no pixel is read."""
