"""Backends: the same small set of kernels on the CPU (Numba) and as a plain reference (galois)."""
