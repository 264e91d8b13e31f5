"""Slow, obvious NumPy twins of the kernels: the oracle of the tests."""
