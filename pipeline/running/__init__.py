"""Tasks, their records, and the order in which they run."""
