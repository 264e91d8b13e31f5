"""Cubes of one area, built from the same archive by several builders: ``python -m benchmarks.cubes``."""
