"""The vocabulary in which kernels are written: pixels side by side in SIMD lanes."""
